"""T-STARTTLS 1: what a client adds in the clear behind STARTTLS is never carried out inside TLS; nor is anything that was said before it.

The tester's cases are those of the command injection testers that mail server authors use: one segment of STARTTLS and commands, tried with each command that has an
effect one can see from outside. It is calibrated on a server that has the fault, so that a tester that sees nothing is noticed.
"""
import os
import socket
import socketserver
import ssl
import threading
import unittest

from harness import Case, PATIENCE
from peers import Authority

INJECTED = (b"NOOP\r\n", b"RSET\r\n", b"HELP\r\n", b"VRFY postmaster\r\n", b"EXPN staff\r\n", b"QUIT\r\n", b"EHLO injected.example\r\n", b"HELO injected.example\r\n",
            b"MAIL FROM:<injected@example.com>\r\n", b"EHLO i\r\nMAIL FROM:<injected@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\n", b"AUTH PLAIN AGEAYg==\r\n",
            b"AUTH LOGIN\r\n", b"STARTTLS\r\n", b"XCLIENT NAME=localhost\r\n", b"BDAT 3 LAST\r\nabc", b"NOOP\n", b"\r\nNOOP\r\n", b"noop\r\n", b"NOOP", b"\x00NOOP\r\n",
            b"NOOP\r\n" * 500, b"A" * 5000 + b"\r\n", b"a2 LOGIN a b\r\n", b"USER a\r\n")
LISTENER = """listener %(name)s {
	port = 0
	addresses = { "127.0.0.1" }
	tls = %(tls)s
	certificate = "%(data)s/server.pem"
	key = "%(data)s/server.key"
}
"""
# What the client says inside TLS to see what the server answers first: one reply each, or there was an injection.
QUESTION = b"EHLO asked.example\r\n"


def reply_of(file):
    """Lines up to the last of one reply; b"" where the server is gone."""
    lines = b""
    while True:
        try:
            line = file.readline()
        except OSError:
            return lines
        lines += line
        if not line or line[3:4] != b"-":
            return lines


def inject(port, ca, words, starttls=b"STARTTLS\r\n", late=None):
    """Sends `starttls` and `words` in one segment, does the handshake where it is told to go on, and asks one question.

    Returns "refused" when the server does not go on, "deaf" when it throws the words away, "injected" when it carried them out. `late` goes out by itself after the 220."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain:
        file = plain.makefile("rb")
        reply_of(file)
        plain.sendall(b"EHLO before.example\r\n")
        reply_of(file)
        plain.sendall(starttls + words)
        if not reply_of(file).startswith(b"220"):
            return "refused"
        if late:
            plain.sendall(late)
        context = ssl.create_default_context(cafile=ca)
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(QUESTION + b"NOOP\r\n")
                inside = secure.makefile("rb")
                first, second = reply_of(inside), reply_of(inside)
                # Two questions, two answers, and the first is that to EHLO: else something else was answered.
                secure.settimeout(0.3)
                try:
                    more = inside.readline()
                except (TimeoutError, OSError):
                    more = b""
                is_hello = first.startswith(b"250-") and b"asked.example" not in second and second.startswith(b"250 ")
                return "deaf" if is_hello and not more else "injected"
        except (ssl.SSLError, ConnectionError, OSError):
            return "refused"


class Vulnerable(socketserver.BaseRequestHandler):
    """Reads ahead into a buffer that it keeps over the handshake: the fault itself (CVE-2011-0411)."""

    def handle(self):
        self.sock = self.request
        try:
            self.talk(b"")
        except OSError:
            pass
        finally:
            self.sock.close()

    def talk(self, kept):
        sock = self.sock
        sock.sendall(b"220 fake ESMTP\r\n")
        while True:
            while b"\n" not in kept:
                piece = sock.recv(65536)
                if not piece:
                    return
                kept += piece
            line, kept = kept.split(b"\n", 1)
            verb = line.strip().upper().split(b" ")[0]
            if verb == b"STARTTLS":
                sock.sendall(b"220 go on\r\n")
                sock = self.sock = self.server.context.wrap_socket(sock, server_side=True)
                if not self.server.is_vulnerable:
                    kept = b""
            elif verb in (b"EHLO", b"HELO"):
                sock.sendall(b"250-fake\r\n250-STARTTLS\r\n250 HELP\r\n")
            elif verb == b"QUIT":
                sock.sendall(b"221 bye\r\n")
                return
            else:
                sock.sendall(b"250 done\r\n")


class Fake(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, authority, is_vulnerable):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(authority.certificate, authority.key)
        self.is_vulnerable = is_vulnerable
        super().__init__(("127.0.0.1", 0), Vulnerable)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that hangs up is what this is about."""


class TStartTls(Case):
    def test_t_starttls_01_the_tester_sees_an_injection(self):
        authority = Authority(self.directory)
        for is_vulnerable, expected in ((True, "injected"), (False, "deaf")):
            server = Fake(authority, is_vulnerable)
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)
            for words in (b"NOOP\r\n", b"MAIL FROM:<injected@example.com>\r\n", b"RSET\r\n", b"NOOP\r\n" * 500):
                self.assertEqual(inject(server.server_address[1], authority.ca, words), expected, words)
            self.assertEqual(inject(server.server_address[1], authority.ca, b""), "deaf", "the tester sees what is not there")

    def test_t_starttls_01_no_injection_on_25_and_587(self):
        gateway = self.postern(listeners="".join(LISTENER % {"name": name, "tls": tls, "data": os.path.join(self.directory, "postern-data")}
                                                 for name, tls in (("smtp", "starttls"), ("submission", "required"))))
        for listener in ("smtp", "submission"):
            port = gateway.ports[listener]
            self.assertEqual(inject(port, gateway.ca, b""), "deaf", "the handshake itself")
            for words in INJECTED:
                self.assertEqual(inject(port, gateway.ca, words), "refused", (listener, words[:60]))
                self.assertEqual(inject(port, gateway.ca, b"", late=words), "refused", (listener, "after 220", words[:60]))
            for spelling in (b"starttls\r\n", b"StartTLS \r\n"):
                self.assertEqual(inject(port, gateway.ca, b"NOOP\r\n", spelling), "refused", (listener, spelling))
        self.assertIn(b"250", self.still_there(gateway))

    def still_there(self, gateway):
        with socket.create_connection(("127.0.0.1", gateway.ports["smtp"]), PATIENCE) as plain:
            file = plain.makefile("rb")
            reply_of(file)
            plain.sendall(b"EHLO after.example\r\n")
            return reply_of(file)


if __name__ == "__main__":
    unittest.main()
