"""T-SASL 25: one account by one spelling; nobody else by a look-alike, and nothing in a name is a command to the database."""
import base64
import os
import unittest

import harness
from harness import ALEX, Case, Failed, smtp, submit

CANONICAL = ("erp", "ERP", "Erp", ALEX, "ALEX@Contoso.Example")
OTHERS = ("\uff45\uff52\uff50", "\u0435rp", "e\u00adrp", "e\u200brp", "\ufefferp", "\u202eerp", "e\u0301rp", "erp\u0307", "erp.", "e.rp", "erp\u3002", "\u1d49rp", "\u212frp",
          "al.ex@contoso.example", "alex.@contoso.example", "alex@contoso.example.", "alex@contoso..example", "\u0430lex@contoso.example", "alex@cont\u043eso.example",
          "\uff41lex@contoso.example", "alex@contoso\uff0eexample", "alex\u200d@contoso.example", "'", "erp'", "erp'--", "' OR '1'='1", "\";DROP TABLE clients;--", "%", "e%", "erp%",
          "_rp", "___", "%@contoso.example", "\\", "erp\\", "\\'", "x" * 255, "x" * 4096, "\u00e9" * 1000)
# Mailboxes that differ from alex's in what a person cannot see, and those that anybody may own besides.
HIDDEN = ("\uff41lex@contoso.example", "al\u00adex@contoso.example", "al\u200bex@contoso.example", "alex@contoso\u3002example", "alex@contoso.example.", '"alex"@contoso.example',
          "al\x00ex@contoso.example", "x" * 200 + "@contoso.example", "alex@" + "x" * 300 + ".example")
SEPARATE = ("\u0430lex@contoso.example", "al.ex@contoso.example", "a\u0301lex@contoso.example", "o'alex@contoso.example", "%@contoso.example", "_lex@contoso.example")
LISTENER = """listener submission {
	port = 0
	addresses = { "127.0.0.1" }
	tls = starttls
	certificate = "%(data)s/server.pem"
	key = "%(data)s/server.key"
	mechanisms = { plain, login, xoauth2, oauthbearer }
}
"""


def plain(user, password, authorize=""):
    return "AUTH PLAIN " + base64.b64encode(f"{authorize}\0{user}\0{password}".encode()).decode()


def bearer(mechanism, user, password):
    text = f"user={user}\1auth=Bearer {password}\1\1" if mechanism == "XOAUTH2" else f"n,a={user},\1auth=Bearer {password}\1\1"
    return f"AUTH {mechanism} " + base64.b64encode(text.encode()).decode()


class TSasl(Case):
    def gateway(self):
        gateway = self.postern(more="login_failures_max = 100000\n", listeners=LISTENER % {"data": os.path.join(self.directory, "postern-data")})
        gateway.add_mailbox(self.twin)
        return gateway, gateway.add_client()

    def tries(self, session, user, password):
        """Every way to log in; the code that each ends with."""
        for mechanism in ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"):
            if mechanism == "LOGIN":
                code, _ = session.docmd("AUTH LOGIN " + base64.b64encode(user.encode()).decode())
                if code == 334:
                    code, _ = session.docmd(base64.b64encode(password.encode()).decode())
            else:
                line = plain(user, password) if mechanism == "PLAIN" else bearer(mechanism, user.replace(",", "=2C") if mechanism == "OAUTHBEARER" else user, password)
                code, _ = session.docmd(line)
                if code == 334:  # the error as a challenge, which the client acknowledges
                    code, _ = session.docmd("AQ==" if mechanism == "OAUTHBEARER" else "")
            yield mechanism, code

    def test_t_sasl_25_one_canonical_user(self):
        gateway, password = self.gateway()
        for user in CANONICAL:
            for mechanism in range(4):
                with smtp(gateway) as session:
                    for number, (name, code) in enumerate(self.tries(session, user, password)):
                        if number == mechanism:
                            break
                    self.assertIn(code, (235, 503), (user, name))
        for user in OTHERS:
            with smtp(gateway) as session:
                for name, code in self.tries(session, user, password):
                    self.assertIn(code, (500, 501, 535), (user, name))
        for user in ("erp\0", "\0erp", "er\0p"):
            with smtp(gateway) as session:
                for name, code in self.tries(session, user, password):
                    self.assertIn(code, (501, 535), (repr(user), name))
        self.assertEqual([item["name"] for item in gateway.command("client", "list")["items"]], ["erp"])
        with smtp(gateway, password=password):
            pass

    def test_t_sasl_25_no_second_account(self):
        gateway, password = self.gateway()
        provider = ("--org", "contoso", "--provider", "m365")
        for name in ("ALEX@contoso.example", "Alex@CONTOSO.Example"):
            with self.assertRaises(Failed) as caught:
                gateway.command("mailbox", "add", name, *provider)
            self.assertIn("that name is taken", caught.exception.output, name)
        with self.assertRaises(Failed):
            gateway.command("client", "add", "ERP", "--org", "contoso", "--mailbox", ALEX)
        for name in HIDDEN:
            with self.assertRaises((Failed, ValueError), msg=name):  # Python itself gives no NUL to a program
                gateway.command("mailbox", "add", name, *provider)
        for name in ("\uff45rp", "e\u00adrp", "erp\u200b", "e rp", "e@rp", "e\\rp", "e\nrp", "x" * 65):
            with self.assertRaises(Failed, msg=name):
                gateway.command("client", "add", name, "--org", "contoso", "--mailbox", ALEX)
        for name in SEPARATE:
            gateway.command("mailbox", "add", name, *provider)
            self.assertEqual(gateway.command("mailbox", "show", name)["address"], name)
        others = gateway.command("client", "add", "er'p%_;--", "--org", "contoso", "--mailbox", SEPARATE[0])["password"]
        self.assertEqual(gateway.command("client", "show", "er'p%_;--")["mailboxes"], [SEPARATE[0]])
        self.assertEqual(gateway.command("client", "show", "erp")["mailboxes"], [ALEX])
        for user, secret, sender in (("erp", password, SEPARATE[1]), ("er'p%_;--", others, ALEX), ("er'p%_;--", others, "al.ex@contoso.example")):
            with smtp(gateway, user=user, password=secret) as session:
                self.assertGreaterEqual(submit(session, sender)[0], 500, (user, sender))
        for user, secret in (("erp", others), ("er'p%_;--", password), (ALEX, others), (SEPARATE[1], password)):
            with self.assertRaises(harness.smtplib.SMTPAuthenticationError, msg=user):
                smtp(gateway, user=user, password=secret)
        gateway.command("mailbox", "remove", "%@contoso.example")
        self.assertEqual(len(gateway.command("mailbox", "list")["items"]), len(SEPARATE))  # it alone went, and alex is there


if __name__ == "__main__":
    unittest.main()
