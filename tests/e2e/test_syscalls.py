"""R2: kill -9 at every system call that a role makes in the life of a message; the ledger balances at every one.

The life: a session signs in, gives a small letter, one recipient of which is refused and reported, and one that is long enough for a file of its own. First
it is watched which calls each role makes; then the role is killed at the first, the second, the third of each. CALLS_STEP 1 takes every one of them, a larger
number every so many (by default a few of each role).
"""
import collections
import os
import random
import re
import sys
import unittest

from harness import needs_root, wait_until
from house import SharedHouse, is_alive

# These do not come back, or belong to the tracer.
NOT_KILLED_AT = {"exit", "exit_group", "restart_syscall", "rt_sigreturn", "???"}
FEW = 2


class EveryCall(SharedHouse):
    linger_ms, verdict_wait, boot = "0", "1000ms", ""

    def watch(self, role):
        """How often one thread of the role makes each call, at most."""
        path = os.path.join(self.directory, "calls-" + role)
        with self.traced(role, output=path):
            self.live("watched-" + role)
        counts = collections.Counter()
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                found = re.match(r"(\d+)\s+(\w+)\(", line)
                if found and found.group(2) not in NOT_KILLED_AT:
                    counts[found.groups()] += 1
        most = {}
        for (_, call), count in counts.items():
            most[call] = max(most.get(call, 0), count)
        return [(call, number) for call in sorted(most) for number in range(1, most[call] + 1)]

    def kill_at(self, role, call, number):
        since = os.path.getsize(self.gateway.log_path)
        with self.traced(role, "-e", "trace=" + call, "-e", f"inject={call}:signal=KILL:when={number}"):
            self.live(f"{role}-{call}-{number}")
        self.wait_until_all_live()
        self.assertLessEqual({record["signal"] for record in self.deaths(since)}, {9})
        died = self.note_deaths(since)
        if died:  # the keeper waits longer and longer before it starts a role that dies again and again
            self.note_kill("all")
            self.fell()
            self.gateway.start()
        return died > 0

    def wait_until_all_live(self):
        wait_until("all roles live", lambda: all(is_alive(pid) for pid in self.gateway.roles().values()))

    def kill_at_calls_of(self, role):
        step = int(os.environ.get("CALLS_STEP", "0"))
        places = self.watch(role)
        # Some calls are not made in every life; where a few will do, so many are tried that a few were reached.
        chosen, tried, killed = places[random.randrange(step)::step] if step else random.sample(places, len(places)), 0, 0
        while tried < len(chosen) and (step or killed < FEW):
            killed += self.kill_at(role, *chosen[tried])
            tried += 1
        print(f"{role}: {len(places)} calls in a life, {tried} chosen, {killed} times killed", file=sys.stderr, flush=True)
        self.assertGreaterEqual(killed, tried * 2 // 3 if step else FEW, "the others were not reached")
        self.gateway.end()
        self.gateway.start()
        self.check("--keep-keys")


def method(role):
    @needs_root
    def test(self):
        self.kill_at_calls_of(role)
    return test


for each in ("gate", "post", "vault", "desk"):
    setattr(EveryCall, "test_r2_kill_at_each_call_of_" + each, method(each))


if __name__ == "__main__":
    unittest.main()
