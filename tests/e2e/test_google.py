"""Gmail and Google Workspace: a mailbox linked through Google's sign-in, mail by XOAUTH2, and what Gmail says no with."""
import unittest

from harness import ALEX, Case, smtp, submit, wait_until

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
        self.twin.switch("access_token_seconds", 2)  # never good for long enough: every mail asks for a new one
        gateway, password = self.linked_to_google()
        self.twin.switch("grant", "revoked", ALEX)
        code, reply = self.send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertIn("held: ", reply)
        self.twin.switch("access_token_seconds", 0)
        self.twin.switch("mfa", "disabled", ALEX)  # a code of the authenticator works once, and its next one is half a minute away
        browser = gateway.link_mailbox(self.twin)
        self.assertEqual(browser.status, 200, browser.words())
        wait_until("the held mail arrives", lambda: len(self.twin.mail()) == 1)


if __name__ == "__main__":
    unittest.main()
