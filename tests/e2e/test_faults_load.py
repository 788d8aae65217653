"""Under load, with the ledger held against everything afterwards: R19, a network that delays, cuts, drops and resets; R21, stops, restarts, reloads, and
a way back that is refused; R24, all of it together for long, and nothing has grown. In a network of its own.

CHAOS_SECONDS for R19 (4) and each part of R21, SOAK_SECONDS for R24 (6; an hour in tools/prove), CHAOS_SEED for the same choices again."""
import contextlib
import json
import os
import random
import re
import signal
import smtplib
import sqlite3
import ssl
import struct
import subprocess
import sys
import time
import unittest

import chaos
import peers
from chaos import Proxy
from harness import ALEX, MARIA, MARIA_PASSWORD, PATIENCE, PROGRAM, ROOT, Case, Failed, Postern, Process, smtp, submit, wait_until

LEDGER = [sys.executable, os.path.join(ROOT, "tools", "ledger")]
SECONDS, SOAK = float(os.environ.get("CHAOS_SECONDS", "4")), float(os.environ.get("SOAK_SECONDS", "6"))
SEED = int(os.environ.get("CHAOS_SEED", str(random.randrange(1 << 32))))
SESSIONS = 6


def setUpModule():
    chaos.own_network()


class Load(Case):
    """A house with two mailboxes, senders on one side and a sink on the other, a proxy before each."""

    def setUp(self):
        super().setUp()
        print(f"CHAOS_SEED={SEED}", file=sys.stderr, flush=True)
        self.dice = random.Random(f"{SEED}.{self.id()}")
        self.twin.switch("messages_per_minute", 0)
        authority = peers.Authority(self.directory)
        self.sent, self.received, self.kills, self.before = (os.path.join(self.directory, name) for name in ("sent", "received", "kills", "before"))
        open(self.kills, "w", encoding="utf-8").close()
        self.sink = Process(self.directory, "sink", [*LEDGER, "sink", "--notes", self.received, "--certificate", authority.certificate, "--key", authority.key])
        self.addCleanup(self.sink.end)
        self.out = Proxy(int(self.sink.line("ready").split()[1]))
        self.addCleanup(self.out.end)
        self.gateway = Postern(self.directory, chaos.trust_of(self.directory, self.twin.ca, authority.ca),
                               more="retry_longest = 1\nprobe_longest = 1\nconnections_per_mailbox = 4\nsegment_bytes = 4194304\nupstream_idle_ms = 1000\n")
        self.addCleanup(self.gateway.end)
        self.keep_ports()
        self.gateway.add_mailbox(self.twin)
        self.gateway.add_mailbox(self.twin, MARIA)
        self.gateway.command("provider", "set", "m365", "--smtp-port", str(self.out.port))
        for address, more in ((ALEX, ()), (MARIA, (MARIA_PASSWORD,))):
            browser = self.gateway.link_mailbox(self.twin, address, *more)
            self.assertEqual(browser.status, 200, browser.words())
        self.password = os.path.join(self.directory, "password")
        with open(self.password, "w", encoding="utf-8") as file:
            file.write(self.gateway.add_client("erp", (ALEX, MARIA), "contoso", "--verdict-wait", "1000ms"))
        self.way_in = Proxy(self.gateway.ports["submission"])
        self.addCleanup(self.way_in.end)

    def conf(self):
        return os.path.join(self.gateway.data, "postern.conf")

    def keep_ports(self):
        """Senders and the redirect address keep what the system chose."""
        with open(self.conf(), encoding="utf-8") as file:
            text = file.read()
        for name, port in self.gateway.ports.items():
            text = re.sub(rf"(listener {name} \{{[^}}]*?port = )0", rf"\g<1>{port}", text)
        with open(self.conf(), "w", encoding="utf-8") as file:
            file.write(text)

    def start_senders(self, seed="load", port=None, pause_ms=25):
        words = ["send", "--notes", self.sent, "--port", str(port or self.way_in.port), "--ca", self.gateway.ca, "--user", "erp", "--password-file", self.password,
                 "--sender", ALEX, MARIA, "--seed", seed, "--sessions", str(SESSIONS), "--pause-ms", str(pause_ms)]
        self.senders = Process(self.directory, "senders", [*LEDGER, *words])
        self.addCleanup(self.senders.end)
        self.wait_for_answers()

    def answers(self):
        if not os.path.exists(self.sent):
            return []
        with open(self.sent, encoding="utf-8") as file:
            notes = [json.loads(line) for line in file if line.endswith("\n")]
        return [note for note in notes if note["what"] in ("answer", "lost", "denied")]

    def wait_for_answers(self, count=SESSIONS // 2):
        before = sum(note.get("code") == 250 for note in self.answers())
        wait_until("letters are answered", lambda: sum(note.get("code") == 250 for note in self.answers()) >= before + count, 4 * PATIENCE)

    def finish(self):
        """The senders end what they began; everything goes."""
        self.senders.process.send_signal(signal.SIGTERM)
        # One whose connection fell silent waits a minute before it begins anew.
        wait_until("the senders end", lambda: self.senders.process.poll() is not None, 4 * PATIENCE)
        self.assertEqual(self.senders.process.returncode, 0, self.senders.log()[-2000:])
        try:
            wait_until("the queue is empty", lambda: self.gateway.command("queue", "list")["items"] == [], 4 * PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(self.gateway.command('queue', 'list')['items'][:5], indent=1)}") from None

    def check(self, duplicates=0, *more):
        """Everything that the ledger complains of, but for further copies as many as connections were cut behind a dot."""
        done = subprocess.run([*LEDGER, "check", "--sent", self.sent, "--received", self.received, "--kills", self.kills, "--house", self.gateway.data,
                               "--program", PROGRAM, "--drain-seconds", "60", *more], capture_output=True, text=True, timeout=6 * PATIENCE, check=False)
        print(done.stdout[-2000:], file=sys.stderr, flush=True)
        complaints = [line for line in done.stdout.splitlines() if re.match(r"I\d ", line)]
        further = [line for line in complaints if line.startswith("I3 ")]
        self.assertEqual([line for line in complaints if line not in further], [], done.stdout + done.stderr)
        self.assertLessEqual(len(further), duplicates, "\n".join(further))
        self.assertIn("the ledger", done.stdout, done.stderr)

    def reload(self):
        os.kill(self.gateway.process.pid, signal.SIGHUP)


def rough(dice):
    """How a bad network treats a connection."""
    how = {"latency_s": dice.choice((0, 0, 0.002, 0.02))}
    kind = dice.randrange(8)
    if kind == 0:
        how["cut_up"] = dice.randrange(1, 20000)
    elif kind == 1:
        how["cut_down"] = dice.randrange(1, 4000)
    elif kind == 2:
        how["bytes_per_s"] = dice.choice((20000, 100000))
    return how


class R19(Load):
    def drop(self, percent):
        rules = f"add table inet rain\nadd chain inet rain in {{ type filter hook input priority 0; }}\n"
        rules += "".join(f"add rule inet rain in tcp dport {port} numgen random mod 100 < {percent} drop\n" for port in (self.out.port, self.way_in.port))
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def dry(self):
        subprocess.run(["nft", "delete", "table", "inet", "rain"], stderr=subprocess.DEVNULL, check=False)

    def test_r19_network_chaos(self):
        """Delays, slow lines, cuts at any byte, resets, lost packets, holes, on both sides: I1 and the rest hold, and a copy too many has its cut."""
        self.addCleanup(self.dry)
        for proxy in (self.way_in, self.out):
            proxy.treat = lambda number: rough(self.dice)
        self.start_senders()
        end, resets = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            time.sleep(self.dice.uniform(0.2, 0.6))
            what = self.dice.randrange(4)
            if what == 0:
                self.dice.choice((self.way_in, self.out)).reset_all()
                resets += 1
            elif what == 1:
                self.drop(self.dice.choice((3, 99)))
                time.sleep(self.dice.uniform(0.1, 1))
                self.dry()
        for proxy in (self.way_in, self.out):
            proxy.treat = lambda number: {}
        self.wait_for_answers()
        self.finish()
        self.check(duplicates=self.out.cuts + 2 * 4 * resets)


class R21(Load):
    def check_words(self):
        """Nobody was refused for good but by the sink's own word, and put off only in the words for it."""
        letters = {}
        with open(self.sent, encoding="utf-8") as file:
            for line in file:
                note = json.loads(line)
                if note["what"] == "letter":
                    letters[note["seq"]] = note["recipients"]
                elif note["what"] == "denied":
                    self.fail(f"denied: {note}")
                elif note["what"] == "answer" and note["code"] // 100 == 5:
                    self.assertTrue(any(r.split(".")[0] in ("refuse", "deny") for r in letters[note["seq"]]), note)
                elif note["what"] == "answer" and note["code"] // 100 == 4:
                    self.assertIn(note["code"], (421, 450, 451, 454), note)

    def test_r21_stopped_and_started_under_load(self):
        self.start_senders(port=self.gateway.ports["submission"])
        for _ in range(max(1, int(SECONDS / 4))):
            self.assertEqual(self.gateway.end(), 0, "it did not end by itself")
            self.gateway.start()
            self.wait_for_answers()
        self.finish()
        self.check_words()
        self.check()

    if chaos.PROVE:  # in short it is test_kill
        def test_r21_roles_replaced_one_after_the_other(self):
            """By a blow each: a role takes no word to end but the keeper's."""
            self.start_senders(port=self.gateway.ports["submission"])
            for _ in range(max(1, int(SECONDS / 10))):
                for role in ("gate", "vault", "post", "desk"):
                    pid = self.gateway.roles()[role]
                    os.kill(pid, signal.SIGTERM)
                    with open(self.kills, "a", encoding="utf-8") as file:
                        file.write(json.dumps({"kill": role, "at": time.time()}) + "\n")
                    os.kill(pid, signal.SIGKILL)
                    wait_until(f"another {role}", lambda role=role, pid=pid: self.gateway.roles()[role] != pid)
                    self.wait_for_answers()
            self.finish()
            self.check_words()
            self.check()

    def test_r21_reloaded_each_second_under_load(self):
        """Nothing at all is noticed: no connection ends, nobody is put off."""
        self.gateway.end()
        self.gateway.start()  # on the ports that its file names now
        self.start_senders(port=self.gateway.ports["submission"])
        with open(self.conf(), encoding="utf-8") as file:
            text = file.read()
        for number in range(max(3, int(SECONDS / 2))):
            with open(self.conf(), "w", encoding="utf-8") as file:
                file.write(f"verdict_wait_ms = {900 + number}\n" + text)
            before = self.gateway.log().count('"role.reloaded"')
            self.reload()
            wait_until("it is reloaded", lambda before=before: self.gateway.log().count('"role.reloaded"') >= before + 5)
        self.finish()
        self.check_words()
        for note in self.answers():
            self.assertNotEqual(note["what"], "lost", note)
            self.assertNotIn(note.get("code"), (421, 451, 454), note)
        self.check()

    def test_r21_the_way_back_is_refused(self):
        """What a newer version wrote, in any of the three places, is left as it is, and the start says so in a clear word. Put back, all of it goes out."""
        self.out.treat = lambda number: {"cut_down": 0}
        with smtp(self.gateway, password=open(self.password, encoding="utf-8").read()) as session:
            code, reply = submit(session, text=chaos.letter(number=21), to="take.21@fabrikam.example")
        self.assertEqual((code, "queued: " in reply), (250, True), reply)
        self.gateway.end()
        house = self.gateway.data
        segment = os.path.join(house, "spool", min(name for name in os.listdir(os.path.join(house, "spool")) if name.startswith("segment")))

        def newer_database(path):
            with contextlib.closing(sqlite3.connect(path)) as database:
                number, = database.execute("PRAGMA user_version").fetchone()
                database.execute(f"PRAGMA user_version = {number + 7}")
                database.commit()
            return lambda: undo(path, number)

        def undo(path, number):
            with contextlib.closing(sqlite3.connect(path)) as database:
                database.execute(f"PRAGMA user_version = {number}")
                database.commit()

        def newer_segment(path):
            with open(path, "r+b") as file:
                before = file.read(8192)
                for at in (0, 4096):
                    head = bytearray(before[at:at + 4096])
                    if head[:7] == b"PSTNSEG":
                        head[12:16] = struct.pack("<I", 99)
                        head[8:12] = struct.pack("<I", crc32c(bytes(head[12:])))
                        file.seek(at)
                        file.write(head)

            def restore():
                with open(path, "r+b") as file:
                    file.write(before)
            return restore
        for path, change in ((os.path.join(house, "vault", "vault.db"), newer_database), (os.path.join(house, "spool", "index.db"), newer_database),
                             (segment, newer_segment)):
            with self.subTest(path=os.path.basename(path)):
                owner = os.stat(path)
                restore = change(path)
                names = sorted(os.listdir(os.path.dirname(path)))
                done = subprocess.run([PROGRAM, "serve", "--data", house], stdin=subprocess.DEVNULL, capture_output=True, env=chaos.environment(), text=True,
                                      timeout=4 * PATIENCE, check=False)
                left = sorted(name for name in os.listdir(os.path.dirname(path)) if not name.endswith(("-wal", "-shm")))
                restore()
                for name in os.listdir(os.path.dirname(path)):
                    os.chown(os.path.join(os.path.dirname(path), name), owner.st_uid, owner.st_gid)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, r"(?m)^postern: .*written by a newer Postern.*Install that version or a later one")
                self.assertEqual(left, [name for name in names if not name.endswith(("-wal", "-shm"))])
        self.out.treat = lambda number: {}
        self.gateway.start()

        def arrived():
            with open(self.received, encoding="utf-8") as file:
                return sum("take.21@" in line for line in file)
        wait_until("it arrives", arrived)
        wait_until("the queue is empty", lambda: self.gateway.command("queue", "list")["items"] == [])
        self.assertEqual(arrived(), 1)


def crc32c(data):
    """Castagnoli's, bit by bit."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class R24(Load):
    def disk_kb(self):
        """What the house occupies: the segments in use, both databases."""
        return int(subprocess.run(["du", "-sk", self.gateway.data], capture_output=True, text=True, check=True).stdout.split()[0])

    def strike(self, first_half):
        """One fault of the many."""
        what = self.dice.choice(("reset", "reload", "endpoint", "hold", "hole", "calm", "calm", "role" if first_half else "calm"))
        if what == "reset":
            self.resets += 1
            self.dice.choice((self.way_in, self.out)).reset_all()
        elif what == "reload":
            self.reload()
        elif what == "endpoint":
            self.twin.reset("faults")  # one that no request has met
            self.twin.fault(self.dice.choice(("down", "unavailable", "html", "too_many")), stage="token", times=1, ms=500)
        elif what == "hold":
            items = []
            with contextlib.suppress(Failed):  # post may be on its way back
                items = self.gateway.command("queue", "list")["items"]
            for item in items[:3]:
                for word in ("hold", "release"):
                    with contextlib.suppress(Exception):  # it may have gone meanwhile
                        self.gateway.command("queue", word, item["id"])
        elif what == "hole":
            self.out.treat = lambda number: {"cut_up": 0}
            self.out.reset_all()
            self.resets += 1
            time.sleep(self.dice.uniform(0.2, 2))
            self.out.treat = lambda number: rough(self.dice)
        elif what == "role":
            role = self.dice.choice(("gate", "vault", "post", "desk"))
            with open(self.kills, "a", encoding="utf-8") as file:
                file.write(json.dumps({"kill": role, "at": time.time()}) + "\n")
            with contextlib.suppress(ProcessLookupError):
                self.gateway.kill(role)
        self.struck[what] = self.struck.get(what, 0) + 1

    def storm(self, seconds, first_half):
        for proxy in (self.way_in, self.out):
            proxy.treat = lambda number: rough(self.dice)
        self.start_senders(seed=f"{SEED}.{first_half}", pause_ms=40)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.dice.uniform(0.3, 1.5))
            self.strike(first_half)
        for proxy in (self.way_in, self.out):
            proxy.treat = lambda number: {}
        self.gateway.back()
        self.wait_for_answers()
        self.finish()

    def test_r24_soak(self):
        """The first half with deaths, the second without: then each role is the process that was measured in between, and has not grown."""
        self.struck, self.resets = {}, 0
        self.storm(SOAK / 2, True)
        time.sleep(2)
        with open(self.before, "w", encoding="utf-8") as file:
            subprocess.run([*LEDGER, "footprint", "--house", self.gateway.data], stdout=file, check=True, timeout=PATIENCE)
        disk = self.disk_kb()
        self.storm(SOAK / 2, False)
        print(self.struck, file=sys.stderr, flush=True)
        self.check(self.out.cuts + 2 * 4 * self.resets, "--before", self.before, "--rest-seconds", "60", "--more-memory-kb", "131072")
        self.assertLess(self.disk_kb(), disk + 3 * 4096 + 2048, "the disk fills")


if __name__ == "__main__":
    unittest.main()
