"""R5, R7 and R23: the disk fails, fills up, or belongs to somebody else. Nobody is told 250 for what is not kept; it goes on by itself when that has passed.

WRITES_STEP 1 lets every write of a message's life fail, with each of the four errors, once and from then on; without it a few are chosen.
"""
import errno
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

import harness
from harness import needs_root, wait_until
from house import Letter, SharedHouse, ledger
from test_power import Disk

ERRORS = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS")
WRITES_MOST = 24  # more than a life has


class Faults(SharedHouse):
    linger_ms, verdict_wait, boot = "0", "1000ms", ""

    def codes(self, seq):
        return [note["code"] for note in ledger.read_notes([self.sent]) if note.get("seq") == seq and note["what"] == "answer"]

    def restart(self):
        self.gateway.end()
        self.gateway.start()

    def settle(self):
        """All that was begun ends, and what was acknowledged is there: also after a start."""
        self.wait_for_an_empty_queue()
        self.restart()
        self.check("--keep-keys")

    def health(self):
        request = urllib.request.Request(f"http://localhost:{self.gateway.ports['web']}/healthz")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=harness.PATIENCE) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def logged_since(self, since, *events):
        with open(self.gateway.log_path, encoding="utf-8") as file:
            file.seek(since)
            text = file.read()
        return all(f'"{event}"' in text for event in events)

    def put_off(self, sender, letter):
        """It is tried, and put off. Returns with which code."""
        self.assertFalse(sender.attempt(letter), f"{letter.seq} had a final reply: {self.codes(letter.seq)}")
        codes = self.codes(letter.seq)
        self.assertTrue(codes and codes[-1] in (451, 452), codes)
        return codes[-1]

    @needs_root
    def test_r5_a_sync_fails_once(self):
        since = os.path.getsize(self.gateway.log_path)
        with self.traced("post", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1"):
            done = subprocess.run(self.sender_words("r5once", "--sessions", "6", "--count", "2"), capture_output=True, text=True, timeout=4 * harness.PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(self.logged_since(since, "post.sync_failed", "post.sync_mended"))
        with open(self.sent, encoding="utf-8") as file:
            self.assertRegex(file.read(), r'"seq": "r5once-[^}]*"code": 451')
        self.settle()

    @needs_root
    def test_r5_syncs_fail_always(self):
        letters = [Letter(f"r5always-{number}", ("take",)) for number in range(3)]
        sender = self.sender()
        for letter in letters:
            self.begin(sender, letter)
        with self.traced("post", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"):
            for letter in letters * 2:
                self.assertEqual(self.put_off(sender, letter), 451)
            wait_until("health is red", lambda: self.health() == 503)
            self.assertEqual(self.gateway.command("queue", "list")["items"], [])
            self.note_kill("all")
            self.fell()
        self.gateway.start()
        for letter in letters:
            wait_until("it is taken", lambda: sender.attempt(letter))
        sender.forget()
        self.assertEqual(self.health(), 200)
        self.settle()

    def a_write_fails(self, error, number, goes_on):
        """At that write of post's, and where it goes on at each behind it, until that has passed."""
        name = f"r7-{error}-{number}{'on' if goes_on else ''}"
        small, large = Letter(name + "-s", ("take", "refuse")), Letter(name + "-l", ("take",), 300000)
        sender = self.sender()
        when = f"{number}+" if goes_on else str(number)
        with self.traced("post", "-e", "trace=pwritev,pwritev2,fallocate", "-e", f"inject=pwritev,pwritev2,fallocate:error={error}:when={when}"):
            for letter in (small, large):
                self.begin(sender, letter)
                if not sender.attempt(letter):
                    sender.attempt(letter)
        for letter in (small, large):
            if 250 not in self.codes(letter.seq):
                wait_until(f"{letter.seq} is taken when it has passed", lambda: sender.attempt(letter))
            self.assertLessEqual(set(self.codes(letter.seq)), {250, 451, 452}, name)
        sender.forget()
        put_off = any({451, 452} & set(self.codes(letter.seq)) for letter in (small, large))
        self.wait_for_an_empty_queue()
        return put_off

    @needs_root
    def test_r7_every_write_fails(self):
        step = int(os.environ.get("WRITES_STEP", "0"))
        places = [(error, number, goes_on) for error in ERRORS for number in range(1, WRITES_MOST + 1) for goes_on in (False, True)]
        chosen = places[::step] if step else [(error, random.randrange(1, 4), random.random() < 0.5) for error in ERRORS]
        put_off = sum(self.a_write_fails(*place) for place in chosen)
        print(f"{len(chosen)} failures of a write, {put_off} of them put something off", file=sys.stderr, flush=True)
        self.assertGreater(put_off, 0)
        self.settle()

    @needs_root
    def test_r7_files_may_not_grow(self):
        """EFBIG from the kernel itself: a segment fits, a long body does not."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.gateway.end()
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, before[1]))
        try:
            self.gateway.start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sender, letter = self.sender(), Letter("r7-limit", ("take",), 7 << 20)
        self.begin(sender, letter)
        self.assertEqual(self.put_off(sender, letter), 452)
        self.give(sender, Letter("r7-limit-small", ("take",)))
        self.restart()
        wait_until("it is taken", lambda: sender.attempt(letter))
        sender.forget()
        self.settle()

    @needs_root
    def test_r7_a_full_disk_lets_reports_go_and_recovers_alone(self):
        data, aside = self.gateway.data, os.path.join(self.directory, "before-full")
        self.gateway.end()
        subprocess.run(["cp", "-a", data, aside], check=True)
        disk = Disk(self.directory, "ext4", data)
        try:
            disk.mount()
        except OSError as why:
            self.gateway.start()
            self.skipTest(f"no ext4 on a loop device here, so nothing is shown: {why}")
        try:
            shutil.copystat(aside, data)
            subprocess.run(["cp", "-a", aside + "/.", data], check=True)
            self.gateway.start()
            self.fill_and_relieve(os.path.join(data, "ballast"))
        finally:
            self.gateway.end()
            shutil.rmtree(aside)
            subprocess.run(["cp", "-a", data, aside], check=True)
            disk.unmount()
            subprocess.run(["cp", "-a", aside + "/.", data], check=True)
            self.gateway.start()
        self.settle()

    def fill_and_relieve(self, ballast):
        sender = self.sender()
        refused, large, later = Letter("r7-full-refused", ("refuse",)), Letter("r7-full-large", ("take",), 900000), Letter("r7-full-later", ("take",), 300000)
        self.give(sender, Letter("r7-full-first", ("take",)))
        with open(ballast, "wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 20)):
                    pass
            except OSError as full:
                self.assertEqual(full.errno, errno.ENOSPC)
        self.sink.process.send_signal(signal.SIGSTOP)
        try:
            self.give(sender, refused)  # answered 250 before the provider refuses it, so it has to be reported
        finally:
            self.sink.process.send_signal(signal.SIGCONT)
        self.begin(sender, large)
        self.assertEqual(self.put_off(sender, large), 452)
        wait_until("the report is there", lambda: any(note["what"] == "report" and note["seq"] == refused.seq for note in ledger.read_notes([self.received])))
        os.remove(ballast)
        wait_until("it is taken", lambda: sender.attempt(large))
        self.give(sender, later)
        sender.forget()

    @needs_root
    def test_r23_another_daemon_on_the_same_data_or_the_same_spool(self):
        other = os.path.join(self.directory, "other-data")
        subprocess.run(["cp", "-a", self.gateway.data, other], check=True)
        shutil.rmtree(os.path.join(other, "spool"))
        os.symlink(os.path.join(self.gateway.data, "spool"), os.path.join(other, "spool"))
        path = os.path.join(other, "postern.conf")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(re.sub(r"port = \d+", "port = 0", text).replace(self.gateway.data, other))
        for data in (self.gateway.data, other):
            second = subprocess.run([harness.PROGRAM, "serve", "--data", data], capture_output=True, text=True, timeout=harness.PATIENCE, env=harness.environment())
            self.assertNotEqual(second.returncode, 0, second.stderr)
            self.assertRegex(second.stderr, "another" if data == other else "another|Address already in use")
        sender = self.sender()
        self.give(sender, Letter("r23", ("take",)))
        sender.forget()
        self.settle()


if __name__ == "__main__":
    unittest.main()
