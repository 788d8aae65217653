"""Gmail and Google Workspace: a mailbox linked through Google's sign-in, mail by XOAUTH2, and what Gmail says no with."""
import json
import os
import time
import unittest

from harness import ALEX, ALEX_PASSWORD, Case, Failed, smtp, submit, wait_until

CLIENT_ID = "77-demo.apps.googleusercontent.com"
CLIENT_SECRET = "GOCSPX-Contoso-demo-client-secret"


class Google(Case):
    def gateway(self, **more):
        gateway = self.postern(**more)
        gateway.command("org", "add", "contoso")
        return gateway

    def provider(self, gateway, *words, tls="implicit", **stdin):
        port = self.twin.google_tls_port if tls == "implicit" else self.twin.google_port
        gateway.command("provider", "add", "gmail", "--org", "contoso", "--kind", "google", "--issuer", self.twin.url, "--smtp-host", "localhost",
                        "--smtp-port", str(port), "--smtp-tls", tls, *words, **stdin)
        gateway.command("mailbox", "add", ALEX, "--org", "contoso", "--provider", "gmail")

    def linked_to_google(self, tls="implicit", **more):
        gateway = self.gateway(**more)
        self.provider(gateway, "--client-id", CLIENT_ID, "--client-secret", stdin=CLIENT_SECRET, tls=tls)
        browser = gateway.link_mailbox(self.twin)
        self.assertEqual(browser.status, 200, browser.words())
        return gateway, gateway.add_client()

    def send(self, gateway, password):
        with smtp(gateway, password=password) as session:
            return submit(session)

    def test_links_and_sends_over_both_ports(self):
        for tls in ("implicit", "starttls"):
            with self.subTest(tls):
                self.setUp()
                gateway, password = self.linked_to_google(tls)
                code, reply = self.send(gateway, password)
                self.assertEqual(code, 250, reply)
                self.assertIn("accepted by", reply)
                self.assertIn("gsmtp", reply)
                mail = self.twin.mail()
                self.assertEqual([(m["mailbox"], m["sender"], m["recipients"]) for m in mail], [(ALEX, ALEX, "someone@fabrikam.example")])
                self.assertIn(b"that is all.", self.twin.raw(mail[0]["number"]))

    def test_the_days_limit_is_waited_for_and_not_bounced(self):
        gateway, password = self.linked_to_google()
        self.twin.switch("google_messages_per_day", 1)
        self.assertIn("accepted by", self.send(gateway, password)[1])
        code, reply = self.send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertIn("queued: ", reply)
        self.assertIn("5.4.5", reply)
        waiting = gateway.command("queue", "list")["items"]
        self.assertEqual(len(waiting), 1)
        self.twin.switch("google_messages_per_day", 0)
        gateway.command("queue", "retry", waiting[0]["id"])
        wait_until("the second mail arrives", lambda: len(self.twin.mail()) == 2)

    def test_a_grant_that_was_withdrawn_holds_until_a_new_link(self):
        self.twin.switch("access_token_seconds", 2)  # a token that was issued cannot be taken back: let it end soon
        gateway, password = self.linked_to_google()
        self.twin.switch("grant", "revoked", ALEX)
        time.sleep(2.1)
        code, reply = self.send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertIn("held: ", reply)
        self.twin.switch("access_token_seconds", 0)
        self.twin.switch("mfa", "disabled", ALEX)  # a code of the authenticator works once, and its next one is half a minute away
        browser = gateway.link_mailbox(self.twin)
        self.assertEqual(browser.status, 200, browser.words())
        wait_until("the held mail arrives", lambda: len(self.twin.mail()) == 1)

    def test_an_app_password_with_its_blanks_and_no_other_password(self):
        gateway = self.gateway()
        self.provider(gateway)
        gateway.command("mailbox", "set", ALEX, "--way", "app-password")
        with self.assertRaisesRegex(Failed, "Application-specific password required"):
            gateway.command("mailbox", "password", ALEX, stdin=ALEX_PASSWORD)
        tested, = gateway.command("mailbox", "password", ALEX, stdin="bdfh jlnp rtvx zbdf")["items"]
        self.assertTrue(tested["works"], tested)
        code, reply = self.send(gateway, gateway.add_client())
        self.assertEqual(code, 250, reply)
        self.assertIn("accepted by", reply)

    SERVICE = "postern@contoso-77.iam.gserviceaccount.com"

    def key(self):
        return json.dumps(self.twin.ask("/twin/service", {"email": self.SERVICE, "key": True}))

    def test_a_service_account_sends_for_a_mailbox_that_nobody_linked(self):
        gateway = self.gateway()
        self.provider(gateway, "--service-account", stdin=self.key())
        shown = gateway.command("provider", "show", "gmail")
        self.assertEqual((shown["service_account"], shown["client_secret"], shown["client_id"]), (True, False, self.SERVICE))
        self.assertEqual(gateway.command("mailbox", "show", ALEX)["state"], "ready")
        with self.assertRaisesRegex(Failed, "nobody needs to"):
            gateway.command("mailbox", "link", ALEX)
        password = gateway.add_client()
        code, reply = self.send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertIn("accepted by", reply)
        self.assertEqual(self.twin.mail()[0]["mailbox"], ALEX)

    def test_a_service_account_without_delegation_holds_until_it_is_delegated(self):
        gateway = self.gateway()
        self.provider(gateway, "--service-account", stdin=self.key())
        password = gateway.add_client()
        self.twin.ask("/twin/service", {"email": self.SERVICE, "delegated": ""})
        code, reply = self.send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertIn("held: ", reply)
        self.assertIn("Domain-wide delegation", reply)
        self.twin.ask("/twin/service", {"email": self.SERVICE, "delegated": "https://mail.google.com/"})
        path = os.path.join(self.directory, "key.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.key())
        gateway.command("provider", "set", "gmail", "--service-account-file", path)  # a new key also mends what the old one was refused for
        wait_until("the held mail arrives", lambda: len(self.twin.mail()) == 1)

    def test_files_that_are_no_key_are_refused(self):
        gateway = self.gateway()
        for text in ("{}", "not json", json.dumps({"type": "authorized_user"})):
            with self.assertRaisesRegex(Failed, "no key file of a service account"):
                gateway.command("provider", "add", "gmail", "--org", "contoso", "--kind", "google", "--service-account", stdin=text)
        with self.assertRaisesRegex(Failed, "kind google"):
            gateway.command("provider", "add", "m365", "--org", "contoso", "--kind", "microsoft", "--service-account", stdin=self.key())


if __name__ == "__main__":
    unittest.main()
