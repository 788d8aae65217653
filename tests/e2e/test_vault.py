"""What the vault promises of its secrets: no branch on them, no trace of them in memory once they were used, keys that rotate under load."""
import os
import re
import subprocess
import threading
import time
import unittest

import harness
from harness import ALEX, APP_SECRET, BUILD, Case, Failed, smtp, submit, wait_until

PROVE = bool(os.environ.get("PROVE"))


class Timing(unittest.TestCase):
    def look(self, *words):
        program = os.path.join(BUILD, "release", "constant_time")
        return subprocess.run(["valgrind", "-q", "--error-exitcode=9", program, *words], capture_output=True, text=True, timeout=120)

    def test_t_timing_56_nothing_branches_on_a_secret(self):
        done = self.look()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "looked\n")

    def test_t_timing_56_a_branch_would_be_noticed(self):
        self.assertEqual(self.look("--leak").returncode, 9)


def memory_of(pid):
    """All readable memory of a process, piece by piece."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "r" not in rights or "w" not in rights:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            # The shadow of the sanitizer is terabytes of nothing.
            if end - start > 1 << 32:
                continue
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue


class Memory(Case):
    flavour = "release"

    def found(self, pid, pattern):
        return sum(len(re.findall(pattern, piece)) for piece in memory_of(pid))

    @harness.needs_root
    def test_t_vault_59_used_secrets_leave_no_trace(self):
        gateway, password = self.linked()
        with smtp(gateway, password=password) as session:
            self.assertEqual(submit(session)[0], 250)
        wait_until("the mail arrives", self.twin.mail)
        roles = gateway.roles()
        for name in ("gate", "vault", "post", "desk"):
            self.assertGreater(self.found(roles[name], rb"localhost"), 0, f"the memory of {name} was not read")
            self.assertEqual(self.found(roles[name], re.escape(password.encode())), 0, f"the client password is in the memory of {name}")
            self.assertEqual(self.found(roles[name], rb"1\.A[A-Za-z0-9_-]{80,}"), 0, f"a refresh token is in the memory of {name}")
        for name in ("gate", "post", "desk"):
            self.assertEqual(self.found(roles[name], re.escape(APP_SECRET.encode())), 0, f"the client secret is in the memory of {name}")


class Rotation(Case):
    def is_ready(self, gateway):
        try:
            return gateway.command("mailbox", "show", ALEX)["state"] == "ready"
        except Failed:
            return False

    def taken(self):
        """How many mails the twin ever took."""
        return self.twin.ask("/twin/mail")["last"]

    def test_t_vault_61_keys_rotate_under_load(self):
        gateway, password = self.linked()
        for limit in ("recipients_per_day", "messages_per_minute"):
            self.twin.switch(limit, "0")
        before, until = self.taken(), time.monotonic() + (600 if PROVE else 5)
        failed, sent = [], 0

        def rotate():
            while time.monotonic() < until:
                gateway.command("key", "rotate")
                time.sleep(1 if PROVE else 0.1)

        rotating = threading.Thread(target=rotate)
        rotating.start()
        while time.monotonic() < until:
            with smtp(gateway, password=password) as session:
                code, reply = submit(session)
            sent += 1
            if code != 250 or "accepted" not in reply:
                failed.append(reply)
        rotating.join()
        self.assertEqual(failed, [])
        wait_until("all old keys end", lambda: [k["state"] for k in gateway.command("key", "list")["items"]].count("current") == 1 and
                   all(k["state"] in ("current", "ended") for k in gateway.command("key", "list")["items"]))
        self.assertGreater(sent, 2)
        self.assertEqual(self.taken() - before, sent)
        gateway.kill("vault")
        wait_until("the vault is back", lambda: self.is_ready(gateway))
        with smtp(gateway, password=password) as session:
            self.assertEqual(submit(session)[0], 250)


if __name__ == "__main__":
    harness.unittest.main()
