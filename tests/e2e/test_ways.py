"""Ways out of a mailbox: which is taken, what it signs in with, what happens when it stops working."""
import unittest

from harness import ALEX, APP_PASSWORD, Case, Failed, letter, smtp, submit, wait_until

OFF = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled."


class AppPassword(Case):
    def house(self, *ways):
        """A Microsoft tenant that nobody has registered an application with; the mailbox has an app password."""
        gateway = self.postern()
        gateway.command("org", "add", "contoso", *(w for way in ways for w in ("--way", way)))
        gateway.command("provider", "add", "m365", "--org", "contoso", "--kind", "microsoft", "--smtp-host", "localhost", "--smtp-port", str(self.twin.smtp_port))
        gateway.command("mailbox", "add", ALEX, "--org", "contoso", "--provider", "m365")
        return gateway

    def send(self, gateway, password, subject):
        with smtp(gateway, password=password) as session:
            return submit(session, text=letter(subject=subject))

    def subjects(self):
        return [mail["subject"] for mail in self.twin.mail()]

    def test_set_tested_and_sent_by(self):
        gateway = self.house("app-password")
        password = gateway.add_client()
        code, reply = self.send(gateway, password, "too early")
        self.assertEqual(code, 550, reply)
        with self.assertRaisesRegex(Failed, "app-password: .*535"):
            gateway.command("mailbox", "password", ALEX, stdin="wrong")
        item, = gateway.command("mailbox", "password", ALEX, stdin=APP_PASSWORD)["items"]
        self.assertTrue(item["works"], item)
        code, reply = self.send(gateway, password, "by app password")
        self.assertEqual(code, 250, reply)
        self.assertIn("accepted by localhost", reply)
        self.assertEqual(self.subjects(), ["by app password"])
        shown = gateway.command("mailbox", "show", ALEX)
        self.assertEqual((shown["state"], shown["way"], shown["app_password_user"]), ("ready", ["app-password"], ALEX))
        for everything in (gateway.log(), str(shown), gateway.command("mailbox", "show", ALEX, json_answer=False)):
            self.assertNotIn(APP_PASSWORD, everything)

    def test_held_when_passwords_end_and_released_by_another_way(self):
        gateway = self.house("app-password")
        gateway.command("mailbox", "password", ALEX, stdin=APP_PASSWORD)
        password = gateway.add_client()
        self.twin.switch("basic_auth", "off")
        code, reply = self.send(gateway, password, "held")
        self.assertEqual(code, 250, reply)
        self.assertIn("held: " + OFF[:-1], reply)
        with self.assertRaisesRegex(Failed, "basic authentication is disabled"):
            gateway.command("mailbox", "test", ALEX)
        # A stored password is tried at most hourly, lest the account be locked; a change here releases at once.
        self.twin.switch("basic_auth", "on")
        gateway.command("mailbox", "password", ALEX, stdin=APP_PASSWORD)
        wait_until("released", lambda: self.subjects() == ["held"])

    def test_the_second_way_carries_mail_when_the_first_fails(self):
        gateway, password = self.linked()
        gateway.command("mailbox", "set", ALEX, "--way", "app-password", "--way", "smtp")
        gateway.command("mailbox", "password", ALEX, stdin=APP_PASSWORD)
        self.assertEqual([i["works"] for i in gateway.command("mailbox", "test", ALEX)["items"]], [True, True])
        self.twin.switch("basic_auth", "retired")
        code, reply = self.send(gateway, password, "another way")
        self.assertEqual(code, 250, reply)
        self.assertIn("accepted by localhost", reply)
        self.assertEqual(self.subjects(), ["another way"])
        self.assertIn("post.other_way", gateway.log())
        with self.assertRaisesRegex(Failed, "app-password: "):
            gateway.command("mailbox", "test", ALEX)
        self.assertEqual([i["works"] for i in gateway.command("mailbox", "test", ALEX, "--way", "smtp")["items"]], [True])


class Shared(Case):
    """A mailbox that several people send from: a delegate with Send As signs in for it."""

    def test_a_delegate_with_send_as_and_one_without(self):
        gateway, _ = self.linked()
        for address in ("newsletter@contoso.example", "billing@contoso.example"):
            gateway.command("mailbox", "add", address, "--org", "contoso", "--provider", "m365", "--sign-in-as", ALEX)
        password = gateway.add_client("campus", ("newsletter@contoso.example", "billing@contoso.example"))
        self.assertEqual([i["works"] for i in gateway.command("mailbox", "test", "newsletter@contoso.example")["items"]], [True])
        with smtp(gateway, user="campus", password=password) as session:
            code, reply = submit(session, "newsletter@contoso.example", text=letter("newsletter@contoso.example", subject="granted"))
            self.assertEqual(code, 250, reply)
            self.assertIn("accepted by localhost", reply)
            code, reply = submit(session, "billing@contoso.example", text=letter("billing@contoso.example", subject="not granted"))
        self.assertEqual(code, 554, reply)
        self.assertIn("5.2.252 SendAsDenied; alex@contoso.example not allowed to send as billing@contoso.example", reply)
        self.assertIn("`Add-RecipientPermission billing@contoso.example -Trustee alex@contoso.example -AccessRights SendAs`", reply.replace("\n5.2.252 ", ""))
        mail, = self.twin.mail()
        self.assertEqual(mail["subject"], "granted")


if __name__ == "__main__":
    unittest.main()
