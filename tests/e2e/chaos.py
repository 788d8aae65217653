"""What the fault tests share: a provider that misbehaves on request, a proxy that mistreats connections, a clock that jumps, a network of its own.

All of it speaks on loopback only, in the network namespace that own_network() makes, and never decides whether a test passes.
"""
import contextlib
import ctypes
import hashlib
import os
import re
import smtplib
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time

import peers
from harness import ALEX, BUILD, Browser, MARIA, MARIA_PASSWORD, PATIENCE, ROOT, Case, environment, letter, smtp, submit, wait_until

PROVE = bool(os.environ.get("PROVE"))
NEWNET = 0x40000000


def own_network():
    """Puts this process, and all it starts from now on, into a network namespace with nothing but its own loopback. For root only."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=PATIENCE)


def trust_of(directory, *paths):
    """Something with the certificates of all those files, as harness.Postern wants it."""
    class Trust:
        ca = os.path.join(directory, "trusted.pem")
    with open(Trust.ca, "w", encoding="utf-8") as out:
        for path in paths:
            with open(path, encoding="utf-8") as file:
                out.write(file.read())
    return Trust


class Cut(Exception):
    """The provider ends the connection here."""


class Handled(Exception):
    """The provider has said what it wanted to say at this stage."""


class Provider(socketserver.ThreadingTCPServer):
    """A provider's SMTP: STARTTLS, any token; notes what it took. `script` is a list of (stage, what) that are met once each; `always` of those met
    every time. `what` is called with the visit, and may say, sleep, raise Cut or Handled. Stages: GREETING EHLO AUTH MAIL RCPT DATA BODY (first line of
    the message) DOT (all of it was read) AFTER (it was noted as taken, and no reply was given yet)."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, directory, authority=None):
        super().__init__(("127.0.0.1", 0), Visit)
        self.authority = authority or peers.Authority(directory)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.authority.certificate, self.authority.key)
        self.lock = threading.Lock()
        self.script, self.always, self.met, self.taken, self.visits, self.open = [], [], [], [], 0, 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def play(self, *stages, always=()):
        with self.lock:
            self.script, self.always, self.met = list(stages), list(always), []

    def next_of(self, stage):
        with self.lock:
            found = next((entry for entry in self.script if entry[0] == stage), None)
            if found:
                self.script.remove(found)
            else:
                found = next((entry for entry in self.always if entry[0] == stage), None)
            if found:
                self.met.append(stage)
            return found and found[1]

    def note(self, visit, message):
        with self.lock:
            self.taken.append({"sender": visit.sender, "recipients": list(visit.recipients), "raw": message,
                               "sha256": hashlib.sha256(message.partition(b"\r\n\r\n")[2]).hexdigest(), "at": time.monotonic()})

    def copies(self, mark):
        """How many messages with that text were taken."""
        with self.lock:
            return sum(mark.encode() in each["raw"] for each in self.taken)

    def handle_error(self, request, client_address):
        """A peer that is killed says no goodbye."""

    def end(self):
        self.shutdown()
        self.server_close()


class Visit(socketserver.BaseRequestHandler):
    """One session of the provider's."""

    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.request.makefile("rb")
        self.sender, self.recipients, self.said = None, [], 0
        with self.server.lock:
            self.server.visits += 1
            self.server.open += 1

    def finish(self):
        with self.server.lock:
            self.server.open -= 1

    def say(self, text):
        self.raw(text.encode() + b"\r\n")

    def raw(self, data):
        self.request.sendall(data)
        self.said += len(data)

    def stage(self, name):
        what = self.server.next_of(name)
        if what:
            what(self)

    def handle(self):
        with contextlib.suppress(Cut, OSError, ssl.SSLError, ValueError):
            with contextlib.suppress(Handled):
                self.stage("GREETING")
                self.say("220 provider ESMTP")
            while line := self.reader.readline(65536):
                verb = line[:4].upper().strip().decode("ascii", "replace")
                if verb == "QUIT":
                    self.say("221 2.0.0 bye")
                    return
                with contextlib.suppress(Handled):
                    getattr(self, "on_" + verb.lower(), self.on_other)(line.decode("utf-8", "replace"))

    def on_other(self, _):
        self.say("250 2.0.0 ok")

    def on_ehlo(self, _):
        self.stage("EHLO")
        secure = isinstance(self.request, ssl.SSLSocket)
        self.say("\r\n".join(["250-provider", "250-SIZE 157286400", "250-PIPELINING", "250-DSN", "250-ENHANCEDSTATUSCODES", "250-8BITMIME", "250-SMTPUTF8",
                              "250 AUTH LOGIN XOAUTH2" if secure else "250 STARTTLS"]))

    def on_star(self, _):
        self.stage("STARTTLS")
        self.say("220 2.0.0 go ahead")
        self.reader.close()
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.reader = self.request.makefile("rb")

    def on_auth(self, line):
        if len(line.split()) < 3:
            self.say("334 ")
            self.reader.readline(65536)
        self.stage("AUTH")
        self.say("235 2.7.0 Authentication successful")

    def on_mail(self, line):
        self.sender, self.recipients = re.search(r"<(.*?)>", line).group(1), []
        self.stage("MAIL")
        self.say("250 2.1.0 Sender OK")

    def on_rcpt(self, line):
        if self.sender is None:
            self.say("503 5.5.1 no sender")
            return
        self.stage("RCPT")
        self.recipients.append(re.search(r"<(.*?)>", line).group(1))
        self.say("250 2.1.5 Recipient OK")

    def on_data(self, _):
        if not self.recipients:
            self.say("503 5.5.1 no recipients")
            return
        self.stage("DATA")
        self.say("354 go ahead")
        self.read_body()

    def read_body(self):
        """From the 354 to the reply. What was read by then may still be refused."""
        self.stage("BODY")
        lines = []
        while (line := self.reader.readline(1 << 20)) != b".\r\n":
            if not line:
                raise Cut
            lines.append(line[1:] if line[:1] == b"." else line)
        self.stage("DOT")
        self.server.note(self, b"".join(lines))
        self.stage("AFTER")
        self.say("250 2.6.0 queued")


# --- what a provider may be told to do


def says(text):
    """That text instead of what is due. Behind a refused MAIL no recipient is taken."""
    def do(visit):
        visit.say(text)
        if text[:1] in ("4", "5") and not visit.recipients:
            visit.sender = None
        raise Handled
    return do


def says_and_ends(text):
    def do(visit):
        visit.say(text)
        raise Cut
    return do


def ends(visit):
    raise Cut


def waits(seconds):
    return lambda visit: time.sleep(seconds)


def drips(text, seconds):
    """One byte in so many seconds, for ever or until it was all said."""
    def do(visit):
        for byte in text.encode() + b"\r\n":
            visit.raw(bytes([byte]))
            time.sleep(seconds)
        raise Handled
    return do


# --- the proxy


class Proxy:
    """Between two ports of loopback. Each connection gets its treatment from `treat()`: a dict of latency_s, bytes_per_s, cut_up and cut_down (end after
    so many bytes to and from the server), stall_up (pass no more after so many bytes, but stay), twice (say the same to a second connection as well)."""

    def __init__(self, target, treat=lambda number: {}, host="127.0.0.1"):
        self.target, self.treat, self.count, self.cuts = target, treat, 0, 0
        self.listener = socket.create_server((host, 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                number, self.count = self.count, self.count + 1
                threading.Thread(target=self.connect, args=(client, self.treat(number)), daemon=True).start()

    def connect(self, client, how):
        try:
            time.sleep(how.get("latency_s", 0))
            server = socket.create_connection(("127.0.0.1", self.target), timeout=PATIENCE)
        except OSError:
            client.close()
            return
        for each in (client, server):
            each.settimeout(None)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.pairs.append((client, server))
        further = [socket.create_connection(("127.0.0.1", self.target))] if how.get("twice") else []
        threading.Thread(target=self.pump, args=(client, server, how, "up", further), daemon=True).start()
        self.pump(server, client, how, "down", [])

    def pump(self, source, sink, how, way, further):
        left, latency, rate, stall = how.get("cut_" + way), how.get("latency_s", 0), how.get("bytes_per_s"), how.get("stall_" + way)
        with contextlib.suppress(OSError):
            while data := source.recv(min(65536, max(1, rate // 20)) if rate else 65536):
                time.sleep(latency + (len(data) / rate if rate else 0))
                if stall is not None:
                    data, stall = data[:stall], stall - min(stall, len(data))
                if left is not None:
                    data, left = data[:left], left - min(left, len(data))
                for each in (sink, *further):
                    each.sendall(data)
                if left == 0:
                    with self.lock:
                        self.cuts += 1
                    break
        for each in (source, sink, *further):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def reset_all(self):
        """Every connection through it ends by RST, now."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for each in (one for pair in pairs for one in pair):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)  # else the thread that reads it would keep it open, silent
            each.close()

    def end(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.reset_all()


# --- the clock


class Clock:
    """The wall clock of a Postern and of its roles, which a test sets; the steady one goes on. Its environment goes to harness.Postern."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "clock")
        library = os.path.join(BUILD, "chaos_clock.so")
        source = os.path.join(ROOT, "tests", "e2e", "chaos_clock.c")
        if not os.path.exists(library) or os.path.getmtime(library) < os.path.getmtime(source):
            fresh = f"{library}.{os.getpid()}"
            subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", fresh, source], check=True, timeout=PATIENCE)
            os.rename(fresh, library)
        self.library = os.path.join(directory, "chaos_clock.so")
        with open(library, "rb") as source, open(self.library, "wb") as target:
            target.write(source.read())
        os.chmod(self.library, 0o755)
        self.set(0)
        os.chmod(self.path, 0o644)

    def set(self, seconds):
        """So many seconds ahead of the true time."""
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as file:
            file.write(struct.pack("q", int(seconds)))
        self.ahead = int(seconds)

    def authority(self, directory):
        """One whose certificates were valid twenty years ago and will be in thirty."""
        self.set(-20 * 365 * 86400)
        os.environ.update(LD_PRELOAD=self.library, CHAOS_CLOCK=self.path)
        try:
            return peers.Authority(directory, days=50 * 365)
        finally:
            del os.environ["LD_PRELOAD"], os.environ["CHAOS_CLOCK"]
            self.set(0)

    def environment(self):
        asan = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
        return {"LD_PRELOAD": f"{os.path.realpath(asan)} {self.library}", "CHAOS_CLOCK": self.path}


# --- a Postern in front of such a provider


class Chaos(Case):
    """One Postern of the class, its provider's SMTP a `Provider`; alex is linked and may send as `erp`."""

    more = "retry_longest = 1\nprobe_longest = 1\nverdict_wait_ms = 3000\nupstream_idle_ms = 0\n"
    with_clock = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = cls.class_directory
        cls.clock = Clock(cls.class_directory) if cls.with_clock else None
        cls.provider = Provider(cls.class_directory, cls.clock.authority(cls.class_directory) if cls.clock else None)
        cls.addClassCleanup(cls.provider.end)
        cls.gateway = cls.make_gateway()
        cls.addClassCleanup(cls.gateway.end)
        cls.letters = 0

    @classmethod
    def make_gateway(cls):
        from harness import Postern
        trust = trust_of(cls.class_directory, cls.twin.ca, cls.provider.authority.ca)
        gateway = Postern(cls.class_directory, trust, more=cls.more, env=cls.clock.environment() if cls.clock else None)
        gateway.add_mailbox(cls.twin)
        gateway.command("provider", "set", "m365", "--smtp-port", str(cls.provider.port))
        browser = gateway.link_mailbox(cls.twin)
        if browser.status != 200:
            raise AssertionError(browser.words())
        cls.password = gateway.add_client()
        return gateway

    def setUp(self):
        # Not reset as other cases do: the twin would forget what it granted, and the gateway is the class's.
        self.provider.play()

    def tearDown(self):
        self.heal()

    def next_letter(self, **more):
        type(self).letters += 1
        self.mark = f"<{self.letters}.{os.getpid()}@client.example>"
        return letter(number=self.letters, **more)

    def send(self, text=None, **more):
        with smtp(self.gateway, password=self.password) as session:
            return submit(session, text=text or self.next_letter(), **more)

    def queue(self):
        return self.gateway.command("queue", "list")["items"]

    def heal(self):
        """The provider works again; a person wants what waits tried now, and all of it goes."""
        self.provider.play()
        items = self.queue()
        if items:
            self.gateway.command("provider", "set", "m365", "--smtp-port", str(self.provider.port))
            for item in items:
                with contextlib.suppress(Exception):
                    self.gateway.command("queue", "retry", item["id"])
        wait_until("the queue is empty", lambda: self.queue() == [])

    def gone_once(self, times=1):
        """The last letter of next_letter() arrived that many times, and nothing of it waits."""
        self.heal()
        wait_until("it arrives", lambda: self.provider.copies(self.mark) >= times)
        self.assertEqual(self.provider.copies(self.mark), times)

    def link_maria(self):
        self.gateway.add_mailbox(self.twin, MARIA)
        browser = self.gateway.link_mailbox(self.twin, MARIA, MARIA_PASSWORD)
        self.assertEqual(browser.status, 200, browser.words())
