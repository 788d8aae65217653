"""What the tests share that kill, cut and starve a Postern under load: a house whose provider is the ledger's sink, the ledger's senders, and the blow.
"""
import contextlib
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from datetime import datetime

import peers
from harness import ALEX, MARIA, MARIA_PASSWORD, PATIENCE, PROGRAM, ROOT, Case, Failed, Postern, Process, wait_until

LEDGER = [sys.executable, os.path.join(ROOT, "tools", "ledger")]
ROLES = ("gate", "vault", "post", "desk")
VICTIMS = (*ROLES, "keeper", "all")
SESSIONS, CONNECTIONS = 8, 16


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


def is_traced(pid):
    """Every thread of it; what has died meanwhile is not."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8") as file:
                if "TracerPid:\t0\n" in file.read():
                    return False
    except OSError:
        return False
    return True


class House(Case):
    """`linger_ms` is the sink's, `verdict_wait` the client's, `boot` stands in the boot file."""

    linger_ms, verdict_wait, boot = "60", "1000ms", 'log_level = "debug"\n'

    def setUp(self):
        super().setUp()
        self.twin.switch("messages_per_minute", 0)
        authority = peers.Authority(self.directory)
        self.sent, self.received, self.kills = (os.path.join(self.directory, name) for name in ("sent", "received", "kills"))
        self.sink = Process(self.directory, "sink", [*LEDGER, "sink", "--notes", self.received, "--certificate", authority.certificate, "--key", authority.key,
                                                     "--linger-ms", self.linger_ms])
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
            file.write(self.gateway.add_client("erp", (ALEX, MARIA), "contoso", "--verdict-wait", self.verdict_wait))

    def postern_trusting(self, trust):
        gateway = Postern(self.directory, trust, more=f"retry_longest = 1\nprobe_longest = 1\nconnections_per_mailbox = {CONNECTIONS}\nsegment_bytes = 4194304\nupstream_idle_ms = 1000\n{self.boot}")
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

    def sender(self):
        """One of the ledger's senders, in this process: one session, which signs in when it has to."""
        options = types.SimpleNamespace(port=self.gateway.ports["submission"], ca=self.gateway.ca, user="erp", password_file=self.password)
        return ledger.Sender(options, 0, ledger.Notes(self.sent), threading.Event())

    @staticmethod
    def begin(sender, letter):
        """Notes it, as must be before it is tried."""
        sender.notes.put(what="letter", seq=letter.seq, sender=letter.sender, recipients=letter.recipients, sha256=letter.sha256)

    def give(self, sender, letter):
        """Until it has its final reply."""
        self.begin(sender, letter)
        wait_until(f"{letter.seq} has its reply", lambda: sender.attempt(letter))

    def wait_for_an_empty_queue(self):
        wait_until("the queue is empty", lambda: self.gateway.command("queue", "list")["items"] == [], 4 * PATIENCE)

    def live(self, name):
        """The life of a session: a small letter, one recipient of which is refused and reported, and one with a file of its own; the queue is empty behind it."""
        sender = self.sender()
        self.give(sender, Letter(name + "-s", ("take", "refuse")))
        self.give(sender, Letter(name + "-l", ("take",), 300000))
        sender.forget()
        self.wait_until_over()

    def wait_until_over(self):
        """As wait_for_an_empty_queue(), while roles die."""
        def empty():
            try:
                return self.gateway.command("queue", "list").get("items") == []
            except Failed:
                return False
        wait_until("the queue is empty", empty)

    def deaths(self, since):
        """What the keeper said of deaths behind that place of the log."""
        with open(self.gateway.log_path, encoding="utf-8") as log:
            log.seek(since)
            return [json.loads(line) for line in log if '"keeper.role_died"' in line]

    def note_deaths(self, since):
        """For the ledger: when the keeper saw roles die. Returns how many did."""
        found = self.deaths(since)
        with open(self.kills, "a", encoding="utf-8") as notes:
            for record in found:
                notes.write(json.dumps({"kill": record["name"], "at": datetime.fromisoformat(record["time"]).timestamp()}) + "\n")
        return len(found)

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

    @contextlib.contextmanager
    def traced(self, role, *words, output="/dev/null"):
        """strace on all threads of a role, from outside its walls. It is killed in the end: asked to end, it may wait for the dead for ever."""
        pid = wait_until(f"{role} lives", lambda: next((p for p in [self.gateway.roles()[role]] if is_alive(p)), None))
        self.gateway.only_its_page = False  # a call that strace answers in the kernel's place looks like one that does not exist
        with subprocess.Popen(["strace", "-f", "-q", "-o", output, *words, "-p", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tracer:
            try:
                wait_until(f"strace holds {role}", lambda: tracer.poll() is not None or is_traced(pid))
                # It ends with 0 when the role does, which may have made the call that kills it already.
                self.assertIn(tracer.poll(), (None, 0), tracer.poll() is not None and tracer.stderr.read())
                yield tracer
            finally:
                tracer.kill()

    def note_kill(self, victim):
        with open(self.kills, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kill": victim, "at": time.time()}) + "\n")

    def fell(self, roles_too=True):
        """The keeper, and at the same moment all that it keeps, or these by its end."""
        pids = list(self.gateway.roles().values())
        self.gateway.process.send_signal(signal.SIGKILL)
        for pid in filter(is_alive, pids if roles_too else ()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.gateway.process.wait()
        wait_until("the roles are gone", lambda: not any(is_alive(pid) for pid in pids))
        self.sink.process.send_signal(signal.SIGCONT)  # were it halted until they are back, it would note long after the blow what it was given before

    def wait_for_all_roles(self):
        wait_until("all roles live", lambda: all(is_alive(pid) for pid in self.gateway.roles().values()))

    def strike(self, victim, pause_s=0.0):
        self.wait_for_all_roles()
        time.sleep(pause_s)
        self.note_kill(victim)
        if victim in ROLES:
            try:
                self.gateway.kill(victim)
            except ProcessLookupError:
                pass  # it was still dying of the blow before
            return
        self.fell(victim == "all")
        self.gateway.start()

    def check(self, *more, expected=0):
        """What the ledger says of it all; Postern runs."""
        done = subprocess.run([*LEDGER, "check", "--sent", self.sent, "--received", self.received, *(("--kills", self.kills) if os.path.exists(self.kills) else ()),
                               "--house", self.gateway.data, "--program", PROGRAM, *more], capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
        print(done.stdout, file=sys.stderr, flush=True)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        return done.stdout


def load_ledger():
    """tools/ledger as a module: its letters and its senders, one at a time."""
    loader = importlib.machinery.SourceFileLoader("ledger", LEDGER[1])
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("ledger", loader))
    loader.exec_module(module)
    return module


ledger = load_ledger()


class Letter:
    """A letter with a fate for each recipient, of about that size."""

    def __init__(self, seq, fates, size=500, sender=ALEX):
        self.seq, self.sender = seq, sender
        self.recipients = [f"{fate}.{seq}.{index}@{ledger.DOMAIN}" for index, fate in enumerate(fates)]
        self.body = f"{seq}\r\n" + ("x" * 70 + "\r\n") * (size // 72)
        self.text = (f"From: <{sender}>\r\nTo: undisclosed-recipients:;\r\nSubject: {seq}\r\nMessage-ID: <{seq}@ledger.example>\r\n"
                     f"X-Ledger: {seq}\r\n\r\n{self.body}").encode()
        self.sha256 = hashlib.sha256(self.body.encode()).hexdigest()


class SharedHouse(House):
    """One house for all tests of a class, since to raise one takes longer than most of them; so its ledger grows from test to test."""

    standing = None
    KEPT = ("directory", "sent", "received", "kills", "sink", "sink_port", "trust", "gateway", "password")

    def setUp(self):
        cls = type(self)
        if cls.standing:
            self.__dict__.update(cls.standing)
            return
        self.addCleanup = cls.addClassCleanup
        try:
            super().setUp()
        finally:
            del self.addCleanup
        cls.standing = {name: getattr(self, name) for name in self.KEPT}
