"""R11: the wall clock leaps while Postern runs and while it does not. Nothing that waits is returned for it, tokens and links keep their meaning, and a
clock that comes back finds everything as it was. The steady clock goes on, as on a real machine."""
import threading
import time
import unittest

import chaos
from chaos import PROVE, says
from harness import ALEX, PATIENCE, smtp, submit, wait_until

HOUR, DAY = 3600, 86400
YEARS_10 = 3652 * DAY
BEYOND_2038 = (1 << 31) + 1000


class R11(chaos.Chaos):
    with_clock = True

    def tearDown(self):
        self.clock.set(0)
        super().tearDown()

    def wait_with(self, count):
        """Letters that wait because the provider puts everything off."""
        self.provider.play(always=[("MAIL", says("451 4.7.0 not now"))])
        marks = []
        for _ in range(count):
            code, reply = self.send()
            self.assertEqual((code, "queued: " in reply), (250, True), reply)
            marks.append(self.mark)
        return marks

    def all_wait(self, marks):
        """They were tried after the leap, and all wait still: none was returned."""
        before = len(self.provider.met)
        wait_until("they are tried again", lambda: len(self.provider.met) > before + 1, 2 * PATIENCE)
        self.assertEqual(len(self.queue()), len(marks))

    def all_go(self, marks):
        self.heal()
        for mark in marks:
            wait_until("it arrives", lambda mark=mark: self.provider.copies(mark) == 1)
        self.assertFalse(any(b"multipart/report" in each["raw"] for each in self.provider.taken), "something was returned")

    def leaps(self, *seconds):
        marks = self.wait_with(3)
        for ahead in seconds:
            self.clock.set(ahead)
            self.all_wait(marks)
        code, reply = self.send()
        self.assertEqual((code, "queued: " in reply), (250, True), reply)
        self.all_go(marks + [self.mark])

    def test_r11_hours_years_and_beyond_2038(self):
        """To and fro. In PROVE=1 with the way back between the leaps."""
        far = BEYOND_2038 - int(time.time())
        leaps = (HOUR, -HOUR, YEARS_10, far, far + YEARS_10, -YEARS_10, 0)
        self.leaps(*(each for leap in leaps for each in ((leap, 0) if PROVE else (leap,))))

    def test_r11_frozen_and_shaking(self):
        marks, end = self.wait_with(2), threading.Event()

        def shake():
            while not end.is_set():
                self.clock.set(-self.clock.ahead or 40)
                time.sleep(0.01)
        thread = threading.Thread(target=shake)
        thread.start()
        try:
            self.all_wait(marks)
        finally:
            end.set()
            thread.join()
        self.clock.set(0)
        self.all_go(marks)

    def test_r11_started_ten_years_ahead_and_again_at_the_right_time(self):
        """A machine whose battery is flat: the whole queue looks ten years old."""
        marks = self.wait_with(2)
        for ahead in (YEARS_10, YEARS_10 + HOUR, 0, -YEARS_10, 0) if PROVE else (YEARS_10, 0):
            with self.subTest(ahead):
                self.gateway.end()
                self.clock.set(ahead)
                self.gateway.start()
                self.all_wait(marks)
        self.all_go(marks)

    def test_r11_links_and_logins(self):
        """A link of fifteen minutes has ended after an hour's leap, and lives again for nobody's harm when the clock comes back; logins go on."""
        link = self.gateway.command("mailbox", "link", ALEX)["link"]
        session = smtp(self.gateway, password=self.password)
        for ahead, status in ((HOUR, 410), (YEARS_10, 410), (0, 200)):
            self.clock.set(ahead)
            browser = chaos.Browser().open(link)
            self.assertEqual(browser.status, status, browser.words())
            with smtp(self.gateway, password=self.password) as another:
                self.assertEqual(another.mail(ALEX)[0], 250)
        self.assertEqual(submit(session, text=self.next_letter())[0], 250)
        session.close()
        self.gone_once()

    def test_r11_tokens(self):
        """Ahead: a new one is fetched, once. Back again: what it was given then does not live ten years longer, and mail goes on."""
        for ahead in (2 * HOUR, YEARS_10, 0, -2 * HOUR, 0):
            self.clock.set(ahead)
            for _ in range(2 if PROVE else 1):
                code, reply = self.send()
                self.assertEqual((code, "accepted by" in reply), (250, True), reply)
                self.gone_once()


if __name__ == "__main__":
    unittest.main()
