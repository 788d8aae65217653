"""The command line: exit codes, help, 80 columns, completion, both languages; and the daemon it speaks to."""
import json
import os
import pty
import re
import socket
import subprocess
import tempfile
import unittest

import harness
from harness import ALEX, PROGRAM, ROOT, Case, Failed, environment, smtp, submit


def run(*words, stdin="", env=None):
    return subprocess.run([PROGRAM, *words], input=stdin, capture_output=True, text=True, timeout=60, env=environment(**(env or {})))


def names(define, table):
    """What `define` leaves of every row of a table, read by the preprocessor."""
    source = f'#define {define}\n#include "tables/{table}.def"\n'
    text = subprocess.run(["cc", "-E", "-P", "-x", "c", "-I", ROOT, "-"], input=source, capture_output=True, text=True, check=True).stdout
    return re.findall(r"@([\w ]+)@", text)


def operations():
    """(noun, verb) of every row."""
    return [tuple(pair.split()) for pair in names("OPERATION(noun, verb, ...) @noun verb@", "operations")]


def commands():
    return names("COMMAND(name, ...) @name@", "commands")


class WithoutDaemon(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="postern-cli-")
        self.addCleanup(self.directory.cleanup)
        self.data = os.path.join(self.directory.name, "data")

    def test_help_names_everything_within_80_columns_in_both_languages(self):
        for language in ("C.UTF-8", "fr_FR.UTF-8"):
            text = run("help", env={"LC_ALL": language}).stdout
            self.assertEqual([line for line in text.split("\n") if len(line) > 80], [])
            for name in commands() + sorted({noun for noun, _ in operations()}):
                one = run(name, "--help", env={"LC_ALL": language})
                self.assertEqual((one.returncode, [line for line in one.stdout.split("\n") if len(line) > 80]), (0, []), name)
            for noun, verb in operations():
                self.assertIn(f"{noun} {verb}", text)
                one = run(noun, verb, "--help", env={"LC_ALL": language})
                self.assertEqual(one.returncode, 0)
                for line in one.stdout.split("\n"):
                    self.assertLessEqual(len(line), 80, line)
        self.assertNotEqual(run("help").stdout, run("help", env={"LC_ALL": "fr_FR.UTF-8"}).stdout)

    def test_what_is_not_understood_exits_2(self):
        for words in (["nonsense"], ["org", "nonsense"], ["org", "add"], ["org", "add", "a", "b"], ["org", "add", "a", "--colour", "x"], ["org", "add", "a", "--title"],
                      ["mailbox", "add", "a@b.example"], ["org", "add", "a", "--title", "x", "--title", "y"], ["serve", "--port-base", "many"]):
            done = run(*words, "--data", self.data)
            self.assertEqual(done.returncode, 2, words)
            self.assertTrue(done.stderr.startswith("postern: "), words)

    def test_a_secret_has_no_place_on_the_command_line(self):
        done = run("provider", "add", "x", "--org", "o", "--kind", "microsoft", "--client-id", "i", "--client-secret=visible", "--data", self.data)
        self.assertEqual(done.returncode, 2)

    def test_no_daemon_exits_3(self):
        done = run("org", "list", "--data", self.data)
        self.assertEqual(done.returncode, 3)
        self.assertIn("no Postern answers", done.stderr)

    def test_init_makes_a_directory_once_and_check_likes_it(self):
        made = run("init", "--data", self.data, "--host-name", "mail.contoso.example")
        self.assertEqual(made.returncode, 0, made.stderr)
        key = os.path.join(self.data, "kek")
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        before = open(key, "rb").read()
        again = run("init", "--data", self.data)
        self.assertEqual(again.returncode, 1)
        self.assertEqual(open(key, "rb").read(), before)
        checked = run("check", "--data", self.data)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        self.assertNotIn("BAD", checked.stdout)

    def test_check_finds_what_is_bad(self):
        run("init", "--data", self.data, "--host-name", "localhost")
        path = os.path.join(self.data, "postern.conf")
        text = open(path).read()
        for change, wanted in ((lambda t: t + "\ncolour = blue\n", "no such option"),
                               (lambda t: t.replace("server.key", "missing.key", 1), "certificate"),
                               (lambda t: t.replace('addresses = { "127.0.0.1", "::1" }   # loopback until you say otherwise\n\ttls = none',
                                                    'addresses = { "0.0.0.0" }\n\ttls = none'), "pages need TLS")):
            with open(path, "w") as file:
                file.write(change(text))
            done = run("check", "--data", self.data)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(wanted, done.stdout)
        os.chmod(os.path.join(self.data, "kek"), 0o644)
        with open(path, "w") as file:
            file.write(text)
        self.assertIn("chmod 600", run("check", "--data", self.data).stdout)

    def test_explain_in_both_languages(self):
        text = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthenticationis disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled"
        english, french = run("explain", text), run("explain", text, env={"LC_ALL": "fr_CA.UTF-8"})
        self.assertEqual((english.returncode, french.returncode), (0, 0))
        self.assertIn("Set-TransportConfig", english.stdout + run("explain", text, "--json").stdout)
        self.assertNotEqual(english.stdout, french.stdout)
        self.assertEqual(json.loads(run("explain", "--json", stdin=text).stdout)["class"], "hold")
        self.assertEqual(run("explain", "good morning").returncode, 1)

    def test_completion_is_bash_and_names_every_noun(self):
        script = run("completion", "bash").stdout
        self.assertEqual(subprocess.run(["bash", "-n"], input=script, text=True).returncode, 0)
        typed = f"{script}\nCOMP_WORDS=(postern mailbox ''); COMP_CWORD=2; _postern; echo ${{COMPREPLY[@]}}"
        words = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(sorted(words), sorted(v for n, v in operations() if n == "mailbox"))

    def test_a_long_wait_is_told_at_a_terminal(self):
        """A daemon that answers only once the line of progress was seen."""
        path, (ours, theirs) = os.path.join(self.directory.name, "control.sock"), pty.openpty()
        self.addCleanup(os.close, ours)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            command = subprocess.Popen([PROGRAM, "org", "list"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
                                       env=environment(POSTERN_CONTROL=path, LC_ALL="fr_FR.UTF-8"), text=True)
            os.close(theirs)
            connection, _ = server.accept()
            told = b""
            while b"en attente de Postern" not in told:
                told += os.read(ours, 1000)
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"items":[]}')
            output, _ = command.communicate(timeout=60)
            connection.close()
        self.assertEqual(command.returncode, 0)
        self.assertNotIn("attente", output)

    def test_documents_are_in_step(self):
        self.assertEqual(subprocess.run([os.path.join(ROOT, "tools/documents"), "--check"]).returncode, 0)


class WithDaemon(Case):
    def lines(self, gateway, *words):
        """What a command prints, in English; held to 80 columns in both languages, but for a link or a path on a line of its own."""
        for language in ("fr_FR.UTF-8", "C.UTF-8"):
            text = gateway.command(*words, json_answer=False, env={"LC_ALL": language})
            self.assertEqual([line for line in text.split("\n") if len(line) > 80 and not ("/" in line and " " not in line.strip().rstrip(":"))], [], words)
        return text

    def test_tables_and_records_fit_80_columns(self):
        gateway, password = self.linked()
        gateway.command("org", "add", "a-very-long-name-of-an-organisation-that-goes-on", "--title", "An organisation with a title as long as titles can be, and longer")
        gateway.command("org", "set", "contoso", "--title", "Université de Montréal — École d’été")
        for number in range(3):
            long = f"a.very.long.mailbox.name.number.{number}@subsidiary.of.a.company.with.a.long.name.contoso.example"
            gateway.add_mailbox(self.twin, long)
        self.twin.switch("smtp_auth", "off")
        with smtp(gateway, password=password) as session:
            submit(session, to=[f"recipient{i}@a-rather-long-domain.fabrikam.example" for i in range(5)])
            session.mail("ceo@contoso.example")
        for words in (("org", "list"), ("provider", "list"), ("mailbox", "list"), ("client", "list"), ("client", "refused"), ("queue", "list"), ("key", "list"), ("status",),
                      ("org", "show", "contoso"), ("provider", "show", "m365"), ("mailbox", "show", ALEX), ("mailbox", "show", long), ("client", "show", "erp"),
                      ("client", "set", "erp", "--mailbox", ALEX, "--mailbox", long), ("client", "show", "erp"), ("client", "password", "erp"), ("mailbox", "link", long),
                      ("mailbox", "link", long, "--device"), ("mailbox", "set", long, "--name", "n" * 90), ("mailbox", "list"), ("key", "rotate"), ("check",)):
            self.lines(gateway, *words)
        item = gateway.command("queue", "list")["items"][0]["id"]
        self.assertIn("5.7.139", self.lines(gateway, "queue", "show", item))
        for verb in ("hold", "release", "retry"):
            self.lines(gateway, "queue", verb, item)
        # The remedy is there in full, with the address to use.
        self.assertIn(f"`Set-CASMailbox -Identity {ALEX} -SmtpClientAuthenticationDisabled $false`", " ".join(self.lines(gateway, "status").split()))

    def test_refusals_name_the_cause_and_exit_1(self):
        gateway = self.postern()
        with self.assertRaises(Failed) as caught:
            gateway.command("mailbox", "show", "nobody@contoso.example")
        self.assertEqual(caught.exception.code, 1)
        gateway.command("org", "add", "contoso")
        with self.assertRaises(Failed) as caught:
            gateway.command("org", "add", "contoso")
        self.assertEqual(caught.exception.code, 1)
        with self.assertRaises(Failed) as caught:
            gateway.command("org", "add", "contoso", env={"LC_ALL": "fr_FR.UTF-8"})
        self.assertIn("déjà", caught.exception.output)

    def test_what_was_refused_is_shown(self):
        gateway, password = self.linked()
        with smtp(gateway, password=password) as session:
            self.assertEqual(session.mail("ceo@contoso.example")[0], 550)
        with self.assertRaises(harness.smtplib.SMTPAuthenticationError):
            smtp(gateway, password="pt_wrong")
        rows = gateway.command("client", "refused")["items"]
        self.assertTrue(any(r.get("sender") == "ceo@contoso.example" for r in rows), rows)
        self.assertTrue(any(r["fault"] == "CREDENTIAL_UNKNOWN" and r["user"] == "erp" for r in rows), rows)


if __name__ == "__main__":
    unittest.main()
