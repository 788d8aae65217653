"""What ends soon: shown first by `postern status`, in both languages, measured, and warned of once."""
import datetime
import json
import os
import re
import signal
import subprocess
import unittest
import urllib.request

from harness import Case, Failed, wait_until


def in_days(days):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Lapse(Case):
    def setUp(self):
        super().setUp()
        self.gateway = self.postern()
        self.gateway.command("org", "add", "contoso")

    def provider(self, verb, name, *words, secret=None):
        add = ("--org", "contoso", "--kind", "microsoft", "--client-id", "app") if verb == "add" else ()
        return self.gateway.command("provider", verb, name, *add, *(("--client-secret",) if secret else ()), *words, stdin=secret or "")

    def lapses(self):
        return {(lapse["what"], lapse["object"]): lapse for lapse in self.gateway.command("status")["lapses"]}

    def warnings(self):
        return [json.loads(line) for line in self.gateway.log().split("\n") if '"vault.lapse"' in line]

    def test_an_end_is_asked_for_where_a_secret_is_given(self):
        self.assertIn("--expires DATE", self.provider("add", "m365", secret="s3cret")["warning"])
        self.assertNotIn("ends_at", self.lapses()["client_secret", "m365"])
        with self.assertRaisesRegex(Failed, "a date such as 2027-01-31"):
            self.provider("set", "m365", "--expires", "soon")
        self.assertNotIn("warning", self.provider("set", "m365", "--expires", in_days(300)))
        self.assertEqual(self.lapses(), {})

    def test_what_ends_soon_comes_first_in_both_languages(self):
        self.provider("add", "m365", "--expires", in_days(20.5), secret="s3cret")
        self.provider("add", "later", "--expires", in_days(5.5), secret="s3cret")
        wait_until("both are warned of", lambda: len(self.warnings()) == 2)
        self.assertEqual(sorted((w["object"], w["stage"]) for w in self.warnings()), [("later", 7), ("m365", 30)])
        for language, words in (("C.UTF-8", ("What ends soon:", "days left: 5", "Make a new one")), ("fr_FR.UTF-8", ("Ce qui prend fin bientôt :", "jours restants : 5", "Créez-en"))):
            text = self.gateway.command("status", json_answer=False, env={"LC_ALL": language})
            self.assertTrue(text.startswith(words[0]), text)
            self.assertLess(text.index("fournisseur later" if language[0] == "f" else "provider later"), text.index("m365"))
            for word in words:
                self.assertIn(word, " ".join(text.split()))
            self.assertEqual([line for line in text.split("\n") if len(line) > 80], [])
        self.gateway.kill("vault")
        wait_until("the vault is back", self.is_back)
        self.provider("add", "third", "--expires", in_days(0.5), secret="s3cret")
        wait_until("the third is warned of", lambda: len(self.warnings()) > 2)
        self.assertEqual(sorted(w["object"] for w in self.warnings()), ["later", "m365", "third"])

    def is_back(self):
        try:
            return self.gateway.command("provider", "list")
        except Failed:
            return None

    def test_a_certificate_that_ends_soon(self):
        self.assertEqual(self.lapses(), {})
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "20", "-subj", "/CN=localhost",
                        "-keyout", os.path.join(self.gateway.data, "server.key"), "-out", os.path.join(self.gateway.data, "server.pem")],
                       check=True, capture_output=True)
        self.gateway.process.send_signal(signal.SIGHUP)
        wait_until("the new certificate is watched", lambda: ("certificate", "submission") in self.lapses())
        self.assertIn(self.lapses()["certificate", "submission"]["days"], (19, 20))
        wait_until("it is warned of", lambda: any(w["what"] == "certificate" for w in self.warnings()))
        with urllib.request.urlopen(f"http://localhost:{self.gateway.ports['web']}/metrics") as answer:
            seconds = re.search(r'^postern_lapse_seconds{role="vault",index="0",what="certificate"} (\d+)$', answer.read().decode(), re.M)
        self.assertTrue(19 * 86400 < int(seconds.group(1)) <= 20 * 86400, seconds.group(1))


if __name__ == "__main__":
    unittest.main()
