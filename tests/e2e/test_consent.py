"""Journey three: the consent, green and red, and what a link may and may not do."""
import time
import unittest

from harness import ALEX, ALEX_PASSWORD, MARIA, MARIA_PASSWORD, Browser, Case, sign_in, smtp, submit, wait_until


class Consent(Case):
    def gateway(self):
        gateway = self.postern()
        gateway.add_mailbox(self.twin)
        return gateway

    def state(self, gateway, address=ALEX):
        return gateway.command("mailbox", "show", address)["state"]

    def test_green_in_english_and_in_french(self):
        for language, word in (("en", "succeeded"), ("fr", "réussi")):
            with self.subTest(language):
                self.setUp()
                gateway = self.gateway()
                browser = gateway.link_mailbox(self.twin, language=language)
                self.assertEqual(browser.status, 200)
                self.assertIn(ALEX, browser.words())
                self.assertIn(word, browser.words().lower())
                self.assertIn(f'lang="{language}"', browser.text)
                self.assertEqual(self.state(gateway), "ready")

    def test_the_wrong_account_stores_nothing_and_is_named(self):
        for language in ("en", "fr"):
            with self.subTest(language):
                self.setUp()
                gateway = self.gateway()
                before = self.state(gateway)
                browser = Browser(language)
                browser.open(gateway.command("mailbox", "link", ALEX)["link"])
                browser.submit()
                sign_in(browser, self.twin, MARIA, MARIA_PASSWORD)
                self.assertEqual(browser.status, 403, browser.words())
                self.assertIn(MARIA, browser.words())
                self.assertIn(ALEX, browser.words())
                self.assertEqual(self.state(gateway), before)
                password = gateway.add_client()
                with smtp(gateway, password=password) as session:
                    self.assertEqual(session.mail(ALEX)[0], 550)

    def test_account_choice_is_asked_for(self):
        gateway = self.gateway()
        browser = Browser()
        browser.open(gateway.command("mailbox", "link", ALEX)["link"])
        browser.submit()
        self.assertTrue(browser.url.startswith(self.twin.url), browser.url)
        self.assertRegex(browser.url, "prompt=select_account|login_hint=" + ALEX.replace("@", "%40"))

    def test_a_link_survives_scanners_and_works_once(self):
        gateway = self.gateway()
        link = gateway.command("mailbox", "link", ALEX)["link"]
        for _ in range(10):
            scanner = Browser().open(link)
            self.assertEqual(scanner.status, 200)
        browser = Browser()
        browser.open(link)
        browser.submit()
        sign_in(browser, self.twin, ALEX, ALEX_PASSWORD)
        self.assertEqual(self.state(gateway), "ready")
        again = Browser().open(link)
        self.assertEqual(again.status, 410, again.words())
        self.assertEqual(browser.open(link).status, 410)

    def test_a_link_of_another_browser_does_nothing(self):
        gateway = self.gateway()
        link = gateway.command("mailbox", "link", ALEX)["link"]
        first, second = Browser(), Browser()
        first.open(link)
        second.open(link)
        first.submit()
        second.submit()
        self.assertEqual(second.status, 403, second.words())
        # The provider's answer, carried to a browser that did not ask for it.
        first.redirects.halt = link[:link.index("/link/")] + "/oauth/callback"
        sign_in(first, self.twin, ALEX, ALEX_PASSWORD)
        answer = first.redirects.kept
        self.assertIn("code=", answer)
        third = Browser().open(answer)
        self.assertEqual(third.status, 403, third.words())
        self.assertNotEqual(self.state(gateway), "ready")
        first.redirects.halt = None
        first.open(answer)
        self.assertEqual(first.status, 200, first.words())
        self.assertEqual(self.state(gateway), "ready")

    def test_a_failed_sign_in_may_be_tried_again(self):
        gateway = self.gateway()
        link = gateway.command("mailbox", "link", ALEX)["link"]
        browser = Browser()
        browser.open(link)
        browser.submit()
        sign_in(browser, self.twin, MARIA, MARIA_PASSWORD)
        self.assertEqual(browser.status, 403)
        browser.open(link)
        self.assertEqual(browser.status, 200)
        browser.submit()
        sign_in(browser, self.twin, ALEX, ALEX_PASSWORD)
        self.assertEqual(browser.status, 200, browser.words())
        self.assertEqual(self.state(gateway), "ready")

    def test_consent_refused_and_conditional_access_are_red_with_a_reason(self):
        gateway = self.gateway()
        self.twin.switch("conditional_access", "block")
        browser = Browser()
        browser.open(gateway.command("mailbox", "link", ALEX)["link"])
        browser.submit()
        sign_in(browser, self.twin, ALEX, ALEX_PASSWORD)
        self.assertGreaterEqual(browser.status, 400)
        self.assertIn("Conditional Access", browser.words())
        self.assertNotEqual(self.state(gateway), "ready")

    def test_device_code(self):
        gateway = self.gateway()
        given = gateway.command("mailbox", "link", ALEX, "--device")
        self.assertRegex(given["user_code"], r"^\w{6,12}$")
        browser = Browser()
        browser.open(given["verification_uri"])
        browser.submit(0, user_code=given["user_code"])
        sign_in(browser, self.twin, ALEX, ALEX_PASSWORD)
        wait_until("the device code links the mailbox", lambda: self.state(gateway) == "ready", 90)

    def test_device_code_of_the_wrong_account_stores_nothing(self):
        gateway = self.gateway()
        given = gateway.command("mailbox", "link", ALEX, "--device")
        browser = Browser()
        browser.open(given["verification_uri"])
        browser.submit(0, user_code=given["user_code"])
        sign_in(browser, self.twin, MARIA, MARIA_PASSWORD)
        wait_until("it is said", lambda: "WRONG_ACCOUNT" in gateway.log(), 90)
        self.assertNotEqual(self.state(gateway), "ready")


class Lapsing(Case):
    """The sign-in ends later: mail is held, one link mends it, and it goes out."""

    def test_a_revoked_sign_in_holds_and_a_new_link_releases(self):
        self.twin.switch("access_token_seconds", 2)  # a token that was issued cannot be taken back: let it end soon
        gateway, password = self.linked()
        self.twin.ask("/twin/switch", {"name": "grant", "value": "revoked", "mailbox": ALEX})
        time.sleep(2.1)
        with smtp(gateway, password=password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 250)
        self.assertIn("held: ", reply)
        self.twin.switch("mfa", "disabled", ALEX)  # a code of the authenticator works once, and its next one is half a minute away
        browser = gateway.link_mailbox(self.twin)
        self.assertEqual(browser.status, 200, browser.words())
        self.assertIn("succeeded", browser.words().lower())
        wait_until("the held mail arrives", self.twin.mail)
        self.assertEqual(len(self.twin.mail()), 1)


if __name__ == "__main__":
    unittest.main()
