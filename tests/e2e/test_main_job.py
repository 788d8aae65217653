"""Journey one and three, end to end against the twin: an account that demands MFA is linked, and an application's mail goes out through it."""
import harness
from harness import ALEX, Case, letter, smtp, submit, wait_until


class MainJob(Case):
    def test_a_mail_goes_out_through_an_account_with_mfa(self):
        gateway, password = self.linked()
        with smtp(gateway, password=password) as session:
            code, reply = submit(session, text=letter(subject="first"))
        self.assertEqual(code, 250)
        self.assertRegex(reply, r"^2\.0\.0 \S+ accepted by localhost: ")
        mail = self.twin.mail()
        self.assertEqual(len(mail), 1)
        raw = self.twin.raw(mail[0]["number"])
        self.assertIn(b"\r\nSubject: first\r\n", raw)
        self.assertIn(b"Dear reader,\r\n\r\nthat is all.\r\n", raw)

    def test_held_while_smtp_auth_is_off_and_released_by_itself(self):
        gateway, password = self.linked()
        self.twin.switch("smtp_auth", "off")
        with smtp(gateway, password=password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 250)
        self.assertRegex(reply, r"^2\.0\.0 \S+ held: ")
        self.assertIn("5.7.139", reply)
        items = gateway.command("queue", "list")["items"]
        self.assertEqual([i["state"] for i in items], ["held"])
        self.assertEqual(self.twin.mail(), [])
        self.twin.switch("smtp_auth", "on")
        wait_until("the held mail arrives", self.twin.mail)
        wait_until("the queue is empty", lambda: gateway.command("queue", "list")["items"] == [])
        self.assertEqual(len(self.twin.mail()), 1)

    def test_a_mailbox_that_was_never_linked_refuses(self):
        gateway = self.postern()
        gateway.add_mailbox(self.twin)
        password = gateway.add_client()
        with smtp(gateway, password=password) as session:
            code, reply = session.mail(ALEX)
        self.assertEqual(code, 550)
        self.assertIn(b"`postern mailbox link alex@contoso.example`", reply)


if __name__ == "__main__":
    harness.unittest.main()
