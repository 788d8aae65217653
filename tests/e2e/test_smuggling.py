"""T-SMUGGLE 12: no ending but CR LF . CR LF ends a message on its way in, and what goes out can be read in one way only.

The endings are those of the smuggling scanners that mail server authors use. What leaves us is read byte by byte by an analysing server; it and the attacks are
calibrated on two relays that have the fault: one hands bytes on as they are, the other takes every line end for one.
"""
import re
import smtplib
import socket
import socketserver
import threading
import unittest

from harness import Case, PATIENCE, smtp

OWNER = "owner@contoso.example"
ENDINGS = (b"\n.\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\r\n.\r\r\n", b"\n\n.\n\n", b"\n\n.\r\n",
           b"\r\r.\r\n", b"\r\n.\r\r\n", b"\r\n.\n\r\n", b"\n.\n\r\n.\r", b"\n\r.\n\r")
SMUGGLED = b"MAIL FROM:<smuggled@contoso.example>\r\nRCPT TO:<victim@fabrikam.example>\r\nDATA\r\nSubject: inner\r\n\r\ninner"
# What is sent by DATA, and what its lines are when the dots of transport are gone.
HONEST = ((b"a\r\n..\r\nb", b"a\r\n.\r\nb"), (b"a\r\n...\r\n..b\r\n", b"a\r\n..\r\n.b\r\n"), (b"..a\r\n\r\n..", b".a\r\n\r\n."), (b"a\r\n.b\r\n", b"a\r\nb\r\n"),
          (b"a.\r\n..\r\n" + SMUGGLED, b"a.\r\n.\r\n" + SMUGGLED))
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


class Analyser(socketserver.StreamRequestHandler):
    """A server that keeps every byte, and reads lines as RFC 5321 has them: nothing but CR LF ends one."""

    def handle(self):
        self.raw = b""
        self.say(b"220 analyser ESMTP")
        try:
            while self.command(self.line()):
                pass
        except (EOFError, ConnectionError):
            pass
        with self.server.lock:
            self.server.streams.append(self.raw)

    def say(self, text):
        self.wfile.write(text + b"\r\n")

    def read(self, size):
        piece = self.rfile.read(size)
        if len(piece) < size:
            raise EOFError
        self.raw += piece
        return piece

    def line(self):
        found = b""
        while not found.endswith(b"\r\n"):
            found += self.read(1)
        return found[:-2]

    def command(self, line):
        verb = line.split(b" ")[0].upper()
        if verb == b"EHLO":
            self.say(b"250-analyser\r\n250-8BITMIME\r\n250-SMTPUTF8" + (b"\r\n250-CHUNKING\r\n250 BINARYMIME" if self.server.is_chunking else b"\r\n250 HELP"))
            return True
        if verb == b"MAIL":
            self.envelope = [line]
            self.body = b""
        elif verb == b"RCPT":
            self.envelope.append(line)
        elif verb == b"DATA":
            self.say(b"354 go on")
            self.data()
        elif verb == b"BDAT":
            self.body += self.read(int(line.split(b" ")[1]))
            if line.upper().endswith(b"LAST"):
                self.keep(self.body)
        elif verb == b"QUIT":
            self.say(b"221 bye")
            return False
        self.say(b"250 2.0.0 fine")
        return True

    def data(self):
        lines = []
        while (line := self.line()) != b".":
            if line.startswith(b".") and not line.startswith(b".."):
                self.finding(b"a dot was not stuffed: " + line)
            lines.append(line[1:] if line.startswith(b".") else line)
        self.keep(b"\r\n".join(lines) + b"\r\n")

    def keep(self, body):
        with self.server.lock:
            self.server.mails.append((self.envelope, body))
        if any(b"smuggled@" in line or b"victim@" in line for line in self.envelope):
            self.finding(b"a second message came: " + b" ".join(self.envelope))

    def finding(self, text):
        with self.server.lock:
            self.server.found.append(text)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, handler, **more):
        self.lock = threading.Lock()
        self.streams, self.mails, self.found = [], [], []
        self.is_chunking = False
        self.__dict__.update(more)
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def handle_error(self, request, client_address):
        """A connection that ends early is what this is about."""

    def findings(self):
        """Of all connections that have ended."""
        with self.lock:
            return self.found + [b"bare: " + raw[max(0, at.start() - 9):at.end() + 9] for raw in self.streams for at in BARE.finditer(raw)]


class VulnerableRelay(socketserver.StreamRequestHandler):
    """Takes mail and hands it on at once, with one of the two faults."""

    def handle(self):
        self.wfile.write(b"220 relay\r\n")
        self.kept = b""
        envelope = []
        while (line := self.until(b"\r\n", b"\n")) is not None:
            verb = line.split(b" ")[0].upper()
            if verb in (b"MAIL", b"RCPT"):
                envelope = envelope + [line] if verb == b"RCPT" else [line]
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                body = self.until(b"\r\n.\r\n", b"\n.\n")
                if body is None:
                    return
                self.forward(envelope, body)
            self.wfile.write(b"250 fine\r\n")
            if verb == b"QUIT":
                return

    def until(self, strict, lenient):
        end = lenient if self.server.is_lenient else strict
        while end not in self.kept:
            piece = self.rfile.read1(65536)
            if not piece:
                return None
            if self.server.is_lenient:
                piece = piece.replace(b"\0", b"")
            self.kept += piece
            if self.server.is_lenient:
                self.kept = re.sub(rb"\r+\n?", b"\n", self.kept) if not self.kept.endswith(b"\r") else self.kept
        found, self.kept = self.kept.split(end, 1)
        return found

    def forward(self, envelope, body):
        with smtplib.SMTP("127.0.0.1", self.server.target, timeout=PATIENCE) as session:
            session.ehlo()
            for line in envelope + [b"DATA"]:
                session.docmd(line.decode())
            if self.server.is_lenient:
                body = body.replace(b"\n", b"\r\n")
            session.sock.sendall(body + b"\r\n.\r\n")
            session.getreply()


def attack(session, ending, more=SMUGGLED, chunked=False):
    """One message with such an ending in its middle; the code that its end was answered with."""
    text = b"Subject: outer\r\n\r\nbefore" + ending + more
    for line in (f"MAIL FROM:<{OWNER}>", "RCPT TO:<someone@fabrikam.example>"):
        code, reply = session.docmd(line)
        if code != 250:
            raise AssertionError((line, code, reply))
    if chunked:
        session.sock.sendall(b"BDAT %d LAST\r\n" % len(text) + text)
        return session.getreply()[0]
    if session.docmd("DATA")[0] != 354:
        raise AssertionError("DATA was refused")
    session.sock.sendall(text + b"\r\n.\r\n")
    return session.getreply()[0]


class TSmuggle(Case):
    def server(self, handler=Analyser, **more):
        server = Server(handler, **more)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def gateway(self, analyser, name):
        gateway = self.postern(name=name)
        gateway.command("org", "add", "contoso")
        gateway.command("provider", "add", "own", "--org", "contoso", "--kind", "smtp", "--smtp-host", "localhost", "--smtp-port", str(analyser.port), "--smtp-tls", "none")
        gateway.command("mailbox", "add", OWNER, "--org", "contoso", "--provider", "own")
        return gateway, gateway.add_client(mailboxes=(OWNER,))

    def test_t_smuggle_12_the_analyser_sees_a_smuggled_message(self):
        for is_lenient in (False, True):
            caught = 0
            for ending in ENDINGS:
                analyser = self.server()
                relay = self.server(VulnerableRelay, is_lenient=is_lenient, target=analyser.port)
                self.through(relay, ending, SMUGGLED)
                caught += self.seen(analyser)
            if is_lenient:
                self.assertGreater(caught, len(ENDINGS) / 2, "a relay that takes every line end was not seen to smuggle")
            else:
                self.assertEqual(caught, len([e for e in ENDINGS if BARE.search(e) or b"\r\n." in e]))  # the rest is text, a NUL in it
        analyser = self.server()
        relay = self.server(VulnerableRelay, is_lenient=False, target=analyser.port)
        self.assertEqual(self.through(relay, b"\r\n", b"harmless"), 250)
        self.assertEqual(self.seen(analyser), 0, "the analyser sees what is not there")

    def through(self, relay, ending, more):
        """Hangs up behind it: what a fooled relay says besides is of no interest, and it is done with all when the connection ends."""
        session = smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE)
        session.ehlo()
        code = attack(session, ending, more)
        session.sock.shutdown(socket.SHUT_WR)
        while session.sock.recv(65536):
            pass
        session.close()
        return code

    def seen(self, analyser):
        analyser.shutdown()
        analyser.server_close()  # waits for nobody: handlers are daemons, so their streams are waited for here
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.daemon and "process_request" in thread.name:
                thread.join(5)
        return bool(analyser.findings())

    def test_t_smuggle_12_in_and_out(self):
        for is_chunking in (False, True):
            analyser = self.server(is_chunking=is_chunking)
            gateway, password = self.gateway(analyser, "chunking" if is_chunking else "postern")
            for ending in [] if is_chunking else ENDINGS:  # refused on the way in, so it does not matter what is above
                for more in (SMUGGLED, b""):
                    for chunked in (False, True):
                        with smtp(gateway, password=password) as session:
                            self.assertGreaterEqual(attack(session, ending, more, chunked), 500, (ending, chunked))
            self.assertEqual(analyser.mails, [])
            for sent, expected in HONEST:
                with smtp(gateway, password=password) as session:
                    self.assertEqual(attack(session, b"\r\n", sent), 250, sent)
                    self.assertEqual(attack(session, b"\r\n", expected, chunked=True), 250, expected)
            self.assertEqual(len(analyser.mails), 2 * len(HONEST))
            gateway.end()
            for number, (envelope, body) in enumerate(analyser.mails):
                expected = b"\r\n\r\nbefore\r\n" + HONEST[number // 2][1]
                self.assertEqual([line.split(b">")[0] for line in envelope], [b"MAIL FROM:<" + OWNER.encode(), b"RCPT TO:<someone@fabrikam.example"])
                self.assertTrue(body.rstrip(b"\r\n").endswith(expected.rstrip(b"\r\n")), (body, expected))
            self.seen(analyser)
            self.assertEqual(analyser.findings(), [])
            self.assertGreater(sum(map(len, analyser.streams)), 1000, "nothing was analysed")


if __name__ == "__main__":
    unittest.main()
