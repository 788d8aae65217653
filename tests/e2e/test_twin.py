"""The twin held honest by clients that nobody here wrote: Python's smtplib and urllib, swaks, msmtp, curl; and its command line."""
import base64
import hashlib
import json
import os
import smtplib
import ssl
import subprocess
import urllib.parse
import urllib.request

import harness
from harness import ALEX, ALEX_PASSWORD, APP_ID, APP_SECRET, PATIENCE, PROGRAM, TENANT, Browser, Case, Twin, environment, letter, sign_in

REDIRECT = "http://localhost:1/oauth/callback"
SCOPE = "openid profile offline_access https://outlook.office.com/SMTP.Send"
BILLING, BILLING_PASSWORD = "billing@contoso.example", "Paid-In-Full-3"


def token_request(twin, **form):
    """(status, JSON) of the token endpoint."""
    browser = Browser()
    browser.fetch(f"{twin.url}/{TENANT}/oauth2/v2.0/token", urllib.parse.urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"})
    return browser.status, json.loads(browser.text)


class Away(Browser):
    """A browser that stops at the application's door and keeps the address."""

    def fetch(self, url, data=None, headers=None):
        class Stop(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar), Stop)
        super().fetch(url, data, headers)
        if self.status in (302, 303):
            self.url = self.headers["Location"]
        return self


def signed_in(twin, address=ALEX, password=ALEX_PASSWORD):
    verifier = base64.urlsafe_b64encode(os.urandom(40)).rstrip(b"=").decode()
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = urllib.parse.urlencode({"client_id": APP_ID, "response_type": "code", "redirect_uri": REDIRECT, "scope": SCOPE, "state": "x", "nonce": "n",
                                    "code_challenge": challenge, "code_challenge_method": "S256", "login_hint": address})
    browser = Away().open(f"{twin.url}/{TENANT}/oauth2/v2.0/authorize?{query}")
    sign_in(browser, twin, address, password)
    answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(browser.url).query))
    status, tokens_json = token_request(twin, grant_type="authorization_code", client_id=APP_ID, client_secret=APP_SECRET, redirect_uri=REDIRECT,
                                        code=answer["code"], code_verifier=verifier)
    if status != 200:
        raise AssertionError(tokens_json)
    return tokens_json


def xoauth2(token, address=ALEX):
    return base64.b64encode(f"user={address}\1auth=Bearer {token}\1\1".encode()).decode()


class TwinWithOthers(Case):
    def session(self):
        session = smtplib.SMTP("localhost", self.twin.smtp_port, timeout=PATIENCE)
        session.starttls(context=ssl.create_default_context(cafile=self.twin.ca))
        session.ehlo()
        self.addCleanup(session.close)
        return session

    def test_smtplib_signs_in_with_a_token_and_sends(self):
        access = signed_in(self.twin)["access_token"]
        session = self.session()
        self.assertEqual(session.docmd("AUTH XOAUTH2"), (334, b""))
        self.assertEqual(session.docmd(xoauth2(access)), (235, b"2.7.0 Authentication successful"))
        session.sendmail(ALEX, ["a@fabrikam.example", "b@fabrikam.example"], letter(subject="by smtplib", body=".\r\n..\r\n"))
        mail = self.twin.mail()
        self.assertEqual([m["recipients"] for m in mail], ["a@fabrikam.example b@fabrikam.example"])
        self.assertTrue(self.twin.raw(mail[0]["number"]).endswith(b"\r\n\r\n.\r\n..\r\n"))

    def test_swaks_signs_in_with_a_password(self):
        done = subprocess.run(["swaks", "--server", "localhost", "--port", str(self.twin.smtp_port), "--tls", "--tls-verify", "--tls-ca-path", self.twin.ca,
                               "--auth", "LOGIN", "--auth-user", BILLING, "--auth-password", BILLING_PASSWORD, "--from", BILLING,
                               "--to", "someone@fabrikam.example", "--h-Subject", "by swaks"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual([m["subject"] for m in self.twin.mail()], ["by swaks"])

    def test_msmtp_signs_in_with_a_token(self):
        access = signed_in(self.twin)["access_token"]
        done = subprocess.run(["msmtp", "--host=localhost", f"--port={self.twin.smtp_port}", "--tls=on", f"--tls-trust-file={self.twin.ca}", "--auth=xoauth2",
                               f"--user={ALEX}", f"--passwordeval=echo {access}", f"--from={ALEX}", "someone@fabrikam.example"],
                              input=letter(subject="by msmtp"), capture_output=True, text=True, timeout=PATIENCE, env=environment(HOME=self.directory))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual([m["subject"] for m in self.twin.mail()], ["by msmtp"])

    def test_curl_signs_in_with_a_token(self):
        access = signed_in(self.twin)["access_token"]
        path = os.path.join(self.directory, "mail")
        with open(path, "w", encoding="utf-8") as file:
            file.write(letter(subject="by curl"))
        done = subprocess.run(["curl", "-sS", "--ssl-reqd", "--cacert", self.twin.ca, "--url", f"smtp://localhost:{self.twin.smtp_port}", "--mail-from", ALEX,
                               "--mail-rcpt", "someone@fabrikam.example", "--upload-file", path, "--user", ALEX, "--oauth2-bearer", access],
                              capture_output=True, text=True, timeout=PATIENCE, env=environment())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual([m["subject"] for m in self.twin.mail()], ["by curl"])

    def test_openssl_trusts_its_certificate_for_the_real_names_too(self):
        for name in ("localhost", "smtp.office365.com"):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.twin.smtp_port}", "-starttls", "smtp", "-CAfile", self.twin.ca,
                                   "-verify_hostname", name, "-verify_return_error", "-brief"], input="QUIT\r\n", capture_output=True, text=True, timeout=PATIENCE)
            self.assertIn("Verification: OK", done.stderr)

    def test_a_switch_ends_the_session(self):
        access = signed_in(self.twin)["access_token"]
        session = self.session()
        session.docmd("AUTH XOAUTH2 " + xoauth2(access))
        self.twin.switch("smtp_auth", "off")
        self.assertEqual(session.noop(), (421, b"4.3.2 Service not active"))
        session = self.session()
        code, reply = session.docmd("AUTH XOAUTH2 " + xoauth2(access))
        self.assertEqual(code, 535)
        self.assertTrue(reply.startswith(b"5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "), reply)

    def test_the_id_token_says_who_signed_in(self):
        answer = signed_in(self.twin)
        head, claims, _ = answer["id_token"].split(".")
        read = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (head, claims)]
        self.assertEqual(read[0]["alg"], "RS256")
        self.assertEqual(read[1]["preferred_username"], ALEX)
        self.assertEqual(read[1]["iss"], json.loads(Browser().open(f"{self.twin.url}/{TENANT}/v2.0/.well-known/openid-configuration").text)["issuer"])
        keys = json.loads(Browser().open(f"{self.twin.url}/{TENANT}/discovery/v2.0/keys").text)["keys"]
        self.assertEqual([k["kid"] for k in keys], [read[0]["kid"]])

    def test_pages_of_other_sites_throw_no_switch(self):
        browser = Browser()
        browser.fetch(self.twin.url + "/twin/switch", b"name=smtp_auth&value=off", {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://evil.example"})
        self.assertEqual(browser.status, 403)
        browser.fetch(self.twin.url + "/", headers={"Host": "evil.example"})
        self.assertEqual(browser.status, 403)
        browser.open(self.twin.url + "/")
        self.assertEqual(browser.headers["Referrer-Policy"], "same-origin")
        self.assertIn("form-action 'self'", browser.headers["Content-Security-Policy"])


class TwinAsAProgram(Case):
    def ask(self, *words):
        done = subprocess.run([PROGRAM, "twin", *words], capture_output=True, text=True, timeout=PATIENCE, env=environment(POSTERN_TWIN=self.twin.url))
        return done.returncode, done.stdout, done.stderr

    def test_its_command_line(self):
        self.assertEqual(self.ask("switch", "smtp_auth", "off")[0], 0)
        self.assertEqual(self.twin.ask("/twin/state")["switches"]["smtp_auth"], "off")
        code, _, complaint = self.ask("switch", "smtp_auth", "perhaps")
        self.assertEqual(code, 1)
        self.assertTrue(complaint)
        self.assertEqual(self.ask("switch", "smtp_auth")[0], 2)
        self.assertEqual(self.ask("nonsense")[0], 2)
        self.assertEqual(self.ask("fault", "temporary_prx4", "dot", "times=2")[0], 0)
        self.assertEqual([(f["name"], f["stage"], f["times"]) for f in self.twin.ask("/twin/state")["faults"]], [("temporary_prx4", "dot", 2)])
        self.assertRegex(self.ask("code", ALEX)[1], r"^\d{6}\n$")
        self.assertEqual(self.ask("code", "nobody@contoso.example")[0], 1)
        self.assertEqual(self.ask("reset")[0], 0)
        for words in (("faults",), ("state",), ("mail",), ("--help",)):
            code, text, _ = self.ask(*words)
            self.assertEqual(code, 0)
            self.assertLessEqual(max(map(len, text.split("\n"))), 80, words)
        self.assertEqual(subprocess.run([PROGRAM, "twin", "state", "--url", "http://localhost:1"], capture_output=True, timeout=PATIENCE, env=environment()).returncode, 3)

    def test_grants_outlive_a_restart_and_a_second_one_is_refused(self):
        twin = Twin(self.directory)
        answer = signed_in(twin)
        second = subprocess.run([PROGRAM, "twin", "--data", os.path.join(self.directory, "twin"), "--smtp-port", "0", "--http-port", "0"], capture_output=True,
                                text=True, timeout=PATIENCE, env=environment())
        self.assertEqual(second.returncode, 1, second.stderr)
        with open(twin.ca, encoding="utf-8") as file:
            ca = file.read()
        self.assertEqual(twin.end(), 0)
        twin = Twin(self.directory)
        self.addCleanup(twin.end)
        with open(twin.ca, encoding="utf-8") as file:
            self.assertEqual(file.read(), ca)
        twin.switch("consent", "granted", ALEX)
        status, again = token_request(twin, grant_type="refresh_token", client_id=APP_ID, client_secret=APP_SECRET, refresh_token=answer["refresh_token"])
        self.assertEqual(status, 200, again)

    def test_a_tenant_of_ones_own(self):
        path = os.path.join(self.directory, "tenant.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("tenant fabrikam.example\nid 11111111-2222-4333-8444-555555555555\nname Fabrikam\nsessions_max 7\napp app-1\nname Own\n"
                       "redirect http://localhost\nuser kim@fabrikam.example\npassword x\nmfa disabled\n")
        twin = Twin(self.directory, path)
        self.addCleanup(twin.end)
        state = twin.ask("/twin/state")
        self.assertEqual([u["address"] for u in state["users"]], ["kim@fabrikam.example"])
        self.assertEqual(state["switches"]["sessions_max"], 7)


if __name__ == "__main__":
    harness.unittest.main()
