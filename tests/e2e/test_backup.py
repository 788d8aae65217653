"""Backup and restore: taken under load, restored on an empty machine with the key given apart, held until confirmed, refused when anything is wrong.

BACKUP_SECONDS of load before and behind the moment of the backup (0.7).
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from harness import ALEX, PATIENCE, PROGRAM, Case, Failed, Postern, environment, letter, smtp, submit, wait_until
from house import LEDGER, House

SECONDS = float(os.environ.get("BACKUP_SECONDS", "0.7"))


class Machine(Postern):
    """A data directory that is made and configured, and only started when told."""

    def __init__(self, directory, name, trust, more=""):
        self.directory, self.name, self.extra_env = directory, name, {}
        self.roles_read, self.roles_found = 0, {}
        self.data = os.path.join(directory, name + "-data")
        self.command("init", "--host-name", "localhost", json_answer=False)
        self.configure(trust, more, None)

    def restore(self, backup, *more, stdin=""):
        done = subprocess.run([PROGRAM, "restore", backup, *more, "--data", self.data], input=stdin, capture_output=True, text=True, timeout=PATIENCE, env=environment(),
                              check=False)
        if done.returncode:
            raise Failed(done.returncode, done.stderr)
        return done.stdout

    def files(self):
        return sorted(os.path.join(folder, name) for folder, _, names in os.walk(self.data) for name in names)


def send(gateway, password, subject, body):
    with smtp(gateway, password=password) as session:
        return submit(session, text=letter(subject=subject, body=body))


class Backup(Case):
    def with_a_queue(self):
        """Three messages wait, one of them with a file of its own, and one more is held by a person."""
        gateway, password = self.linked()
        gateway.command("client", "set", "erp", "--verdict-wait", "0")
        gateway.command("provider", "set", "m365", "--smtp-port", "1")
        for number, size in enumerate((10, 400000, 1000, 10)):
            send(gateway, password, f"number {number}", "0123456789abcdef\r\n" * (size // 18) + f"end {number}\r\n")
        items = wait_until("four wait", lambda: (found := gateway.command("queue", "list")["items"]) and len(found) == 4 and found)
        wait_until("nothing is being tried", lambda: all(i["state"] == "waiting" for i in gateway.command("queue", "list")["items"]))
        held = items[3]["id"]
        wait_until("held", lambda: self.try_hold(gateway, held))
        return gateway, password, held

    def try_hold(self, gateway, held):
        try:
            return gateway.command("queue", "hold", held)
        except Failed:
            return None

    def take(self, gateway, name="one.backup", *more, **rest):
        path = os.path.join(self.directory, name)
        gateway.command("backup", path, *more, **rest)
        return path

    def test_restored_on_an_empty_machine_and_held_until_confirmed(self):
        gateway, password, held = self.with_a_queue()
        backup = self.take(gateway)
        key = os.path.join(self.directory, "key")
        shutil.copy(os.path.join(gateway.data, "kek"), key)
        with open(backup, "rb") as file:
            line, rest = file.readline(), file.read()
        self.assertTrue(line.startswith(b"postern-backup 1 {"), line)
        self.assertEqual(os.stat(backup).st_mode & 0o777, 0o600)
        for secret in (b"0123456789abcdef", b"contoso", b"SQLite", password.encode()):
            self.assertNotIn(secret, line + rest)
        gateway.end()

        second = Machine(self.directory, "second", self.twin)
        said = second.restore(backup, "--key-file", key)
        self.assertIn("4 messages", said)
        second.start()
        self.addCleanup(second.end)
        second.command("provider", "set", "m365", "--smtp-port", str(self.twin.smtp_port))
        items = {i["id"]: i for i in second.command("queue", "list")["items"]}
        self.assertEqual(sorted(i["state"] for i in items.values()), ["held", "restored", "restored", "restored"])
        self.assertEqual(items[held]["held_by"], "root" if os.geteuid() == 0 else items[held]["held_by"])
        for item in items.values():
            if item["state"] == "restored":
                self.assertTrue(item["may_have_arrived"])
                self.assertEqual(item["fault"], "RESTORED")
        # New mail goes out, past what is held.
        reply = send(second, password, "new", "new\r\n")
        wait_until("the new one arrived", lambda: [m["subject"] for m in self.twin.mail()] == ["new"])
        self.assertEqual(len(second.command("queue", "list", "--state", "restored")["items"]), 3, reply)
        # It stays held over a restart.
        second.end()
        second.start()
        self.assertEqual(len(second.command("queue", "list", "--state", "restored")["items"]), 3)
        self.assertEqual(len(self.twin.mail()), 1)
        one = next(i for i in sorted(items) if items[i]["state"] == "restored")
        second.command("queue", "delete", one)
        self.assertEqual(second.command("queue", "confirm"), {"released": 2})
        wait_until("two arrived", lambda: len(self.twin.mail()) == 3)
        self.assertEqual(sorted(m["subject"] for m in self.twin.mail()), ["new", "number 1", "number 2"])
        large = next(m for m in self.twin.mail() if m["subject"] == "number 1")
        self.assertTrue(self.twin.raw(large["number"]).endswith(b"0123456789abcdef\r\nend 1\r\n"))
        self.assertEqual([i["id"] for i in second.command("queue", "list")["items"]], [held])
        # What was sealed opens under the key given: a rotation reseals it, and another backup goes the same way.
        second.command("key", "rotate")
        again = self.take(second, "two.backup")
        self.assertIn("1 messages", second.restore(again, "--check"))

    def test_refused_and_nothing_changed(self):
        gateway, _, _ = self.with_a_queue()
        backup = self.take(gateway)
        with self.assertRaisesRegex(Failed, "another daemon uses this data directory"):
            Machine.restore(gateway, backup)
        with self.assertRaisesRegex(Failed, "is there already"):
            gateway.command("backup", backup)
        gateway.end()
        with self.assertRaisesRegex(Failed, "there is data already"):
            Machine.restore(gateway, backup)
        with self.assertRaisesRegex(Failed, "no Postern answers"):
            gateway.command("backup", backup + "2")
        self.assertFalse(os.path.exists(backup + "2"))

        with open(backup, "rb") as file:
            good = file.read()
        body = good.index(b"\n") + 1
        key = os.path.join(gateway.data, "kek")
        second = Machine(self.directory, "second", self.twin)
        before = second.files()

        def expect(why, changed, *more):
            path = os.path.join(self.directory, "changed")
            with open(path, "wb") as file:
                file.write(changed)
            with self.assertRaisesRegex(Failed, why):
                second.restore(path, *more)
            self.assertEqual(second.files(), before)
        flipped = bytearray(good)
        flipped[body + len(good[body:]) // 2] ^= 1
        expect("damaged, cut off", bytes(flipped), "--key-file", key)
        expect("damaged, cut off", good[:-1], "--key-file", key)
        expect("damaged, cut off", good[:body + 300000], "--key-file", key)
        expect("damaged, cut off", good + b"x", "--key-file", key)
        expect("damaged, cut off", good[:body - 1] + b" " + good[body - 1:], "--key-file", key)
        expect("damaged, cut off", b"", "--key-file", key)
        expect("damaged, cut off", b"something else\n", "--key-file", key)
        expect("written by a newer Postern", good.replace(b"postern-backup 1 ", b"postern-backup 2 ", 1), "--key-file", key)
        expect("not the key of this backup", good)
        with self.assertRaisesRegex(Failed, "No such file"):
            second.restore(backup, "--key-file", key + "-missing")
        # A part that was moved is not taken, though each of them is whole.
        size = 8 + int.from_bytes(good[body:body + 4], "little")
        expect("damaged, cut off", good[:body] + good[body + size:], "--key-file", key)
        # A key that is there and cannot be read is not written over.
        own = os.path.join(second.data, "kek")
        with open(own, "rb") as file:
            kept = file.read()
        with open(own, "ab") as file:
            file.write(bytes(5 << 20))
        with self.assertRaisesRegex(Failed, "too large"):
            second.restore(backup, "--key-file", key)
        self.assertEqual(os.path.getsize(own), len(kept) + (5 << 20))
        with open(own, "wb") as file:
            file.write(kept)
        self.assertEqual(second.files(), before)
        second.restore(backup, "--key-file", key)

    def test_the_key_goes_apart_under_a_passphrase(self):
        gateway = self.postern()
        place, copy = self.directory, os.path.join(self.directory, "key-copy")
        with self.assertRaisesRegex(Failed, "needs a passphrase"):
            gateway.command("backup", place, "--with-key", copy)
        with self.assertRaisesRegex(Failed, "does not go beside"):
            gateway.command("backup", os.path.join(place, "x"), "--with-key", os.path.join(place, "x"), "--passphrase", stdin="words to remember\n")
        told = gateway.command("backup", place, "--with-key", copy, "--passphrase", stdin="words to remember\n")
        self.assertEqual(os.path.dirname(told["file"]), place)
        with open(copy, encoding="utf-8") as file, open(os.path.join(gateway.data, "kek"), encoding="utf-8") as key:
            self.assertNotIn(key.read().strip(), file.read())
        second = Machine(self.directory, "second", self.twin)
        with self.assertRaisesRegex(Failed, "opens with its passphrase only"):
            second.restore(told["file"], "--key-file", copy, "--passphrase", stdin="other words\n")
        second.restore(told["file"], "--key-file", copy, "--passphrase", stdin="words to remember\n")
        second.start()
        self.addCleanup(second.end)
        second.command("key", "list")

    def test_a_death_or_another_backup_in_the_middle_leaves_nothing(self):
        gateway = self.postern()
        path = os.path.join(self.directory, "one.backup")
        begun = self.ask(gateway, "/api/v1/backup")
        gateway.kill("post")
        wait_until("post is back", lambda: self.answers(gateway))
        self.assertEqual(self.ask(gateway, f"/api/v1/backup/{begun['backup']}/spool")["fault"], "BACKUP_OVER")
        begun = self.ask(gateway, "/api/v1/backup")
        self.take(gateway)
        self.assertEqual(self.ask(gateway, f"/api/v1/backup/{begun['backup']}/vault")["fault"], "BACKUP_OVER")
        gateway.kill("vault")
        wait_until("the vault is back", lambda: self.answers(gateway))
        self.assertEqual(os.listdir(os.path.join(gateway.data, "vault")).count("backup.db"), 0)
        self.assertTrue(os.path.exists(path))
        self.assertFalse(os.path.exists(path + ".part"))

    def answers(self, gateway):
        try:
            gateway.command("queue", "list")
            return gateway.command("org", "list")
        except Failed:
            return None

    def ask(self, gateway, path):
        done = subprocess.run(["curl", "-s", "-X", "POST", "--unix-socket", os.path.join(gateway.data, "control.sock"), "http://localhost" + path],
                              capture_output=True, text=True, timeout=PATIENCE, check=True)
        return json.loads(done.stdout)


class UnderLoad(House):
    """The machine is lost some time behind the backup. What was acknowledged before it is neither lost nor, once a person looked, sent twice."""

    def notes(self, path):
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def test_backup_under_load_restored_without_loss(self):
        self.start_senders("load")
        time.sleep(SECONDS)
        os.kill(self.sink.process.pid, signal.SIGSTOP)  # a provider that stands still: a queue grows
        self.addCleanup(os.kill, self.sink.process.pid, signal.SIGCONT)
        time.sleep(2 * SECONDS)
        wait_until("some wait", lambda: len(self.gateway.command("queue", "list")["items"]) > 10)
        moment = time.time()
        came_before = len(self.notes(self.received))
        backup = os.path.join(self.directory, "load.backup")
        told = self.gateway.command("backup", backup)
        self.assertGreater(told["messages"], 10)
        os.kill(self.sink.process.pid, signal.SIGCONT)
        wait_until("some of them are delivered", lambda: len(self.notes(self.received)) >= came_before + told["messages"] // 5)
        os.killpg(self.senders.process.pid, signal.SIGKILL)
        self.fell()
        time.sleep(3)  # what the sink has read is noted, the slow ones too

        second = Machine(self.directory, "second", self.trust, "retry_longest = 1\nprobe_longest = 1\nconnections_per_mailbox = 6\nsegment_bytes = 4194304\n")
        second.restore(backup, "--key-file", os.path.join(self.gateway.data, "kek"))
        before = len(self.notes(self.received))
        second.start()
        self.addCleanup(second.end)
        items = self.restored(second)
        self.assertEqual(len({item["id"] for item in items}), len(items), "a page showed what another had shown")
        self.assertEqual(len(items), told["messages"])
        self.assertEqual(len(self.notes(self.received)), before)
        # A person looks what arrived, and deletes it. Where it reached some of its recipients only, they will have it twice, and that was said.
        came = {name for note in self.notes(self.received) for name in note.get("recipients", note.get("actions", ())) if note["what"] != "cut"}
        reports = {note["id"].strip("<").partition(".report@")[0] for note in self.notes(self.received) if note["what"] == "report"}
        deleted, told_twice = 0, set()
        for item in items:
            names = {r["address"] for r in item["recipients"] if r["outcome"] == "open"}
            self.assertTrue(item["may_have_arrived"], item)
            if item["id"] in reports if item.get("report_of") else names <= came:
                second.command("queue", "delete", item["id"])
                deleted += 1
            else:
                told_twice |= names & came
        self.assertGreater(deleted, 0, "nothing was delivered between the backup and the loss")
        released = second.command("queue", "confirm")["released"]
        self.assertEqual(released, len(items) - deleted)
        self.assertGreater(released, 0, "everything was delivered between the backup and the loss")
        self.gateway = second
        self.wait_for_an_empty_queue()
        self.balance(moment, told_twice)

    def restored(self, gateway):
        items, more = [], []
        while page := gateway.command("queue", "list", "--state", "restored", "--limit", "500", *more)["items"]:
            items += page
            more = ["--after", page[-1]["id"]]
        return items

    def balance(self, moment, told_twice):
        """The ledger of what had its answer before the backup; of the rest, a backup can know nothing."""
        sent = self.notes(self.sent)
        known = {note["seq"] for note in sent if note["what"] == "answer" and note["at"] < moment}
        for name, notes in (("sent", sent), ("received", self.notes(self.received))):
            with open(os.path.join(self.directory, name + "-known"), "w", encoding="utf-8") as file:
                for note in notes:
                    if note["seq"] in known:
                        file.write(json.dumps(note) + "\n")
        done = subprocess.run([*LEDGER, "check", "--sent", os.path.join(self.directory, "sent-known"), "--received", os.path.join(self.directory, "received-known"),
                               "--house", self.gateway.data, "--program", PROGRAM], capture_output=True, text=True, timeout=PATIENCE, check=False)
        counts = [line for line in done.stdout.splitlines() if line.startswith("letters")]
        print(f"{len(told_twice)} recipients twice, as was said; {' '.join(counts)}", file=sys.stderr, flush=True)
        wrong = [line for line in done.stdout.splitlines() if re.match(r"I\d ", line) and not (line.startswith("I3") and line.split(" reached ")[1].split()[0] in told_twice)]
        self.assertEqual(wrong, [], done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
