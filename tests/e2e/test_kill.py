"""`kill -9` of each role, of the keeper and of all at once, under load: the ledger of what was acknowledged, refused and received balances.

KILL_ROUNDS rounds (10), KILL_SEED for the same choices again (not the same timing). Every third kill is aimed at the window that was hit least: a role is
halted, or the disk and the network of post are slow, until the blow falls. From 300 rounds on no window may have been missed.
"""
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import unittest

import peers
from harness import ALEX, MARIA, MARIA_PASSWORD, PATIENCE, PROGRAM, ROOT, Case, Postern, Process, needs_root, wait_until
from windows import WINDOWS, Windows

LEDGER = [sys.executable, os.path.join(ROOT, "tools", "ledger")]
ROLES = ("gate", "vault", "post", "desk")
VICTIMS = (*ROLES, "keeper", "all")
SESSIONS, CONNECTIONS = 8, 6
ENOUGH_ROUNDS = 300

# How a window is held open, and who dies in it.
AIMS = {
    "grant": ("halt vault", ("vault", "gate")), "asking": ("halt vault", ("vault", "post")), "receiving": ("halt post", ("gate", "all")),
    "body": ("halt sink", ("post", "all")), "refused": ("halt gate", ("gate", "post", "all")), "starting": ("twice", ("gate", "vault", "post", "all")),
    **dict.fromkeys(("gathered", "committing", "committed", "connecting", "replied", "reporting"), ("slow", ("post", "all"))),
}
SLOW = ["-e", "trace=fdatasync,connect", "-e", "inject=fdatasync:delay_exit=30000", "-e", "inject=connect:delay_exit=30000"]


class Trust:
    """What Postern has to trust: the twin's authority for tokens, the peers' for the sink."""

    def __init__(self, directory, *files):
        self.ca = os.path.join(directory, "both-ca.pem")
        with open(self.ca, "w", encoding="utf-8") as out:
            for path in files:
                with open(path, encoding="utf-8") as file:
                    out.write(file.read())


def is_alive(pid):
    """A zombie is dead: its parent is busy or was killed before it. So is one whose number somebody else has now. One that is on its way out has no
    command line any more, but still its listening sockets."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                return False
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            line = file.read()
        return line.startswith("postern") or not line
    except OSError:
        return False


def footprint(pid):
    """Open descriptors, which root alone may see, since the roles are undumpable; and threads."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        threads = int(re.search(r"^Threads:\s*(\d+)", file.read(), re.M).group(1))
    return {"descriptors": len(os.listdir(f"/proc/{pid}/fd")), "threads": threads}


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


class Kill(Case):
    def setUp(self):
        super().setUp()
        self.twin.switch("messages_per_minute", 0)
        authority = peers.Authority(self.directory)
        self.sent, self.received, self.kills = (os.path.join(self.directory, name) for name in ("sent", "received", "kills"))
        self.sink = Process(self.directory, "sink", [*LEDGER, "sink", "--notes", self.received, "--certificate", authority.certificate, "--key", authority.key,
                                                     "--linger-ms", "60"])
        self.addCleanup(self.sink.end)
        self.sink_port = self.sink.line("ready").split()[1]
        self.trust = Trust(self.directory, self.twin.ca, authority.ca)
        self.raise_house()

    def raise_house(self):
        self.gateway = self.postern_trusting(self.trust)
        self.keep_ports()
        self.gateway.add_mailbox(self.twin)
        self.gateway.add_mailbox(self.twin, MARIA)
        self.gateway.command("provider", "set", "m365", "--smtp-port", self.sink_port)
        for address, more in ((ALEX, ()), (MARIA, (MARIA_PASSWORD,))):
            browser = self.gateway.link_mailbox(self.twin, address, *more)
            self.assertEqual(browser.status, 200, browser.words())
        self.password = os.path.join(self.directory, "password")
        with open(self.password, "w", encoding="utf-8") as file:
            file.write(self.gateway.add_client("erp", (ALEX, MARIA), "contoso", "--verdict-wait", "1000ms"))

    def postern_trusting(self, trust):
        gateway = Postern(self.directory, trust, more=f"retry_longest = 1\nprobe_longest = 1\nconnections_per_mailbox = {CONNECTIONS}\nsegment_bytes = 4194304\nupstream_idle_ms = 1000\nlog_level = \"debug\"\n")
        self.addCleanup(gateway.end)
        return gateway

    def keep_ports(self):
        """Senders and the redirect address keep what the system chose."""
        path = os.path.join(self.gateway.data, "postern.conf")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for name, port in self.gateway.ports.items():
            text = re.sub(rf"(listener {name} \{{[^}}]*?port = )0", rf"\g<1>{port}", text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def sender_words(self, seed, *more):
        return [*LEDGER, "send", "--notes", self.sent, "--port", str(self.gateway.ports["submission"]), "--ca", self.gateway.ca, "--user", "erp", "--password-file",
                self.password, "--sender", ALEX, MARIA, "--seed", str(seed), *more]

    def start_senders(self, seed):
        self.senders = Process(self.directory, "senders", self.sender_words(seed, "--sessions", str(SESSIONS), "--pause-ms", "25"))
        self.addCleanup(self.senders.end)
        self.wait_for_answers()

    def send_a_few(self, seed):
        done = subprocess.run(self.sender_words(seed, "--sessions", "4", "--count", "4"), capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.wait_for_an_empty_queue()

    def wait_for_an_empty_queue(self):
        wait_until("the queue is empty", lambda: self.gateway.command("queue", "list")["items"] == [], 4 * PATIENCE)

    def footprints(self):
        """Of a Postern that has sent something and rests."""
        connected = re.compile(rf":{int(self.sink_port):04X} 01 ")

        def rests():
            with open("/proc/net/tcp", encoding="utf-8") as file:
                return not connected.search(file.read())
        wait_until("kept connections are closed", rests)
        return {role: footprint(pid) for role, pid in self.gateway.roles().items()}

    def wait_for_answers(self):
        """Load flows: further letters get their answers."""
        def size():
            return os.path.getsize(self.sent) if os.path.exists(self.sent) else 0

        def answered():
            with open(self.sent, encoding="utf-8") as file:
                file.seek(before)
                return sum('"what": "answer"' in line and '"code": 250' in line for line in file) >= SESSIONS // 2
        before = size()
        wait_until("letters are answered", lambda: os.path.exists(self.sent) and self.senders_live() and answered())

    def senders_live(self):
        self.assertIsNone(self.senders.process.poll(), self.senders.log())
        return True

    def strike(self, victim, pause_s=0.0):
        wait_until("all roles live", lambda: all(is_alive(pid) for pid in self.gateway.roles().values()))
        time.sleep(pause_s)
        with open(self.kills, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kill": victim, "at": time.time()}) + "\n")
        if victim in ROLES:
            try:
                self.gateway.kill(victim)
            except ProcessLookupError:
                pass  # it was still dying of the blow before
            return
        pids = list(self.gateway.roles().values())
        self.gateway.process.send_signal(signal.SIGKILL)
        for pid in filter(is_alive, pids if victim == "all" else ()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.gateway.process.wait()
        wait_until("the roles are gone", lambda: not any(is_alive(pid) for pid in pids))
        self.gateway.start()

    def aim(self, how, victim, dice):
        """Holds a window open, then strikes."""
        verb, _, role = how.partition(" ")
        if verb == "twice":
            self.strike(victim)
            self.strike(victim, dice.uniform(0, 0.1))
        elif verb == "slow":
            with subprocess.Popen(["strace", "-f", "-q", "-o", "/dev/null", *SLOW, "-p", str(self.gateway.roles()["post"])],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracer:
                time.sleep(dice.uniform(0.1, 0.3))
                self.strike(victim)
                tracer.kill()  # asked to end, it may wait for the dead for ever
        else:
            pid = self.sink.process.pid if role == "sink" else self.gateway.roles()[role]
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(dice.uniform(0.05, 0.25))
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
                how, victims = AIMS[dice.choice([name for name in AIMS if windows.hits[name] == least])]
                self.aim(how, dice.choice(victims), dice)
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
        done = subprocess.run([*LEDGER, "check", "--sent", self.sent, "--received", self.received, "--kills", self.kills,
                               "--house", self.gateway.data, "--program", PROGRAM], capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
        print(done.stdout, file=sys.stderr, flush=True)
        self.assertEqual(done.returncode, 0, f"KILL_SEED={seed}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    unittest.main()
