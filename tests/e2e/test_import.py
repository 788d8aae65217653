"""Moving in: the files of other programs, shown and taken over; tokens of email-oauth2-proxy that then send."""
import json
import os
import re
import subprocess

import harness
from harness import ALEX, MARIA, PATIENCE, PROGRAM, ROOT, Case, environment, smtp, submit, wait_until

FIXTURE = os.path.join(ROOT, "tests", "fixtures", "email-oauth2-proxy.config")
PASSWORDS = "correct horse alex\ndana local password\nfabrikam shared password\n"
SECRETS = ("example-refresh-token", "example-access-token", "Xa8Q~", "GOCSPX", "Yb9R~", "gAAAA", "correct horse", "local password", "pt_")
APP = "11111111-2222-3333-4444-555555555555"

TENANT = f"""smtp_port 0
http_port 0
tenant contoso.example
id 8c5f3b1e-6d2a-4c7b-9e10-5a4d3c2b1f00
name Contoso
app {APP}
name The proxy
secret Xa8Q~example-secret-value
redirect http://localhost/oauth/callback
user {ALEX}
name Alex
password Correct-Horse-7
authenticator JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP
refresh_token example-refresh-token-for-{ALEX}
mfa enforced
user {MARIA}
name Maria
password Pain-Au-Chocolat-9
refresh_token a-token-of-maria
mfa disabled
"""


class Import(Case):
    @classmethod
    def setUpClass(cls):
        path = os.path.join("/tmp", f"postern-tenant-{os.getpid()}.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(TENANT)
        cls.addClassCleanup(os.unlink, path)
        cls.twin_config = path
        super().setUpClass()

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_import(self, gateway, *words, expected=0):
        """As a person types it; returns what was printed, which holds no secret in any case."""
        done = subprocess.run([PROGRAM, "import", *words, "--data", gateway.data], capture_output=True, text=True, timeout=4 * PATIENCE, env=environment())  # passwords are stretched a million rounds
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        for secret in SECRETS:
            self.assertNotIn(secret, done.stdout + done.stderr)
        return done.stdout

    def imported(self, gateway, *words, expected=0):
        return json.loads(self.run_import(gateway, *words, "--json", expected=expected))

    def everything(self, gateway):
        return [gateway.command(noun, "list") for noun in ("org", "provider", "mailbox", "client")]

    def of_the_twin(self):
        """The fixture, whose tenant signs in and takes mail at the twin instead of in the cloud; what is sealed in it stays as it is."""
        with open(FIXTURE, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("https://login.microsoftonline.com/common/oauth2/v2.0/", f"{self.twin.url}/contoso.example/oauth2/v2.0/")
        text = text.replace("https://oauth2.googleapis.com/", f"{self.twin.url}/")
        text = text.replace("smtp.office365.com\nserver_port = 587", f"localhost\nserver_port = {self.twin.smtp_port}")
        return self.file("emailproxy.config", text)

    def test_the_fixture_is_shown_and_nothing_is_changed(self):
        gateway = self.postern()
        before = self.everything(gateway)
        passwords = self.file("passwords", PASSWORDS)
        shown = self.run_import(gateway, "email-oauth2-proxy", FIXTURE, "--password-file", passwords)
        self.assertLessEqual(max(len(line) for line in shown.split("\n")), 80)
        for wanted in (r"(?m)^contoso\.example +new$", r"(?m)^alex@contoso\.example +contoso\.example-microsoft +its token +new$", r"(?m)^dana@gmail\.example +\S+ +its token +new$",
                       r"(?m)^alex\.contoso\.example +alex@contoso\.example +- +new$", r"(?m)^@fabrikam\.example$", "Nothing was changed"):
            self.assertRegex(shown, wanted)
        self.assertEqual(self.everything(gateway), before)
        shut = self.imported(gateway, "email-oauth2-proxy", FIXTURE, "--password-file", self.file("wrong", "no such password\n"))
        self.assertEqual([m["sign_in"] for m in shut["mailboxes"]], ["to be linked", "to be linked"])
        self.assertEqual(len([n for n in shut["not_taken"] if "none of the passwords given" in n["why"]]), 3)

    def test_a_mail_goes_out_with_the_tokens_of_email_oauth2_proxy(self):
        gateway = self.postern()
        words = ("email-oauth2-proxy", self.of_the_twin(), "--password-file", self.file("passwords", PASSWORDS.split("\n")[0]), "--do")
        first = self.imported(gateway, *words)
        self.assertEqual([(m["address"], m["state"], m["sign_in"]) for m in first["mailboxes"]], [(ALEX, "made", "taken")])
        self.assertIn("its sign-in server is not known here", " ".join(n["why"] for n in first["not_taken"] if n["what"] == "dana@gmail.example"))
        self.assertEqual(gateway.command("mailbox", "show", ALEX)["account"], ALEX)
        password = gateway.command("client", "password", "alex.contoso.example")["password"]
        with smtp(gateway, user=ALEX, password=password) as session:  # as before: its own address, and now a password of Postern
            code, reply = submit(session)
        self.assertEqual(code, 250, reply)
        self.assertIn("accepted", reply)
        self.assertEqual(len(wait_until("the mail arrives", self.twin.mail)), 1)
        linked_at = gateway.command("mailbox", "show", ALEX)["linked_at"]
        before = self.everything(gateway)
        again = self.imported(gateway, *words)
        self.assertEqual({m["state"] for part in ("organisations", "providers", "mailboxes", "clients") for m in again[part]}, {"exists"})
        self.assertEqual(self.everything(gateway)[1], before[1])
        self.assertEqual(gateway.command("mailbox", "show", ALEX)["linked_at"], linked_at)

    def test_a_token_of_another_account_is_kept_nowhere(self):
        gateway = self.postern()
        gateway.command("org", "add", "contoso")
        gateway.command("provider", "add", "m365", "--org", "contoso", "--kind", "microsoft", "--client-id", APP, "--client-secret", "--issuer",
                        f"{self.twin.url}/contoso.example/v2.0", "--smtp-host", "localhost", "--smtp-port", str(self.twin.smtp_port), stdin="Xa8Q~example-secret-value")
        gateway.command("mailbox", "add", ALEX, "--org", "contoso", "--provider", "m365")
        for token, says in (("a-token-of-maria", "maria@contoso.example signed in"), ("no-token-at-all", "AADSTS"), ("two words", "one word")):
            with self.assertRaises(harness.Failed) as failed:
                gateway.command("mailbox", "adopt", ALEX, "--refresh-token", stdin=token)
            self.assertIn(says, failed.exception.output)
            self.assertNotIn(token, failed.exception.output)
            self.assertEqual(gateway.command("mailbox", "show", ALEX)["state"], "not linked")
        gateway.command("mailbox", "adopt", ALEX, "--refresh-token", stdin=f"example-refresh-token-for-{ALEX}")
        self.assertEqual(gateway.command("mailbox", "show", ALEX)["state"], "ready")
        with self.assertRaises(harness.Failed) as failed:
            gateway.command("mailbox", "adopt", ALEX, "--refresh-token", stdin=f"example-refresh-token-for-{ALEX}")
        self.assertIn("linked already", failed.exception.output)

    def test_postfix_with_tokens_of_sasl_xoauth2(self):
        gateway = self.postern()
        token = self.file("token", json.dumps({"access_token": "x", "expiry": "0", "refresh_token": f"example-refresh-token-for-{ALEX}", "client_id": APP, "client_secret": "Xa8Q~example-secret-value",
                                               "token_endpoint": f"{self.twin.url}/contoso.example/oauth2/v2.0/token"}))
        hop = f"[localhost]:{self.twin.smtp_port}"
        self.file("sasl_passwd", f"{hop} {ALEX}:{token}\n{MARIA} {MARIA}:Pain-Au-Chocolat-9\n")
        self.file("relays", f"newsletter@contoso.example {hop}\n")
        main = self.file("main.cf", f"relayhost = {hop}\nsmtp_sasl_password_maps = hash:$config_directory/sasl_passwd\nsender_dependent_relayhost_maps = hash:$config_directory/relays\n")
        gateway.command("org", "add", "house")
        gateway.command("provider", "add", "relay", "--org", "house", "--kind", "smtp", "--smtp-host", "localhost", "--smtp-port", str(self.twin.smtp_port), "--mechanism", "login")
        shown = self.imported(gateway, "postfix", main, "--org", "house", "--do")
        self.assertEqual([(m["address"], m["sign_in"], m["aliases"], m["org"]) for m in shown["mailboxes"]][0], (ALEX, "taken", ["newsletter@contoso.example"], "house"))
        self.assertEqual([(m["address"], m["sign_in"], m["provider"]) for m in shown["mailboxes"]][1], (MARIA, "taken", "relay"), shown)
        self.assertEqual([(c["name"], c["mailboxes"]) for c in shown["clients"]], [("postfix", [ALEX, MARIA])])
        self.assertNotIn("Chocolat", json.dumps(shown))
        self.assertEqual([gateway.command("mailbox", "show", address)["state"] for address in (ALEX, MARIA)], ["ready", "ready"])
        again = self.imported(gateway, "postfix", main, "--org", "house", "--do")["mailboxes"]
        self.assertEqual({(o["state"], o["sign_in"]) for o in again}, {("exists", "exists")})

    def test_smtp2graph_and_msmtp_are_read(self):
        gateway = self.postern()
        graph = self.file("config.yml", "send:\n  appReg: {tenant: contoso, id: 01234567-89ab-cdef-0123-456789abcdef, secret: hush-hush}\nreceive:\n  ipWhitelist: [192.0.2.0/24]\n"
                                        "  allowedFrom: [noreply@contoso.example]\n  users:\n    - {username: scanner, password: hush-hush}\n")
        shown = self.imported(gateway, "smtp2graph", graph, "--do")
        self.assertEqual([(p["kind"], p["client_secret"], p["state"]) for p in shown["providers"]], [("microsoft", True, "made")])
        self.assertEqual(gateway.command("provider", "show", shown["providers"][0]["name"])["access"], "application")
        self.assertEqual([(c["name"], c["networks"], c["state"]) for c in shown["clients"]], [("scanner", [], "made"), ("smtp2graph", ["192.0.2.0/24"], "made")])
        self.assertNotIn("hush-hush", json.dumps(shown))
        self.assertEqual(gateway.command("client", "show", "smtp2graph")["networks"], ["192.0.2.0/24"])
        rc = self.file("msmtprc", "defaults\nauth on\ntls on\naccount work\nhost smtp.office365.com\nfrom alex@contoso.example\nuser alex@contoso.example\npassword hush-hush\n")
        text = self.run_import(gateway, "msmtp", rc)
        self.assertNotIn("hush-hush", text)
        self.assertIn("alex@contoso.example", text)

    def test_what_cannot_be_read_is_said(self):
        gateway = self.postern()
        for words, code, says in ((("sendmail", FIXTURE), 2, "email-oauth2-proxy"), (("postfix",), 2, "missing"), (("msmtp", "/nowhere"), 1, "/nowhere"),
                                  (("msmtp", FIXTURE), 1, "line 1"), (("smtp2graph", FIXTURE), 1, "")):
            done = subprocess.run([PROGRAM, "import", *words, "--data", gateway.data], capture_output=True, text=True, timeout=4 * PATIENCE, env=environment())
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            self.assertTrue(re.search(re.escape(says), done.stderr), done.stderr)


if __name__ == "__main__":
    harness.unittest.main()
