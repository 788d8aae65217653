"""T-LOG 58 and T-RELAY 16: no secret in any log, page, metric or answer, in whatever form it travels; no way through for strangers."""
import base64
import os
import re
import subprocess
import unittest
import urllib.parse
import urllib.request

import harness
from harness import ALEX, ALEX_PASSWORD, APP_SECRET, Case, smtp, submit


def forms(secret):
    """A secret as it may turn up: plain, base64 at each of the three offsets, hexadecimal, percent-encoded, reversed case of hex."""
    raw = secret.encode()
    found = {secret, raw.hex(), raw.hex().upper(), urllib.parse.quote(secret, safe="")}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        found.add(encoded[(offset * 4 + 2) // 3 + 1:-2] if offset else encoded[:-2])
    return {form for form in found if len(form) > 7}


def leaks(text, secrets):
    return sorted(name for name, secret in secrets.items() for form in forms(secret) if form in text)


class TLog(Case):
    def test_t_log_58_no_secret_in_any_log(self):
        gateway = self.postern(more="log_level = debug\n")
        gateway.add_mailbox(self.twin)
        browser = gateway.link_mailbox(self.twin)
        code_in_url = re.search(r"code=([^&]+)", browser.url)
        password = gateway.add_client()
        for mechanism in ("PLAIN", "LOGIN"):
            with smtp(gateway) as session:
                session.user, session.password = "erp", password
                session.auth(mechanism, getattr(session, "auth_" + mechanism.lower()))
                self.assertEqual(submit(session)[0], 250)
        wrong = password[:-2] + "zz"
        with self.assertRaises(harness.smtplib.SMTPAuthenticationError):
            smtp(gateway, password=wrong)
        with smtp(gateway) as session:  # a password where no command stands, and one behind a command that is none
            session.docmd(password)
            session.docmd("PASS", password)
        gateway.command("client", "password", "erp")
        answers = ""
        for words in (("status",), ("client", "list"), ("client", "show", "erp"), ("client", "refused"), ("provider", "list"), ("provider", "show", "m365"), ("mailbox", "show", ALEX),
                      ("queue", "list"), ("key", "list")):
            answers += str(gateway.command(*words))
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://localhost:{gateway.ports['web']}/metrics", timeout=60) as metrics:
            answers += metrics.read().decode()
        gateway.end()
        secrets = {"client password": password, "wrong password": wrong, "client secret": APP_SECRET, "account password": ALEX_PASSWORD}
        if code_in_url:
            secrets["authorization code"] = urllib.parse.unquote(code_in_url.group(1))
        with open(os.path.join(gateway.data, "kek"), encoding="utf-8") as key:
            secrets["key"] = key.read().strip()
        self.assertEqual(leaks(gateway.log() + gateway.output() + answers, secrets), [])
        self.assertGreater(len(gateway.log()), 5000, "nothing was logged")
        self.at_rest(gateway, secrets)

    def at_rest(self, gateway, secrets):
        """Nor on the disk, but for the key file itself."""
        for folder, _, names in os.walk(gateway.data):
            for name in names:
                path = os.path.join(folder, name)
                if name == "kek" or not os.path.isfile(path):
                    continue
                with open(path, "rb") as file:
                    text = file.read().decode("latin-1")
                self.assertEqual(leaks(text, secrets), [], path)
                if folder.endswith("spool"):
                    self.assertNotIn("Dear reader", text, "a body lies open in the spool")

    def test_a_leak_would_be_caught(self):
        secret = "pt_0123456789abcdefghijklmnopqrstuv"
        plain = base64.b64encode(b"\0erp\0" + secret.encode()).decode()
        for line in (f"password={secret}", f"AUTH PLAIN {plain}", base64.b64encode(secret.encode()).decode(), secret.encode().hex(), "x" + base64.b64encode(b"ab" + secret.encode()).decode()):
            self.assertTrue(leaks("noise " + line + " noise", {"it": secret}), line)
        self.assertEqual(leaks("nothing here", {"it": secret}), [])


class TRelay(Case):
    def test_t_relay_16_open_relay(self):
        gateway = self.postern(listeners="listener submission { port = 0 addresses = { 127.0.0.1 } tls = none }\n")
        done = subprocess.run(["nmap", "-Pn", "-n", "-p", str(gateway.ports["submission"]), "--script", "smtp-open-relay", "--script-args",
                               "smtp-open-relay.domain=contoso.example", "127.0.0.1"], capture_output=True, text=True, timeout=120)
        self.assertIn("tcp open", done.stdout)
        self.assertNotRegex(done.stdout, r"Server is an open relay \([1-9]")
        for path in ("user%fabrikam.example@contoso.example", "fabrikam.example!user", '"user@fabrikam.example"', "@a,@b:user@fabrikam.example", "user@[127.0.0.1]",
                     "user@f\u0430brikam.example", "user@fabrikam.example."):
            with smtp(gateway, tls=False) as session:
                session.ehlo()
                session.send(f"MAIL FROM:<{ALEX}>\r\nRCPT TO:<{path}>\r\nDATA\r\n".encode())
                for _ in range(3):
                    self.assertGreaterEqual(session.getreply()[0], 500, path)


class TStartTls(Case):
    def test_t_starttls_02_same_segment(self):
        gateway = self.postern()
        for injected in (b"NOOP\r\n", b"MAIL FROM:<a@b.example>\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"USER a\r\n", b"a2 LOGIN a b\r\n"):
            with smtp(gateway, tls=False) as session:
                session.sock.sendall(b"STARTTLS\r\n" + injected)
                self.assertEqual(session.getreply()[0], 554, injected)
                self.assertEqual(session.sock.recv(10), b"")

    def test_t_starttls_09_old_versions_are_refused(self):
        gateway = self.postern()
        for version in ("-tls1", "-tls1_1"):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.ports['submissions']}", version, "-cipher", "ALL:@SECLEVEL=0"],
                                  input="", capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0, version)
            self.assertIn("no peer certificate available", done.stdout, version)
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.ports['submissions']}", "-CAfile", gateway.ca, "-verify_return_error"],
                              input="QUIT\r\n", capture_output=True, text=True, timeout=60)
        self.assertIn("Verify return code: 0 (ok)", done.stdout)
        self.assertIn("Secure Renegotiation IS NOT supported" if "TLSv1.3" not in done.stdout else "TLSv1.3", done.stdout)

    def test_t_starttls_10_http_to_the_smtp_port(self):
        gateway = self.postern()
        with smtp(gateway, tls=False) as session:
            session.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertGreaterEqual(session.getreply()[0], 421)
            while session.sock.recv(1000):  # to its end, or the socket's own deadline fails the test
                pass


if __name__ == "__main__":
    unittest.main()
