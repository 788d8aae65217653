"""`kill -9` of each role, of the keeper and of all at once, under load: the ledger of what was acknowledged, refused and received balances.

KILL_ROUNDS rounds (10), KILL_SEED for the same choices again (not the same timing). Every third kill is aimed at the window that was hit least: a role is
halted, or the disk and the network of post are slow, until something is in that window and the blow falls. From 300 rounds on no window may have been missed.
"""
import os
import random
import signal
import sys
import time
import unittest

from harness import needs_root
from house import VICTIMS, House, is_alive
from windows import WINDOWS, Windows

ENOUGH_ROUNDS, AIM_SECONDS = 300, 2

# How a window is held open, and who dies in it.
AIMS = {
    "grant": ("halt vault", ("vault", "gate")), "asking": ("halt vault", ("vault", "post")), "receiving": ("halt post", ("gate", "all")),
    "body": ("halt sink", ("post", "all")), "refused": ("halt gate", ("gate", "post", "all")), "starting": ("twice", ("gate", "vault", "post", "all")),
    **dict.fromkeys(("gathered", "committing", "committed", "connecting", "replied", "reporting"), ("slow", ("post", "all"))),
}
SLOW = ["-e", "trace=fdatasync,connect", "-e", "inject=fdatasync:delay_exit=30000", "-e", "inject=connect:delay_exit=30000"]


class Reading(unittest.TestCase):
    """The reading of what a kill hit, from a log written by hand."""

    def read(self, *records):
        windows = Windows("")
        for record in ({"event": "keeper.started"}, *records):
            windows.take(record)
        return {name: count for name, count in windows.hits.items() if count}

    @staticmethod
    def step(step, number="1"):
        return {"event": "post.step", "id": number, "step": step}

    @staticmethod
    def session(step):
        return {"event": "gate.step", "about": "s", "step": step}

    @staticmethod
    def death(role, number=9):
        return {"event": "keeper.role_died", "name": role, "signal": number}

    def test_the_last_step_counts_and_once_a_death(self):
        self.assertEqual(self.read(self.step("gathered"), self.step("committing"), self.step("committing", "2"), self.death("post")), {"committing": 1})
        self.assertEqual(self.read(self.step("dot"), self.step("gone"), self.death("post")), {})
        self.assertEqual(self.read(self.step("dot"), self.death("gate")), {})
        self.assertEqual(self.read(self.step("dot"), self.death("post", 11)), {})
        self.assertEqual(self.read(self.step("dot"), {"event": "keeper.started"}), {"dot": 1})
        self.assertEqual(self.read(self.step("dot"), {"event": "keeper.stopped"}, {"event": "keeper.started"}), {})

    def test_what_was_committed_waits_behind_a_death(self):
        self.assertEqual(self.read(self.step("dot"), self.death("post"), self.death("post")), {"dot": 1, "waiting": 1})
        self.assertEqual(self.read(self.step("committing"), self.death("post"), self.death("post")), {"committing": 1})

    def test_sessions_and_replies(self):
        self.assertEqual(self.read(self.session("grant"), self.death("vault")), {"grant": 1})
        self.assertEqual(self.read(self.session("grant"), self.session("granted"), self.death("gate")), {})
        self.assertEqual(self.read(self.session("ended"), self.step("refused"), self.step("gone"), self.death("gate")), {"verdict": 1, "refused": 1})
        said = {"event": "gate.message", "about": "s", "id": "1"}
        self.assertEqual(self.read(self.session("ended"), self.step("refused"), said, self.death("gate")), {"answered": 1})
        self.assertEqual(self.read(self.session("ended"), said, self.step("heard"), self.death("gate")), {})

    def test_a_death_that_others_notice_before_the_keeper(self):
        noticed = {"event": "link.ended", "peer": "vault"}
        self.assertEqual(self.read(self.session("grant"), noticed, self.session("granted"), self.death("vault")), {"grant": 1})
        started = {"event": "keeper.role_started", "name": "vault"}
        self.assertEqual(self.read(self.session("grant"), noticed, self.session("granted"), started, {"event": "role.ready", "role": "vault"}, self.death("vault")), {})

    def test_reports_and_starts(self):
        self.assertEqual(self.read(self.step("reporting"), self.step("committing"), self.death("post")), {"reporting": 1})
        self.assertEqual(self.read(self.step("reporting"), self.step("committed"), self.death("post")), {"committed": 1})
        self.assertEqual(self.read({"event": "keeper.role_started", "name": "post"}, self.death("post")), {"starting": 1})
        self.assertEqual(self.read({"event": "keeper.role_started", "name": "post"}, {"event": "role.ready", "role": "post"}, self.death("post")), {})


class Kill(House):
    @staticmethod
    def is_open(windows, name):
        """Waits a while until some message is in that window."""
        until = time.monotonic() + AIM_SECONDS
        while name not in windows.open() and time.monotonic() < until:
            time.sleep(0.002)

    def aim(self, windows, name, dice):
        """Holds a window open, then strikes when something is in it."""
        how, victims = AIMS[name]
        victim = dice.choice(victims)
        verb, _, role = how.partition(" ")
        self.wait_for_all_roles()
        if verb == "twice":
            self.strike(victim)
            self.strike(victim, dice.uniform(0, 0.1))
        elif verb == "slow":
            with self.traced("post", *SLOW):
                time.sleep(dice.uniform(0.05, 0.15))
                self.is_open(windows, name)
                self.strike(victim)
        else:
            pid = self.sink.process.pid if role == "sink" else self.gateway.roles()[role]
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(dice.uniform(0.05, 0.25))
                if role in ("gate", "vault"):  # a 250 that sink or post could not write or read for long would look like a copy that nothing explains
                    self.is_open(windows, name)
                self.strike(victim)
            finally:
                if role == "sink" or is_alive(pid):
                    os.kill(pid, signal.SIGCONT)

    @needs_root
    def test_kill_of_each_role_and_of_all_under_load(self):
        rounds, seed = int(os.environ.get("KILL_ROUNDS", "10")), int(os.environ.get("KILL_SEED", str(random.randrange(1 << 32))))
        print(f"KILL_SEED={seed} KILL_ROUNDS={rounds}", file=sys.stderr, flush=True)
        dice = random.Random(seed)
        self.send_a_few("before")
        before = self.footprints()
        self.start_senders(seed)
        order, windows = [], Windows(self.gateway.log_path)
        for number in range(rounds):
            time.sleep(dice.uniform(0.01, 0.5))
            if number % 3 == 2:
                least = min(windows.hits[name] for name in AIMS)
                self.aim(windows, dice.choice([name for name in AIMS if windows.hits[name] == least]), dice)
            else:
                order = order or dice.sample(VICTIMS, len(VICTIMS))
                self.strike(order.pop())
            self.wait_for_answers()
            windows.follow()
        self.assertEqual(self.senders.end(), 0, self.senders.log()[-4000:])
        self.wait_for_an_empty_queue()
        windows.follow()
        print(windows.table(), file=sys.stderr, flush=True)
        if rounds >= ENOUGH_ROUNDS:
            self.assertEqual([name for name in WINDOWS if not windows.hits[name]], [], "no kill hit these")
        # After one more start the vault must open what it sealed, or nothing is signed in; and nothing comes out of the spool a second time.
        self.gateway.end()
        self.gateway.start()
        self.send_a_few("after")
        for role, after in self.footprints().items():
            for what, count in after.items():
                self.assertLessEqual(count, before[role][what] + 6, f"{role}: more {what} than before: {before[role]}, {after}")
        self.check()


if __name__ == "__main__":
    unittest.main()
