"""Programs of this machine that know the command sendmail and no server: what they send goes through Postern, waits while it is away, and goes once."""
import email
import email.policy
import os
import shutil
import subprocess

from harness import ALEX, PATIENCE, PROGRAM, Case, environment, needs_root, wait_until

TO = "someone@fabrikam.example"


class Sendmail(Case):
    def local(self, *more):
        """A gateway with alex linked, and a client that is this very user."""
        gateway = self.postern()
        gateway.add_mailbox(self.twin)
        self.assertEqual(gateway.link_mailbox(self.twin).status, 200)
        gateway.command("client", "add", "programs", "--org", "contoso", "--mailbox", ALEX, "--no-password", "--network", f"uid:{os.geteuid()}", *more)
        self.gateway = gateway
        return gateway

    def setUp(self):
        super().setUp()
        self.links = {}
        for name in ("sendmail", "mailq", "newaliases"):
            self.links[name] = os.path.join(self.directory, name)
            os.symlink(PROGRAM, self.links[name])
        self.aliases = os.path.join(self.directory, "aliases")
        with open(self.aliases, "w", encoding="utf-8") as file:
            file.write(f"# of this machine\npostmaster: root\nroot: ops,\n\t{TO}\nops: \"The Operators\" <ops@fabrikam.example>\n")

    def env(self, **more):
        return environment(POSTERN_DATA=os.path.join(self.directory, "postern-data"), POSTERN_ALIASES=self.aliases, HOME=self.directory, **more)

    def send(self, *words, text, name="sendmail", code=0, prefix=(), **more):
        done = subprocess.run([*prefix, self.links[name], *words], input=text.encode(), capture_output=True, env=self.env(**more), timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr.decode()

    def arrived(self, count):
        """The messages at the provider, once there are so many, newest last; with what was on the envelope."""
        items = wait_until(f"{count} messages arrive", lambda: self.twin.mail() if len(self.twin.mail()) >= count else None)
        self.assertEqual(len(items), count)
        return sorted(((item, email.message_from_bytes(self.twin.raw(item["number"]), policy=email.policy.default)) for item in items), key=lambda pair: pair[0]["number"])

    def waiting(self, place="new", outbox=None):
        folder = os.path.join(outbox or os.path.join(self.directory, "postern-data", "outbox"), str(os.geteuid()), place)
        return [name for name in os.listdir(folder) if not name.endswith(".why")] if os.path.isdir(folder) else []

    def test_programs_send(self):
        self.local("--sender-rule", "rewrite")
        # a script: recipients in the header, Bcc for nobody's eyes, line ends of Unix
        self.send("-t", "-i", text=f"From: {ALEX}\nTo: Zo\u00eb <{TO}>\nCc: ops@fabrikam.example,\n  it@fabrikam.example\nBcc: boss@fabrikam.example\nSubject: of a script\n\none\n.\ntwo\n")
        # cron
        self.send("-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", text="From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@web> run\nAuto-Submitted: auto-generated\n\n\u00e9\n")
        # PHP's mail()
        self.send("-t", "-i", "-fwww@web.example", text="To: ops@fabrikam.example\r\nSubject: of PHP\r\nX-PHP-Script: a.php\r\n\r\nhello\r\n")
        # nothing but words, for a reader who is named behind --
        self.send("-oi", "-F", "Doe, John", "--", TO, text="no header at all\n")
        messages = self.arrived(4)
        script, cron, php, bare = (message for _, message in messages)
        self.assertEqual((script["Subject"], script["Bcc"], script["From"]), ("of a script", None, ALEX))
        self.assertEqual(script.get_content().replace("\r\n", "\n"), "one\n.\ntwo\n")
        self.assertEqual(sorted(messages[0][0]["recipients"].split()), sorted([TO, "ops@fabrikam.example", "it@fabrikam.example", "boss@fabrikam.example"]))
        self.assertEqual(str(cron["From"]), f"Cron Daemon <{ALEX}>")
        self.assertEqual(sorted(messages[1][0]["recipients"].split()), sorted([TO, "ops@fabrikam.example"]))
        self.assertEqual(php["X-PHP-Script"], "a.php")
        self.assertEqual(str(bare["From"]), f'"Doe, John" <{ALEX}>')
        self.assertEqual(bare.get_content().replace("\r\n", "\n"), "no header at all\n")
        for _, message in messages:
            self.assertTrue(message["Date"] and message["Message-ID"], message)
            self.assertIn(f"(uid:{os.geteuid()})", message["Received"])
        self.assertEqual(self.waiting() + self.waiting("tmp"), [])

    def test_clients_that_others_wrote(self):
        self.local("--sender-rule", "rewrite")
        with open(os.path.join(self.directory, ".mailrc"), "w", encoding="utf-8") as file:
            file.write(f"set sendmail={self.links['sendmail']}\n")
        subprocess.run(["bsd-mailx", "-s", "of mailx", TO], input=b"hello\n", env=self.env(), timeout=PATIENCE, check=True)
        subprocess.run(["s-nail", "-:/", "-S", f"mta={self.links['sendmail']}", "-S", "sendwait", "-s", "of s-nail", TO], input=b"hello\n", env=self.env(), timeout=PATIENCE, check=True)
        patch = os.path.join(self.directory, "0001.patch")
        with open(patch, "w", encoding="utf-8") as file:
            file.write(f"From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: Alex <{ALEX}>\nDate: Mon, 1 Jun 2026 12:00:00 +0000\nSubject: [PATCH] of git\n\n---\n a | 1 +\n")
        subprocess.run(["git", "send-email", f"--smtp-server={self.links['sendmail']}", f"--from={ALEX}", f"--to={TO}", "--suppress-cc=all", "--confirm=never", patch],
                       env=self.env(GIT_CONFIG_GLOBAL="/dev/null", GIT_COMMITTER_NAME="Alex", GIT_COMMITTER_EMAIL=ALEX, GIT_AUTHOR_NAME="Alex", GIT_AUTHOR_EMAIL=ALEX), cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=True)
        self.assertEqual(sorted(message["Subject"] for _, message in self.arrived(3)), ["[PATCH] of git", "of mailx", "of s-nail"])
        # a program that speaks SMTP with it
        with subprocess.Popen([self.links["sendmail"], "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.env()) as program:
            said, _ = program.communicate(f"EHLO a\r\nMAIL FROM:<{ALEX}>\r\nRCPT TO:<{TO}>\r\nQUIT\r\n".encode(), timeout=PATIENCE)
        self.assertEqual(program.returncode, 0)
        self.assertRegex(said.decode(), r"^220 [^$]*250 2\.1\.5[^$]*221 ")

    def test_what_is_wrong_is_said_once(self):
        gateway = self.local()
        for words, text, code, wanted in (
                (("-t",), "Subject: x\n\nhello\n", 64, "no recipient"), (("-z", TO), "x\n", 64, "-z"), (("-bd",), "", 64, "-b"), (("-N", "never,delay", TO), "x\n", 64, "-N"),
                (("-t",), "To: <a@b@c>\n\nx\n", 65, "a@b@c"), (("-f", "ceo@contoso.example", TO), f"From: {ALEX}\n\nx\n", 77, "5.7.1"),
                (("-f", ALEX, TO), "From: ceo@contoso.example\n\nx\n", 77, "5.7.1")):
            said = self.send(*words, text=text, code=code)
            self.assertIn(wanted, said)
            self.assertEqual(said.count("\n"), 1, said)
        gateway.command("client", "set", "programs", "--network", "uid:4294967294")
        self.assertIn("5.7.1", self.send(TO, text=f"From: {ALEX}\n\nx\n", code=77))
        self.assertEqual((self.twin.mail(), self.waiting()), ([], []))
        self.assertEqual(self.send(text="", name="newaliases"), "")
        os.remove(os.path.join(gateway.data, "postern.conf"))
        self.assertIn("no boot file", self.send(TO, text="x\n", code=78))

    def test_it_waits_while_postern_is_away(self):
        gateway = self.local()
        gateway.end()
        said = self.send("-v", TO, text=f"From: {ALEX}\nSubject: first\n\nx\n")
        self.assertIn("waits in", said)
        self.send(TO, text=f"From: {ALEX}\nSubject: second\n\n\u00e9\n")
        self.assertEqual(len(self.waiting()), 2)
        listed = subprocess.run([self.links["mailq"]], env=self.env(), capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
        self.assertEqual(listed.count(TO), 2, listed)
        gateway.start()
        self.assertEqual(sorted(message["Subject"] for _, message in self.arrived(2)), ["first", "second"])
        wait_until("nothing waits", lambda: not self.waiting())

    @needs_root
    def test_another_user_is_told_apart(self):
        """Its mail waits in its own name, and is taken in by a process of its own."""
        gateway = self.local()
        gateway.command("client", "set", "programs", "--network", "uid:12345")
        gateway.end()
        program = os.path.join(self.directory, "bin", "sendmail")
        os.mkdir(os.path.dirname(program))
        shutil.copy(PROGRAM, program)
        for path, mode in ((os.path.dirname(program), 0o755), (program, 0o755), (self.aliases, 0o644)):
            os.chmod(path, mode)
        as_user = ("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups")
        subprocess.run([*as_user, program, TO], input=f"From: {ALEX}\nSubject: another\n\nx\n".encode(), env=self.env(), timeout=PATIENCE, check=True)
        folder = os.path.join(gateway.data, "outbox", "12345")
        self.assertEqual((os.stat(folder).st_uid, os.stat(folder).st_mode & 0o777, len(os.listdir(os.path.join(folder, "new")))), (12345, 0o700, 1))
        self.send(TO, text=f"From: {ALEX}\nSubject: of root\n\nx\n")
        gateway.start()
        self.assertIn("(uid:12345)", self.arrived(1)[0][1]["Received"])
        wait_until("root is refused", lambda: self.waiting("failed"))
        self.assertIn("5.7.1", subprocess.run([self.links["mailq"]], env=self.env(), capture_output=True, text=True, timeout=PATIENCE, check=True).stdout)
        wait_until("nothing waits", lambda: not os.listdir(os.path.join(folder, "new")))

    def test_killed_anywhere_it_goes_once(self):
        """Ours is struck out only when Postern has it: killed right before, the copy comes again and is known."""
        gateway = self.local()
        outbox = os.path.join(self.directory, "outbox")  # where Postern does not look for it by itself
        os.mkdir(outbox)
        env = {"POSTERN_OUTBOX": outbox, "POSTERN_SENDMAIL_SOCKET": os.path.join(gateway.data, "local.sock")}
        killed = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat,unlinkat"]
        gateway.end()
        self.send(TO, text=f"From: {ALEX}\nSubject: once\n\nx\n", **env)
        # killed in the middle of keeping one: that is no promise, and what is left is swept
        self.send(TO, text=f"From: {ALEX}\nSubject: never\n\nx\n", prefix=(*killed, "-e", "inject=renameat:signal=SIGKILL"), code=-9, **env)
        self.assertEqual((len(self.waiting(outbox=outbox)), len(self.waiting("tmp", outbox))), (1, 1))
        gateway.start()
        self.send("-q", text="", prefix=(*killed, "-e", "inject=unlinkat:signal=SIGKILL:when=2"), code=-9, **env)
        self.assertEqual(len(self.waiting(outbox=outbox)), 1)
        self.arrived(1)
        self.send("-q", text="", **env)
        self.assertEqual((self.waiting(outbox=outbox), self.waiting("tmp", outbox)), ([], []))
        self.assertEqual([message["Subject"] for _, message in self.arrived(1)], ["once"])
        self.assertIn('"post.resubmitted"', gateway.log())
