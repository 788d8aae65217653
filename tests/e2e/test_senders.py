"""Senders we did not write: swaks, msmtp, curl, Python's smtplib and nodemailer each send through Postern, and what arrives is what they sent."""
import base64
import json
import os
import re
import shutil
import smtplib
import subprocess
import tempfile
import unittest

import peers
from harness import ALEX, PATIENCE, Postern, Twin, environment, smtp, wait_until

READER = "someone@fabrikam.example"
USER = "erp"

# What senders and relays like to spoil: dots, white space at ends, folded fields, bytes above 127, an empty line at the end.
LETTER = (f"From: Alex <{ALEX}>\r\nTo: <{READER}>\r\nSubject: =?utf-8?q?=C3=A9t=C3=A9?= and a field that is long enough\r\n to be\r\n\tfolded twice\r\n"
          "Date: Sun, 29 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{number}@client.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
          "Content-Transfer-Encoding: 8bit\r\nX-Empty:\r\n\r\n"
          ".\r\n..\r\n.one dot and more\r\n\r\n.\r\nun été à Genève, 30 °C\r\ntrailing blanks  \t\r\n\ttab first\r\n" + "x" * 990 + "\r\nFrom here on\r\n\r\n")

LISTENERS = """
listener submission {{
	port = 587
	tls = starttls
	certificate = "{data}/server.pem"
	key = "{data}/server.key"
	mechanisms = {{ "plain", "login", "xoauth2", "oauthbearer" }}
}}
listener submissions {{
	port = 465
	tls = implicit
	certificate = "{data}/server.pem"
	key = "{data}/server.key"
	mechanisms = {{ "plain", "login", "xoauth2", "oauthbearer" }}
}}
listener xoauth2 {{
	port = 587
	tls = starttls
	certificate = "{data}/server.pem"
	key = "{data}/server.key"
	mechanisms = {{ "xoauth2" }}
}}
listener oauthbearer {{
	port = 587
	tls = starttls
	certificate = "{data}/server.pem"
	key = "{data}/server.key"
	mechanisms = {{ "oauthbearer" }}
}}
listener devices {{
	port = 25
	tls = starttls
	certificate = "{data}/server.pem"
	key = "{data}/server.key"
	mechanisms = {{}}
	networks_only = yes
}}
listener web {{
	port = 8443
	tls = none
	protocol = http
}}
"""


def as_sent(raw):
    """What arrived, without the fields that Postern puts on top: one Received and its id."""
    for field in (rb"X-Postern-Id: \S+\r\n", rb"Received: [^\r]*\r\n(?:[ \t][^\r]*\r\n)*", rb"X-Postern-Id: \S+\r\n"):
        raw = re.sub(rb"\A" + field, b"", raw)
    return raw


class Senders(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="postern-senders-")
        os.chmod(cls.directory, 0o711)
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.twin = Twin(cls.directory)
        cls.addClassCleanup(cls.twin.end)
        cls.gateway = Postern(cls.directory, cls.twin, listeners=LISTENERS.format(data=os.path.join(cls.directory, "postern-data")))
        cls.addClassCleanup(cls.gateway.end)
        cls.gateway.add_mailbox(cls.twin)
        cls.gateway.link_mailbox(cls.twin)
        cls.password = cls.gateway.add_client(USER)
        cls.gateway.command("client", "add", "printer", "--org", "contoso", "--mailbox", ALEX, "--network", "127.0.0.0/8", "--no-password")
        # The provider's limit of messages per minute is another test's subject.
        cls.twin.switch("messages_per_minute", 0)
        cls.number = 0

    def setUp(self):
        self.count = len(self.twin.mail())

    def letter(self):
        Senders.number += 1
        return LETTER.format(number=self.number).encode()

    def file_of(self, content, name="letter"):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def run_sender(self, words, code=0, stdin=b""):
        done = subprocess.run(words, input=stdin, capture_output=True, timeout=PATIENCE, env=environment())
        output = done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")
        self.assertEqual(done.returncode, code, output)
        return output

    def check_arrived(self, *letters):
        wait_until("the mail arrives", lambda: len(self.twin.mail()) >= self.count + len(letters))
        items = self.twin.mail()
        self.assertEqual(len(items), self.count + len(letters))
        found = sorted(as_sent(self.twin.raw(item["number"])) for item in sorted(items, key=lambda i: i["number"])[self.count:])
        self.assertEqual(found, sorted(letters))
        self.count = len(items)

    # --- swaks

    def swaks(self, listener, *words, code=0):
        letter = self.letter()
        # swaks ends the text with a line end of its own.
        path = self.file_of(letter.removesuffix(b"\r\n"))
        output = self.run_sender(["swaks", "--server", "localhost", "--port", str(self.gateway.ports[listener]), "--from", ALEX, "--to", READER,
                                  "--data", "@" + path, "--tls-verify", "--tls-ca-path", self.gateway.ca, "--timeout", "60", *words], code)
        return letter, output

    def test_swaks(self):
        login = ("--auth-user", USER, "--auth-password", self.password)
        for listener, words in (("submission", ("--tls", "--auth", "PLAIN", *login)), ("submission", ("--tls", "--auth", "LOGIN", *login)),
                                ("submissions", ("--tlsc", "--auth", "PLAIN", *login)), ("submission", ("--tls", "--auth", "PLAIN", "--pipeline", *login)),
                                ("devices", ()), ("devices", ("--tls",)), ("devices", ("--protocol", "SMTP"))):
            with self.subTest(listener=listener, words=words[:3]):
                letter, output = self.swaks(listener, *words)
                self.assertRegex(output, r"250 2\.0\.0 \S+ accepted by localhost: ")
                self.check_arrived(letter)

    def test_swaks_with_a_wrong_password(self):
        self.swaks("submission", "--tls", "--auth", "PLAIN", "--auth-user", USER, "--auth-password", "wrong", code=28)
        self.check_arrived()

    # --- msmtp

    def msmtp(self, method, tls, password, code=0):
        letter = self.letter()
        listener = "submission" if tls == "starttls" else "submissions"
        path = self.file_of(f"account postern\nhost localhost\nport {self.gateway.ports[listener]}\ntls on\ntls_starttls {'on' if tls == 'starttls' else 'off'}\n"
                            f"tls_trust_file {self.gateway.ca}\nauth {method}\nuser {USER}\npassword {password}\nfrom {ALEX}\nlogfile -\n".encode(), "msmtprc")
        os.chmod(path, 0o600)
        output = self.run_sender(["msmtp", "-C", path, "-a", "postern", "-f", ALEX, "--", READER], code, letter.replace(b"\r\n", b"\n"))
        return letter, output

    def test_msmtp(self):
        for method in ("plain", "login", "xoauth2", "oauthbearer"):
            for tls in ("starttls", "implicit"):
                with self.subTest(method=method, tls=tls):
                    letter, _ = self.msmtp(method, tls, self.password)
                    self.check_arrived(letter)

    def test_msmtp_with_a_wrong_password(self):
        for method in ("plain", "login", "xoauth2", "oauthbearer"):
            with self.subTest(method):
                _, output = self.msmtp(method, "starttls", "wrong", 77)
                self.assertIn("535", output)
        self.check_arrived()

    # --- curl: each mechanism, with and without initial response, good and bad (T-SASL 22; curl's own cases 946 to 949)

    def curl(self, mechanism, initial, password):
        letter = self.letter()
        # Of the two bearer mechanisms curl takes OAUTHBEARER wherever both are offered.
        bearer = mechanism in ("XOAUTH2", "OAUTHBEARER")
        port = self.gateway.ports[mechanism.lower() if bearer else "submission"]
        secret = ["--user", USER, "--oauth2-bearer", password] if bearer else ["--user", f"{USER}:{password}"]
        words = ["curl", "-sv", "--ssl-reqd", "--cacert", self.gateway.ca, f"smtp://localhost:{port}/client.example",
                 "--mail-from", ALEX, "--mail-rcpt", READER, "--upload-file", self.file_of(letter), "--login-options", f"AUTH={mechanism}", *secret]
        done = subprocess.run(words + (["--sasl-ir"] if initial else []), capture_output=True, text=True, timeout=PATIENCE, env=environment())
        dialogue = [line.rstrip() for line in done.stderr.split("\n") if re.match(r"[<>] ", line)]
        start = next(i for i, line in enumerate(dialogue) if line.startswith("> AUTH"))
        return letter, done.returncode, dialogue[start:], done.stderr

    def test_sasl_22_curl_in_all_modes(self):
        for mechanism in ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"):
            for initial in (False, True):
                for good in (True, False):
                    with self.subTest(mechanism=mechanism, initial=initial, good=good):
                        letter, code, dialogue, output = self.curl(mechanism, initial, self.password if good else "wrong")
                        self.assertEqual(code, 0 if good else 67, output)
                        self.assertRegex(dialogue[0], rf"^> AUTH {mechanism} \S+$" if initial else rf"^> AUTH {mechanism}$")
                        answers = [line for line in dialogue if line.startswith("< ") and not line.startswith("< 334")]
                        self.assertEqual(answers[0][:5], "< 235" if good else "< 535")
                        if not good and mechanism == "OAUTHBEARER":
                            challenge = [line for line in dialogue if line.startswith("< 334 ")][-1][6:]
                            self.assertIn("status", json.loads(base64.b64decode(challenge)))
                            self.assertIn("> AQ==", dialogue)
                        self.check_arrived(*([letter] if good else []))

    def test_curl_in_implicit_tls(self):
        letter = self.letter()
        self.run_sender(["curl", "-sS", "--cacert", self.gateway.ca, f"smtps://localhost:{self.gateway.ports['submissions']}/client.example", "--mail-from", ALEX,
                         "--mail-rcpt", READER, "--upload-file", self.file_of(letter), "--user", f"{USER}:{self.password}"])
        self.check_arrived(letter)

    # --- Python's smtplib

    def test_smtplib(self):
        for listener in ("submission", "submissions"):
            for mechanism in ("PLAIN", "LOGIN"):
                for initial in (True, False):
                    with self.subTest(listener=listener, mechanism=mechanism, initial=initial):
                        letter = self.letter()
                        with smtp(self.gateway, listener) as session:
                            session.ehlo()
                            session.user, session.password = USER, self.password
                            session.auth(mechanism, getattr(session, "auth_" + mechanism.lower()), initial_response_ok=initial)
                            self.assertEqual(session.sendmail(ALEX, [READER], letter, ["BODY=8BITMIME"]), {})
                        self.check_arrived(letter)

    def test_smtplib_with_a_wrong_password(self):
        with smtp(self.gateway) as session, self.assertRaises(smtplib.SMTPAuthenticationError) as caught:
            session.login(USER, "wrong")
        self.assertEqual(caught.exception.smtp_code, 535)
        self.check_arrived()

    # --- nodemailer

    def nodemailer(self, letter, **more):
        given = {"port": self.gateway.ports["submission"], "secure": False, "ca": self.gateway.ca, "auth": {"user": USER, "pass": self.password}, "from": ALEX,
                 "to": [READER], **more}
        output = self.run_sender([peers.node(), os.path.join(peers.PEERS, "send.js"), json.dumps(given)], stdin=letter)
        return [json.loads(line) for line in output.split("\n") if line.startswith("{")]

    def test_nodemailer(self):
        ways = {"plain": {"method": "PLAIN"}, "login": {"method": "LOGIN"}, "implicit TLS": {"secure": True, "port": self.gateway.ports["submissions"]},
                "XOAUTH2": {"auth": {"type": "OAuth2", "user": USER, "accessToken": self.password}}}
        for name, more in ways.items():
            with self.subTest(name):
                letter = self.letter()
                answer, = self.nodemailer(letter, **more)
                self.assertRegex(answer["response"], r"^250 2\.0\.0 \S+ accepted by localhost: ")
                self.check_arrived(letter)

    def test_nodemailer_keeps_a_pool(self):
        letter = self.letter()
        answers = self.nodemailer(letter, pool=True, times=5)
        self.assertEqual([a["response"][:3] for a in answers], ["250"] * 5)
        self.assertEqual(len({a["response"].split()[2] for a in answers}), 1, "five equal messages are one")
        self.check_arrived(letter)

    def test_nodemailer_with_a_wrong_password(self):
        for auth in ({"user": USER, "pass": "wrong"}, {"type": "OAuth2", "user": USER, "accessToken": "wrong"}):
            with self.subTest(auth.get("type", "password")):
                answer, = self.nodemailer(self.letter(), auth=auth)
                self.assertEqual(answer["code"], "EAUTH")
                self.assertIn("535", answer["response"])
        self.check_arrived()


if __name__ == "__main__":
    unittest.main()
