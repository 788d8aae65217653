"""R15: everything that a provider's SMTP can do wrong. Each time the application gets the right word, what was accepted goes out once when the provider
is well again, and what a provider sends is read within bounds. PROVE=1 cuts at every byte and waits as long as providers do."""
import socket
import time
import unittest

import chaos
from chaos import PROVE, Cut, drips, ends, says, says_and_ends, waits
from harness import ALEX, MARIA, smtp, submit, wait_until


class R15(chaos.Chaos):
    def put_off(self, stage, what, wanted, met=1):
        """Answered `queued` with that text; goes out once afterwards."""
        self.provider.play((stage, what))
        code, reply = self.send()
        self.assertEqual(code, 250, reply)
        self.assertRegex(reply, r"^2\.0\.0 \w+ queued: ")
        self.assertRegex(reply, wanted)
        self.assertEqual(self.provider.met, [stage] * met)
        self.gone_once()

    def held(self, stage, what, wanted):
        """Answered `held` with the text and a remedy; the others wait with it, and nothing is tried but a probe until that is mended."""
        self.provider.play(always=[(stage, what)])
        code, reply = self.send()
        self.assertEqual(code, 250, reply)
        self.assertRegex(reply, r"^2\.0\.0 \w+ held: ")
        self.assertRegex(reply, wanted)
        self.assertEqual(self.provider.copies(self.mark), 0)
        self.gone_once()

    def refused(self, stage, what, code_wanted, wanted):
        self.provider.play((stage, what))
        code, reply = self.send()
        self.assertEqual(code, code_wanted, reply)
        self.assertRegex(reply, wanted)
        self.assertEqual(self.queue(), [])
        self.assertEqual(self.provider.copies(self.mark), 0)

    # --- the replies of providers

    def test_r15_432_concurrency(self):
        self.put_off("DOT", says("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=X]"),
                     "432 4.3.2 Concurrent connections")

    def test_r15_432_thread_limit(self):
        self.put_off("MAIL", says("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"), "432 4.3.2")

    def test_r15_421_at_each_stage(self):
        for stage in ("GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "DOT") if PROVE else ("GREETING", "AUTH", "DOT"):
            with self.subTest(stage):
                self.put_off(stage, says_and_ends("421 4.3.2 Service not active"), "421 4.3.2|Service not active")

    def test_r15_451_server_busy(self):
        self.put_off("MAIL", says("451 4.7.500 Server busy. Please try again later from [127.0.0.1]. (S77719)"), "451 4.7.500")

    def test_r15_454_temporary_authentication_failure(self):
        self.put_off("AUTH", says("454 4.7.0 Temporary authentication failure"), "454 4.7.0")

    def test_r15_554_520_quota_of_the_day(self):
        text = "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception"
        self.put_off("DOT", says(text), "SubmissionQuotaExceeded")

    def test_r15_554_522_mailbox_full(self):
        text = "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded; Failed to process message"
        self.held("DOT", says(text), "mailbox full")

    def test_r15_550_520_unknown_to_us_is_refused(self):
        self.refused("DOT", says("550 5.2.0 something that no table has"), 550, "something that no table has")

    # --- odd successes

    def test_r15_251_and_252_accept_a_recipient(self):
        for text in ("251 2.1.5 user not local; will forward", "252 2.5.2 cannot VRFY user, but will accept"):
            with self.subTest(text):
                def answer(visit, text=text):
                    visit.recipients.append("someone@fabrikam.example")
                    visit.say(text)
                    raise chaos.Handled
                self.provider.play(("RCPT", answer))
                code, reply = self.send()
                self.assertEqual((code, "accepted by" in reply), (250, True), reply)
                self.gone_once()

    def test_r15_354_where_250_is_due_and_250_where_354_is_due(self):
        for stage in ("MAIL", "RCPT"):
            with self.subTest(stage):
                self.put_off(stage, says_and_ends("354 go ahead"), "354|no SMTP reply|closed|go ahead")
        with self.subTest("DATA"):
            self.put_off("DATA", says_and_ends("250 2.0.0 ok"), "250|ok|closed")
        with self.subTest("DOT"):
            self.put_off("DOT", says_and_ends("354 more?"), "354|more")

    def test_r15_code_999_and_no_code(self):
        for text in ("999 what is this", "250ok", "", "hello there", "25", "600 no", "\x00\xff\xfe")[:None if PROVE else 3]:
            with self.subTest(text):
                self.put_off("MAIL", says_and_ends(text), "queued: ")

    def test_r15_extra_replies_in_advance(self):
        """A 250 for the message that was said before its end is no verdict: here the true one is 451."""
        def too_soon(visit):
            visit.raw(b"354 go ahead\r\n250 2.0.0 ok, whatever it is\r\n")
            visit.read_body()
            raise chaos.Handled
        self.provider.play(("DATA", too_soon), ("DOT", says("451 4.3.0 not today")))
        self.send()
        wait_until("the visit that was broken off is over", lambda: not self.provider.open)
        self.gone_once()

    def test_r15_extra_replies_after_a_recipient(self):
        def twice(visit):
            visit.raw(b"250 2.1.5 ok\r\n250 2.1.5 ok\r\n")
            visit.recipients.append("someone@fabrikam.example")
            raise chaos.Handled
        self.provider.play(("RCPT", twice))
        self.send()
        self.gone_once()

    # --- size and speed

    def flood(self, stage, first, more, most):
        """Sends without end; the gateway must leave. What it let us send stays below `most` bytes: what the kernels hold is in it."""
        sent = []

        def do(visit):
            visit.request.settimeout(30)
            visit.raw(first)
            try:
                while visit.said < 64 << 20:
                    visit.raw(more)
            except (OSError, ValueError):
                pass
            sent.append(visit.said)
            raise Cut
        self.put_off(stage, do, "queued: ")
        self.assertLess(sent[0], most)

    def test_r15_reply_line_of_a_megabyte(self):
        self.flood("MAIL", b"250 2.1.0 ", b"x" * 65536, 40 << 20)

    def test_r15_reply_that_never_ends(self):
        for stage in ("EHLO", "RCPT", "DOT") if PROVE else ("DOT",):
            with self.subTest(stage):
                self.flood(stage, b"250-first\r\n", b"250-and so on, and so on, and so on\r\n" * 2000, 40 << 20)

    def test_r15_long_reply_within_bounds_counts(self):
        def long(visit):
            visit.say("\r\n".join(["250-" + "y" * 2000] * 100 + ["250 2.1.0 Sender OK"]))
            raise chaos.Handled
        self.provider.play(("MAIL", long))
        code, reply = self.send()
        self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        self.gone_once()

    def test_r15_tarpit_and_drip_keep_nobody_else(self):
        """One connection of alex waits for a greeting, a second hears a byte at a time; the application is told in time, and others go on."""
        self.gateway.command("client", "set", "erp", "--verdict-wait", "300ms")
        try:
            for stage, what in (("GREETING", waits(290 if PROVE else 4)), ("GREETING", drips("220 provider ESMTP", 1 if PROVE else 0.3))):
                self.provider.play((stage, what))
                code, reply = self.send()
                self.assertEqual(code, 250, reply)
                self.assertIn("queued: ", reply)
                slow = self.mark
                code, reply = self.send()
                self.assertEqual(code, 250, reply)
                wait_until("the next one passes", lambda: self.provider.copies(self.mark) == 1)
                wait_until("so does the first", lambda: self.provider.copies(slow) == 1, 400)
                self.assertEqual(self.queue(), [])
        finally:
            self.gateway.command("client", "set", "erp", "--verdict-wait", "3000ms")

    def test_r15_250_very_late(self):
        """The application has its answer long before; the verdict still counts, and nothing is sent twice."""
        self.gateway.command("client", "set", "erp", "--verdict-wait", "200ms")
        try:
            self.provider.play(("AFTER", waits(599 if PROVE else 3)))
            code, reply = self.send()
            self.assertEqual(code, 250, reply)
            self.assertIn("queued: ", reply)
            wait_until("the verdict came", lambda: self.queue() == [], 700)
            self.assertEqual(self.provider.copies(self.mark), 1)
        finally:
            self.gateway.command("client", "set", "erp", "--verdict-wait", "3000ms")

    # --- lost connections

    def test_r15_cut_before_the_final_dot(self):
        """At some bytes of the message (PROVE: at each): it was not taken, so it goes out, once."""
        size = len(self.next_letter())
        for at in range(0, size, 1 if PROVE else 90):
            def cut(visit, at=at):
                visit.reader.read(at)
                raise Cut
            self.provider.play(("BODY", cut))
            code, reply = self.send()
            self.assertEqual(code, 250, reply)
            self.assertIn("queued: ", reply)
            self.gone_once()

    def test_r15_cut_after_the_final_dot(self):
        """The provider has it, but we did not hear so: window (b). It goes again, under the same identity, and no third time."""
        verdict = b"250 2.6.0 queued"
        for at in range(0, len(verdict) + 2, 1 if PROVE else 10):
            def cut(visit, at=at):
                visit.raw((verdict + b"\r\n")[:at])
                raise Cut
            self.provider.play(("AFTER", cut))
            code, reply = self.send()
            self.assertEqual(code, 250, reply)
            self.gone_once(2)
            copies = [each["raw"] for each in self.provider.taken if self.mark.encode() in each["raw"]]
            self.assertEqual(copies[0], copies[1])

    def test_r15_cut_after_the_whole_reply_is_no_reason(self):
        def after(visit):
            visit.say("250 2.6.0 queued")
            raise Cut
        self.provider.play(("AFTER", after))
        code, reply = self.send()
        self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        self.gone_once()

    def test_r15_tls_alert_in_the_middle_of_data(self):
        def alert(visit):
            visit.reader.readline(1000)
            with socket.socket(fileno=socket.dup(visit.request.fileno())) as bare:
                bare.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
            time.sleep(0.1)
            raise Cut
        self.put_off("BODY", alert, "queued: ")

    def test_r15_tls_goodbye_in_the_middle_of_data(self):
        def goodbye(visit):
            visit.reader.readline(1000)
            visit.request.settimeout(1)
            try:
                visit.request.unwrap()
            except OSError:
                pass
            raise Cut
        self.put_off("BODY", goodbye, "queued: ")

    def test_r15_no_starttls_no_password(self):
        """A provider, or somebody in between, without STARTTLS gets neither token nor mail."""
        heard = []

        def bare(visit):
            visit.say("250-provider\r\n250 AUTH LOGIN XOAUTH2")
            heard.append(visit.reader.readline(1000))
            raise Cut
        self.put_off("EHLO", bare, "STARTTLS")
        self.assertIn(heard[0][:4], (b"QUIT", b""))

    def test_r15_a_storm_of_one_mailbox_leaves_the_other_alone(self):
        """Everything of alex is put off at MAIL; maria's mail passes meanwhile, at once."""
        self.link_maria()
        password = self.gateway.add_client("till", (MARIA,))

        def not_alex(visit):
            if visit.sender == ALEX:
                says("451 4.7.0 not you, not now")(visit)
        self.provider.play(always=[("MAIL", not_alex)])
        for _ in range(5):
            code, reply = self.send()
            self.assertEqual((code, "queued: " in reply), (250, True), reply)
            with smtp(self.gateway, user="till", password=password) as session:
                code, reply = submit(session, sender=MARIA)
            self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        self.gone_once()
        self.gateway.command("client", "remove", "till")


if __name__ == "__main__":
    unittest.main()
