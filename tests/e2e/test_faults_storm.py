"""R16, end to end and small: a provider that puts everything of one mailbox off, with a queue behind it, and then is well. It is asked no more often than the
waits say, others are not held up, and afterwards everybody has a share. The million and the hour are tests/replay's."""
import time
import unittest

import chaos
from chaos import PROVE, says
from harness import ALEX, MARIA, letter, smtp, submit, wait_until

MANY = 2000 if PROVE else 80


class R16(chaos.Chaos):
    more = "retry_longest = 1\nprobe_longest = 1\nverdict_wait_ms = 0\nupstream_idle_ms = 1000\n"

    def queue_up(self, session, sender, name, count):
        for number in range(count):
            code, reply = submit(session, sender=sender, text=letter(sender=sender, subject=f"{name} {number}."))
            self.assertEqual((code, "queued: " in reply), (250, True), reply)

    def test_r16_storm_and_healing(self):
        self.link_maria()
        password = self.gateway.add_client("till", (MARIA,))

        self.provider.play(always=[("MAIL", says("451 4.7.0 not now"))])
        begun = time.monotonic()
        with smtp(self.gateway, password=self.password) as session:
            self.queue_up(session, ALEX, "alex", MANY)
        with smtp(self.gateway, user="till", password=password) as session:
            self.queue_up(session, MARIA, "maria", 5)
        wait_until("it was tried again", lambda: len(self.provider.met) >= 8)
        # Each mailbox rests between half a second and one second after each failure; at first up to three of each were under way at once.
        most = 2 * 3 + 2 * (time.monotonic() - begun + 1) / 0.5
        self.assertLessEqual(len(self.provider.met), most)

        # Well again, but slow enough that it matters who is served.
        self.provider.play(always=[("AFTER", chaos.waits(0.05))])
        wait_until("all of it went", lambda: len(self.provider.taken) >= MANY + 5, 600)
        subjects = [line for each in self.provider.taken for line in each["raw"].split(b"\r\n") if line.startswith(b"Subject: ")]
        self.assertEqual(len(set(subjects)), MANY + 5)
        last_of_maria = max(at for at, line in enumerate(subjects) if b"maria" in line)
        self.assertLess(last_of_maria, len(subjects) - MANY // 4, "maria had to wait for all of alex's")
        self.gateway.command("client", "remove", "till")


if __name__ == "__main__":
    unittest.main()
