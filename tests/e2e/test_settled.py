"""The three forms of a verdict, recipients of mixed fortune, reports, and a resubmission that joins what was not heard."""
import os
import smtplib
import socket
import time
import unittest

from harness import ALEX, Case, letter, smtp, submit, wait_until


class Settled(Case):
    def test_a_refusal_reaches_the_application_and_never_goes_out(self):
        gateway, password = self.linked()
        self.twin.fault("send_as_denied", times=1)
        with smtp(gateway, password=password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 554, reply)
        self.assertIn("SendAsDenied", reply)
        self.assertIn("Add-RecipientPermission", reply)
        self.assertEqual(gateway.command("queue", "list")["items"], [])
        self.assertEqual(self.twin.mail(), [])
        gateway.end()
        gateway.start()
        with smtp(gateway, password=password) as session:
            self.assertEqual(submit(session)[0], 250)
        wait_until("the next one arrives", self.twin.mail)
        self.assertEqual(len(self.twin.mail()), 1)

    def test_some_recipients_refused(self):
        gateway, password = self.linked()
        self.twin.fault("recipient_unknown", times=1)
        with smtp(gateway, password=password) as session:
            code, reply = submit(session, to=["gone@fabrikam.example", "there@fabrikam.example"], text=letter(subject="mixed"))
        self.assertEqual(code, 250, reply)
        self.assertRegex(reply, r"accepted for 1 of 2, report follows")
        mail = wait_until("the mail and the report arrive", lambda: len(self.twin.mail()) == 2 and self.twin.mail())
        report = next(m for m in mail if m["subject"] != "mixed")
        raw = self.twin.raw(report["number"])
        self.assertIn(b"gone@fabrikam.example", raw)
        self.assertIn(b"Auto-Submitted: auto-replied", raw)
        self.assertIn(b"message/delivery-status", raw)
        self.assertEqual(report["recipients"], ALEX)

    def test_all_recipients_refused(self):
        gateway, password = self.linked()
        self.twin.fault("recipient_unknown", times=2)
        with smtp(gateway, password=password) as session:
            code, reply = submit(session, to=["a@fabrikam.example", "b@fabrikam.example"])
        self.assertEqual(code // 100, 5, reply)
        self.assertEqual(self.twin.mail(), [])

    def test_put_off_is_queued_at_once_and_goes_out(self):
        gateway, password = self.linked()
        self.twin.fault("temporary_prx2", times=1)
        with smtp(gateway, password=password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 250)
        self.assertIn("queued: 451 4.7.0", reply)
        wait_until("it arrives", self.twin.mail)

    def test_a_slow_provider_is_not_waited_for(self):
        gateway, password = self.linked(more="verdict_wait_ms = 300\n")
        self.twin.fault("stall_dot", times=1, ms=3000)
        with smtp(gateway, password=password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 250)
        self.assertIn("queued: ", reply)
        wait_until("the queue is empty", lambda: gateway.command("queue", "list")["items"] == [])
        self.assertEqual(len(self.twin.mail()), 1)

    def test_the_remedy_is_in_the_reply_and_the_queue(self):
        gateway, password = self.linked()
        self.twin.switch("smtp_auth", "off")
        with smtp(gateway, password=password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 250)
        self.assertIn("Set-TransportConfig", reply)
        item = gateway.command("queue", "list")["items"][0]
        shown = gateway.command("queue", "show", item["id"])
        self.assertIn("5.7.139", str(shown))
        self.assertIn("Set-TransportConfig", str(shown))
        for text in (" ".join(reply.split()), item["remedy"], shown["remedy"]):
            self.assertIn(f"`Set-CASMailbox -Identity {ALEX} -SmtpClientAuthenticationDisabled $false`", text)

    def test_a_deleted_message_never_goes_out(self):
        gateway, password = self.linked()
        self.twin.switch("smtp_auth", "off")
        with smtp(gateway, password=password) as session:
            submit(session, text=letter(subject="kept"))
            submit(session, text=letter(subject="deleted"))
        items = gateway.command("queue", "list")["items"]
        gateway.command("queue", "delete", items[-1]["id"])
        gateway.end()
        gateway.start()
        self.twin.switch("smtp_auth", "on")
        wait_until("the other arrives", self.twin.mail)
        wait_until("the queue is empty", lambda: gateway.command("queue", "list")["items"] == [])
        self.assertEqual(len(self.twin.mail()), 1)


class Unheard(Case):
    """A client that gives up and sends again: one copy at the other end."""

    def at_each_stage(self, patience):
        # The verdict is waited for longer than the client waits, so that it is the client that gives up.
        gateway, password = self.linked(more="verdict_wait_ms = 30000\nupstream_idle_ms = 500\n")
        for number, stage in enumerate(("stall_greeting", "stall_data", "stall_dot")):
            with self.subTest(stage):
                self.twin.reset()
                self.gives_up(gateway, password, stage, patience, number)
                time.sleep(1.1)  # no connection is kept for the next stage: its greeting must come anew

    def gives_up(self, gateway, password, fault, patience, number):
        self.twin.fault(fault, times=1, ms=patience * 1000 + 3000)
        text = letter(number=number)
        session = smtp(gateway, password=password)
        session.mail(ALEX)
        session.rcpt("someone@fabrikam.example")
        session.docmd("DATA")
        session.send(text + ".\r\n")
        session.sock.settimeout(patience)
        with self.assertRaises((smtplib.SMTPServerDisconnected, socket.timeout, TimeoutError)):
            session.getreply()
        session.close()
        for _ in range(3):
            try:
                with smtp(gateway, password=password) as again:
                    code, reply = submit(again, text=text)
                if code == 250:
                    break
            except (smtplib.SMTPServerDisconnected, OSError):
                time.sleep(0.2)
        self.assertEqual(code, 250, reply)
        wait_until("the queue is empty", lambda: gateway.command("queue", "list")["items"] == [], 120)
        self.assertEqual(len(self.twin.mail()), 1, self.twin.mail())

    def test_gives_up_after_1_s(self):
        self.at_each_stage(1)

    def test_gives_up_after_3_s(self):
        self.at_each_stage(3)

    def test_gives_up_after_9_s(self):
        self.at_each_stage(9)


class Reload(Case):
    def test_a_reload_keeps_sessions_and_a_bad_one_changes_nothing(self):
        gateway, password = self.linked()
        session = smtp(gateway, password=password)
        path = os.path.join(gateway.data, "postern.conf")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text + "\ncolour = blue\n")
        os.kill(gateway.process.pid, 1)
        wait_until("the bad one is refused", lambda: "role.reload_refused" in gateway.log())
        self.assertEqual(submit(session, text=letter(number=1))[0], 250)
        with open(path, "w", encoding="utf-8") as file:
            file.write("verdict_wait_ms = 100\n" + text)
        os.kill(gateway.process.pid, 1)
        wait_until("the good one is in force", lambda: gateway.log().count('"role.reloaded"') == 5)
        self.assertEqual(submit(session, text=letter(number=2))[0], 250)
        with smtp(gateway, password=password) as another:
            self.assertEqual(submit(another, text=letter(number=3))[0], 250)
        wait_until("all arrive", lambda: len(self.twin.mail()) == 3)
        session.close()

    def test_every_role_that_is_killed_comes_back(self):
        gateway, password = self.linked()
        for role in ("gate", "post", "vault", "desk"):
            gateway.kill(role)
            gateway.back()
            with smtp(gateway, password=password) as session:
                code, reply = submit(session, text=letter(subject=role))
            self.assertEqual(code, 250, reply)
        wait_until("all arrive", lambda: len(self.twin.mail()) == 4)

    def test_sigterm_drains(self):
        gateway, password = self.linked()
        self.twin.fault("stall_dot", times=1, ms=1500)
        session = smtp(gateway, password=password)
        session.mail(ALEX)
        session.rcpt("someone@fabrikam.example")
        session.docmd("DATA")
        session.send(letter() + ".\r\n")
        time.sleep(0.2)
        gateway.process.terminate()
        self.assertEqual(session.getreply()[0], 250)
        self.assertEqual(gateway.process.wait(60), 0)
        wait_until("it arrived", self.twin.mail)


if __name__ == "__main__":
    unittest.main()
