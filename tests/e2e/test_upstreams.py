"""Servers we did not write: Postfix with Dovecot SASL takes the mail, and asks oidc-provider, where people sign in, about every token."""
import itertools
import os
import re
import shutil
import smtplib
import ssl
import tempfile
import unittest

import peers
from harness import ALEX, Browser, Failed, Postern, letter, smtp, submit, wait_until

READER = "someone@fabrikam.example"


def without_received(message):
    """The message as it was before the servers on its way put lines above it."""
    header, _, body = message.partition(b"\n\n")
    lines = re.split(rb"\n(?![ \t])", header)
    return b"\n".join(line for line in lines if not re.match(rb"(Return-Path|X-Original-To|Delivered-To|Received|X-Postern-Id):", line)) + b"\n\n" + body


class Upstreams(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="postern-peers-")
        os.chmod(cls.directory, 0o755)
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.authority = peers.Authority(cls.directory)
        cls.oidc_port, = peers.free_ports(1)
        cls.server = peers.MailServer(cls.directory, cls.authority, cls.oidc_port)
        cls.addClassCleanup(cls.server.end)

    def setUp(self):
        self.case = tempfile.mkdtemp(prefix="case-", dir=self.directory)
        os.chmod(self.case, 0o711)
        self.mail_before = len(self.server.mail())

    def house(self, mechanism="oauthbearer", tls="starttls"):
        """A gateway and an identity provider that know each other; nobody has signed in yet."""
        self.gateway = gateway = Postern(self.case, self.authority, more="retry_longest = 1\nprobe_longest = 1\nupstream_idle_ms = 0\n")
        self.addCleanup(gateway.end)
        port = self.server.implicit_port if tls == "implicit" else self.server.starttls_port
        gateway.command("org", "add", "contoso")
        gateway.command("provider", "add", "idp", "--org", "contoso", "--kind", "oidc", "--client-id", peers.CLIENT_ID, "--client-secret", "--issuer",
                        f"http://localhost:{self.oidc_port}", "--smtp-host", "localhost", "--smtp-port", str(port), "--smtp-tls", tls,
                        "--mechanism", mechanism, stdin=peers.CLIENT_SECRET)
        gateway.command("mailbox", "add", ALEX, "--org", "contoso", "--provider", "idp")
        self.redirect_uri = gateway.command("provider", "show", "idp")["redirect_uri"]
        self.start_provider()
        return gateway

    def start_provider(self):
        self.provider = peers.IdentityProvider(self.case, self.redirect_uri, self.oidc_port)
        self.addCleanup(self.provider.end)

    def link(self, name="alex", address=ALEX):
        browser = Browser()
        browser.open(self.gateway.command("mailbox", "link", address)["link"])
        browser.submit()
        return self.provider.sign_in(browser, name)

    def arrived(self, count):
        wait_until(f"{count} mails arrived", lambda: len(self.server.mail()) >= self.mail_before + count)
        return self.server.mail()[self.mail_before:]

    def send(self, password, text=None, **more):
        with smtp(self.gateway, password=password) as session:
            return submit(session, text=text, **more)

    def token(self):
        """An access token for alex by device code, without Postern."""
        asked = self.provider.post("/device/auth", scope="openid email")
        browser = Browser().open(asked["verification_uri_complete"])
        self.provider.sign_in(browser, "alex")
        return self.provider.post("/token", grant_type="urn:ietf:params:oauth:grant-type:device_code", device_code=asked["device_code"])["access_token"]

    def test_the_mail_server_takes_good_tokens_and_no_others(self):
        self.redirect_uri = "http://localhost:1/"
        self.start_provider()
        good, tls = self.token(), ssl.create_default_context(cafile=self.authority.ca)
        for mechanism, token in itertools.product(("XOAUTH2", "OAUTHBEARER"), (good, "wrong")):
            with self.subTest(mechanism=mechanism, good=token == good), smtplib.SMTP("localhost", self.server.starttls_port, timeout=60) as session:
                session.starttls(context=tls)
                said = {"XOAUTH2": f"user={ALEX}\1auth=Bearer {token}\1\1", "OAUTHBEARER": f"n,a={ALEX},\1auth=Bearer {token}\1\1"}[mechanism]
                try:
                    code, _ = session.auth(mechanism, lambda challenge=None: said if challenge is None else "\1" * (mechanism == "OAUTHBEARER"))
                except smtplib.SMTPAuthenticationError as error:
                    code = error.smtp_code
                self.assertEqual(code, 235 if token == good else 535)

    def check_linked_by_code(self, mechanism, tls):
        self.house(mechanism, tls)
        browser = self.link()
        self.assertEqual(browser.status, 200, browser.words())
        self.assertIn(ALEX, browser.words())
        code, reply = self.send(self.gateway.add_client(), letter(subject=mechanism))
        self.assertEqual(code, 250, reply)
        self.assertRegex(reply, r"^2\.0\.0 \S+ accepted by localhost: .*queued as")
        mail, = self.arrived(1)
        self.assertIn(b"\nSubject: " + mechanism.encode() + b"\n", mail)
        self.assertTrue(all(e["active"] for e in self.provider.events("introspection")))

    def test_linked_by_authorization_code_then_oauthbearer_after_starttls(self):
        self.check_linked_by_code("oauthbearer", "starttls")

    def test_linked_by_authorization_code_then_xoauth2_in_implicit_tls(self):
        self.check_linked_by_code("xoauth2", "implicit")

    def test_linked_by_device_code(self):
        gateway = self.house()
        device = gateway.command("mailbox", "link", ALEX, "--device")
        browser = Browser().open(device["verification_uri"])
        browser.submit(0, user_code=device["user_code"])
        self.provider.sign_in(browser, "alex")
        self.assertIn("Success", browser.words())
        wait_until("linked", lambda: gateway.command("mailbox", "show", ALEX)["state"] == "ready")
        code, reply = self.send(gateway.add_client())
        self.assertEqual(code, 250, reply)
        self.arrived(1)

    def test_the_wrong_account_is_named_and_nothing_is_stored(self):
        gateway = self.house()
        before = gateway.command("mailbox", "show", ALEX)["state"]
        browser = self.link("maria")
        self.assertEqual(browser.status, 403, browser.words())
        self.assertIn("maria@contoso.example", browser.words())
        self.assertEqual(gateway.command("mailbox", "show", ALEX)["state"], before)
        code, reply = self.send(gateway.add_client())
        self.assertEqual(code, 550, reply)

    def test_by_app_password_by_plain_and_login_byte_for_byte(self):
        self.gateway = gateway = Postern(self.case, self.authority, more="retry_longest = 1\nprobe_longest = 1\n")
        self.addCleanup(gateway.end)
        gateway.command("org", "add", "contoso", "--way", "app-password")
        gateway.command("provider", "add", "server", "--org", "contoso", "--kind", "smtp", "--smtp-host", "localhost", "--smtp-port", str(self.server.starttls_port))
        gateway.command("mailbox", "add", ALEX, "--org", "contoso", "--provider", "server")
        password = gateway.add_client()
        code, reply = self.send(password)
        self.assertEqual((code, reply[:5]), (550, "5.7.1"), reply)
        with self.assertRaisesRegex(Failed, "535"):
            gateway.command("mailbox", "password", ALEX, stdin="not the password")
        tested, = gateway.command("mailbox", "password", ALEX, stdin=self.server.password)["items"]
        self.assertEqual((tested["way"], tested["works"], tested["host"]), ("app-password", True, "localhost"))
        sent = []
        for mechanism in ("plain", "login"):
            gateway.command("provider", "set", "server", "--mechanism", mechanism)
            text = "Date: Sun, 29 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%s@x>\r\n" % mechanism + letter(subject=mechanism, body="".join(f"line {i} .\r\n.dot\r\n" for i in range(2000)))
            code, reply = self.send(password, text)
            self.assertEqual(code, 250, reply)
            self.assertRegex(reply, r"accepted by localhost: .*queued as")
            sent.append(text.replace("\r\n", "\n").encode())
        self.assertEqual([without_received(mail) for mail in self.arrived(2)], sent)

    def test_by_app_password_as_google_shows_it(self):
        self.gateway = gateway = Postern(self.case, self.authority)
        self.addCleanup(gateway.end)
        gateway.command("org", "add", "contoso", "--way", "app-password")
        gateway.command("provider", "add", "gmail", "--org", "contoso", "--kind", "google", "--smtp-host", "localhost", "--smtp-port",
                        str(self.server.starttls_port), "--smtp-tls", "starttls")
        gateway.command("mailbox", "add", ALEX, "--org", "contoso", "--provider", "gmail")
        letters = self.server.password
        tested, = gateway.command("mailbox", "password", ALEX, stdin=" ".join(letters[i:i + 4] for i in range(0, 16, 4)))["items"]
        self.assertEqual((tested["way"], tested["works"]), ("app-password", True))
        code, reply = self.send(gateway.add_client())
        self.assertEqual(code, 250, reply)
        self.arrived(1)

    def test_rotating_refresh_tokens_are_used_once_each_over_restarts(self):
        gateway = self.house()
        self.assertEqual(self.link().status, 200)
        password = gateway.add_client()
        for times in range(1, 4):
            # The token has not expired, but is refused: a new one is fetched, with the refresh token that came last.
            self.provider.forget_access_tokens()
            code, reply = self.send(password)
            self.assertEqual(code, 250, reply)
            self.assertIn("accepted", reply)
            self.assertEqual([e["type"] for e in self.provider.events("grant")], ["authorization_code"] + ["refresh_token"] * times)
            gateway.end()
            gateway.start()
        self.arrived(3)
        self.assertEqual(self.provider.events("grant_error"), [])
        self.assertEqual(self.provider.events("revoked"), [])

    def test_a_grant_that_is_gone_holds_the_mail_until_linked_again(self):
        gateway = self.house()
        self.assertEqual(self.link().status, 200)
        password = gateway.add_client()
        self.assertEqual(self.send(password)[0], 250)
        self.arrived(1)
        # The provider forgets everything it granted.
        self.provider.end()
        self.start_provider()

        def is_held():
            code, reply = self.send(password)
            self.assertEqual(code, 250, reply)
            return " held: " in reply
        wait_until("the mail is held", is_held)
        held = [i for i in gateway.command("queue", "list")["items"] if i["state"] == "held"]
        self.assertTrue(held)
        count = len(self.server.mail())
        self.assertEqual(self.link().status, 200)
        wait_until("the queue is empty", lambda: gateway.command("queue", "list")["items"] == [])
        wait_until("the held mail arrived", lambda: len(self.server.mail()) >= count + len(held))

    def test_content_arrives_unchanged(self):
        self.house()
        self.assertEqual(self.link().status, 200)
        password = self.gateway.add_client()
        head = f"From: <{ALEX}>\r\nTo: <{READER}>\r\nSubject: =?utf-8?q?=C3=A9t=C3=A9?=\r\nDate: Sun, 29 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{{}}@client.example>\r\n"
        bodies = {
            "dots": ".\r\n..\r\n...three\r\n.one\r\n\r\n.\r\nend.\r\n",
            "long line": "x" * 998 + "\r\n" + "y" * 997 + ".\r\n",
            "large": "".join(f"{number:08d} and the rest of a line that is of no interest\r\n" for number in range(8000)),
            "empty": "",
        }
        for name, body in bodies.items():
            with self.subTest(name):
                self.mail_before = len(self.server.mail())
                text = head.format(name.replace(" ", "-")) + "\r\n" + body
                code, reply = self.send(password, text)
                self.assertEqual(code, 250, reply)
                mail, = self.arrived(1)
                self.assertEqual(without_received(mail), text.encode().replace(b"\r\n", b"\n"))

    def test_refusals_of_the_server_reach_the_application(self):
        self.house()
        self.assertEqual(self.link().status, 200)
        password = self.gateway.add_client()
        code, reply = self.send(password, to="nobody@fabrikam.example")
        self.assertEqual(code, 550, reply)
        self.assertIn("5.1.1", reply)
        self.assertIn("no such person", reply)
        code, reply = self.send(password, to=[READER, "nobody@fabrikam.example"])
        self.assertEqual(code, 250, reply)
        self.assertIn("accepted for 1 of 2", reply)
        # The mail for one, and the report about the other in alex's own mailbox.
        mails = self.arrived(2)
        report, = [m for m in mails if b"multipart/report" in m]
        self.assertIn(b"nobody@fabrikam.example", report)


if __name__ == "__main__":
    unittest.main()
