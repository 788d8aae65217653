"""Ways out of a mailbox: which is taken, what it signs in with, what happens when it stops working."""
import os
import subprocess
import unittest

from harness import ALEX, APP_ID, APP_PASSWORD, MARIA, PATIENCE, Case, Failed, letter, smtp, submit, wait_until

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


class Application(Case):
    """Nobody signs in: the application does, for all mailboxes of its provider."""

    def certificate(self):
        """A file with certificate and key, as Postern wants it; and the certificate registered with the application."""
        key, certificate, both = (os.path.join(self.directory, name) for name in ("app-key.pem", "app-certificate.pem", "app.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=app", "-days", "700"],
                       check=True, capture_output=True, timeout=PATIENCE)
        with open(both, "w", encoding="utf-8") as out:
            for path in (certificate, key):
                with open(path, encoding="utf-8") as file:
                    out.write(file.read())
        with open(certificate, encoding="utf-8") as file:
            self.twin.ask("/twin/app", {"id": APP_ID, "certificate": "".join(file.read().splitlines()[1:-1])})
        return both

    def send(self, gateway, password, sender, subject):
        with smtp(gateway, password=password) as session:
            return submit(session, sender, text=letter(sender, subject=subject))

    def test_by_secret_then_by_certificate_for_every_mailbox(self):
        gateway = self.postern()
        gateway.add_mailbox(self.twin)
        gateway.add_mailbox(self.twin, MARIA)
        gateway.command("provider", "set", "m365", "--access", "application")
        password = gateway.add_client("erp", (ALEX, MARIA))
        code, reply = self.send(gateway, password, ALEX, "by secret")
        self.assertEqual(code, 250, reply)
        self.assertIn("accepted by localhost", reply)
        shown = gateway.command("provider", "set", "m365", "--client-certificate-file", self.certificate())
        self.assertEqual((shown["access"], len(shown["client_certificate_sha256"])), ("application", 64))
        self.twin.switch("secret", "expired")
        self.assertEqual([i["works"] for i in gateway.command("mailbox", "test", MARIA)["items"]], [True])
        code, reply = self.send(gateway, password, MARIA, "by certificate")
        self.assertEqual(code, 250, reply)
        self.assertEqual([(mail["subject"], mail["sender"]) for mail in self.twin.mail()], [("by secret", ALEX), ("by certificate", MARIA)])

    def test_a_mailbox_that_is_not_opened_to_it_holds_its_mail(self):
        gateway = self.postern()
        gateway.add_mailbox(self.twin)
        gateway.command("provider", "set", "m365", "--access", "application")
        self.twin.switch("application", "none", ALEX)
        code, reply = self.send(gateway, gateway.add_client(), ALEX, "held")
        self.assertEqual(code, 250, reply)
        self.assertIn("held: 430 4.2.0 STOREDRV; mailbox logon failure", reply)
        self.assertIn("Add-MailboxPermission alex@contoso.example", reply)
        self.twin.switch("application", "full", ALEX)
        wait_until("released by itself", lambda: [mail["subject"] for mail in self.twin.mail()] == ["held"])


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
