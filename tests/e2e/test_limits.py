"""What a provider allows a mailbox is kept, over deaths of post, by the twin's own counters. LIMITS_MAILBOXES, LIMITS_LETTERS and LIMITS_KILLS say how many."""
import os
import signal
import smtplib
import threading
import unittest

from harness import ALEX, APP_PASSWORD, Case, letter, smtp, submit, wait_until

MAILBOXES, LETTERS, KILLS = (int(os.environ.get("LIMITS_" + name, number)) for name, number in (("MAILBOXES", 6), ("LETTERS", 4), ("KILLS", 2)))
PER_MINUTE = 2


class Limits(Case):
    def house(self, addresses, *limits):
        gateway = self.postern()
        gateway.command("org", "add", "contoso", "--way", "app-password")
        gateway.command("provider", "add", "m365", "--org", "contoso", "--kind", "microsoft", "--smtp-host", "localhost", "--smtp-port", str(self.twin.smtp_port),
                        *limits)
        for address in addresses:
            if address != ALEX:
                self.twin.ask("/twin/user", {"address": address, "password": "Four-Words-And-More", "app_password": APP_PASSWORD, "authenticator": "JBSWY3DPEHPK3PXP"})
            gateway.command("mailbox", "add", address, "--org", "contoso", "--provider", "m365")
            gateway.command("mailbox", "password", address, stdin=APP_PASSWORD)
        return gateway, gateway.add_client("erp", addresses)

    def counts(self, address=ALEX):
        return next(user for user in self.twin.ask("/twin/state")["users"] if user["address"] == address)["counts"]

    def send_all(self, gateway, password, addresses, count):
        """So many letters of each mailbox, all at once; the replies."""
        replies, lock = [], threading.Lock()

        def attempt(address):
            """The reply; None while post is not quite back."""
            try:
                with smtp(gateway, password=password) as session:
                    code, reply = submit(session, sender=address, text=letter(address))
            except (OSError, smtplib.SMTPException):
                return None
            return None if 400 <= code < 500 else (code, reply)

        def send(address):
            for _ in range(count):
                got = wait_until("a letter is answered", lambda: attempt(address))
                with lock:
                    replies.append(got)

        threads = [threading.Thread(target=send, args=(address,)) for address in addresses]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(replies), len(addresses) * count)
        return replies

    def test_no_window_is_overshot_by_many_mailboxes_and_a_post_that_dies(self):
        addresses = [f"user{number}@contoso.example" for number in range(MAILBOXES)]
        self.twin.switch("messages_per_minute", PER_MINUTE)
        self.twin.switch("rate_excess", "refuse")
        gateway, password = self.house(addresses, "--messages-per-minute", str(PER_MINUTE))
        limited = 0
        for round_ in range(KILLS + 1):
            for code, reply in self.send_all(gateway, password, addresses, LETTERS if not round_ else 1):
                self.assertEqual(code, 250, reply)
                self.assertRegex(reply, rf" accepted by | queued: (it waits for the mailbox's limit of {PER_MINUTE} messages a minute; next try in \d+ s|other|it is)")
                limited += "the mailbox's limit" in reply
            if round_ < KILLS:
                os.kill(gateway.roles()["post"], signal.SIGKILL)
                gateway.back(addresses[0])
        self.assertGreater(limited, 0)
        for address in addresses:
            counts = self.counts(address)
            self.assertEqual((counts["over_minute"], counts["over_day"], counts["over_sessions"]), (0, 0, 0), counts)
            self.assertLessEqual(counts["most_in_minute"], PER_MINUTE)
            self.assertGreater(counts["messages"], 0)

    def test_a_day_that_is_full_is_no_refusal(self):
        gateway, password = self.house([ALEX])
        for name, text in (("quota_exceeded", "SubmissionQuotaExceeded"), ("google_daily", "5.4.5")):
            self.twin.fault(name, times=1)
            with smtp(gateway, password=password) as session:
                code, reply = submit(session, text=letter(subject=name))
                self.assertEqual(code, 250, reply)
                self.assertRegex(reply, f"queued: .*{text}")
                code, reply = submit(session, text=letter(subject="behind it"))
                self.assertEqual(code, 250, reply)
                self.assertRegex(reply, r"queued: the provider takes no more of this mailbox today; next try in \d+ s")
            self.assertEqual(self.twin.mail(), [])
            gateway.command("queue", "retry", gateway.command("queue", "list")["items"][0]["id"])
            wait_until("all went", lambda: gateway.command("queue", "list")["items"] == [])
            self.assertEqual(len(self.twin.mail()), 2)
            self.twin.reset("mail")

    def test_a_passing_text_that_means_a_permission_is_held(self):
        gateway, password = self.house([ALEX])
        self.twin.fault("mailbox_logon_failed", times=1)
        with smtp(gateway, password=password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 250, reply)
        self.assertRegex(reply, "held: 430 4.2.0 .*Add-MailboxPermission")

    def test_limits_of_a_provider_are_shown_and_changed(self):
        gateway = self.postern()
        gateway.command("org", "add", "contoso")
        words = ("--org", "contoso", "--client-id", "x", "--smtp-host", "localhost")
        names = ("messages_per_minute", "recipients_per_day", "connections")
        for kind, limits in (("microsoft", (30, 10000, 3)), ("google", (0, 2000, 0)), ("smtp", (0, 0, 0))):
            shown = gateway.command("provider", "add", kind, "--kind", kind, *words)
            self.assertEqual(tuple(shown[name] for name in names), limits)
        shown = gateway.command("provider", "set", "google", "--recipients-per-day", "500", "--connections", "2")
        self.assertEqual(tuple(shown[name] for name in names), (0, 500, 2))


if __name__ == "__main__":
    unittest.main()
