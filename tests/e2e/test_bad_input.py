"""Bad input: one test for each line of the list. Each gets the reply its fault row says, a line in the log, and costs the others nothing."""
import os
import shutil
import socket
import ssl
import subprocess
import time
import unittest

import harness
from harness import ALEX, Case, Postern, letter, smtp, submit, wait_until


def dial(gateway, listener="submission"):
    connection = socket.create_connection(("127.0.0.1", gateway.ports[listener]), timeout=60)
    return connection, connection.makefile("rb")


def read_reply(stream):
    """All lines of one reply; b"" at the end of the connection."""
    text = b""
    while True:
        line = stream.readline()
        text += line
        if not line or line[3:4] != b"-":
            return text


def greeted(gateway, listener="submission"):
    connection, stream = dial(gateway, listener)
    assert read_reply(stream).startswith(b"220 ")
    connection.sendall(b"EHLO client.example\r\n")
    assert read_reply(stream).startswith(b"250")
    return connection, stream


def status(process):
    with open(f"/proc/{process}/status", encoding="utf-8") as file:
        return file.read()


class Strangers(Case):
    """What a client can do; one gateway serves them all, and works for an honest client after each."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = harness.tempfile.mkdtemp(dir=cls.class_directory)
        os.chmod(directory, 0o711)
        cls.gateway = Postern(directory, cls.twin)
        cls.addClassCleanup(cls.gateway.end)
        cls.gateway.add_mailbox(cls.twin)
        cls.gateway.link_mailbox(cls.twin)
        cls.password = cls.gateway.add_client()
        cls.sent = 0

    def tearDown(self):
        """The others are not concerned."""
        before = len(self.twin.mail())
        with smtp(self.gateway, password=self.password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 250, reply)
        wait_until("the honest mail arrives", lambda: len(self.twin.mail()) == before + 1)

    def logged(self, *wanted):
        def look():
            return any(all(w in line for w in wanted) for line in self.gateway.log().split("\n"))
        wait_until(f"log line with {wanted}", look)

    def test_unknown_user(self):
        with self.assertRaises(harness.smtplib.SMTPAuthenticationError) as caught:
            smtp(self.gateway, user="nobody", password=self.password)
        self.assertEqual(caught.exception.smtp_code, 535)
        self.logged("gate.login_refused", "BAD_LOGIN")

    def test_wrong_client_password(self):
        with self.assertRaises(harness.smtplib.SMTPAuthenticationError) as caught:
            smtp(self.gateway, password=self.password[:-1] + ("a" if self.password[-1] != "a" else "b"))
        self.assertEqual(caught.exception.smtp_code, 535)
        self.logged("gate.login_refused", "BAD_LOGIN")

    def test_revoked_client_password(self):
        password = self.gateway.add_client("till")
        session = smtp(self.gateway, user="till", password=password)
        self.gateway.command("client", "remove", "till")
        try:
            code, _ = session.mail(ALEX)
        except harness.smtplib.SMTPServerDisconnected:
            code = 535
        self.assertIn(code, (421, 535))
        with self.assertRaises(harness.smtplib.SMTPAuthenticationError) as caught:
            smtp(self.gateway, user="till", password=password)
        self.assertEqual(caught.exception.smtp_code, 535)

    def test_sender_not_granted(self):
        with smtp(self.gateway, password=self.password) as session:
            code, reply = session.mail("ceo@contoso.example")
        self.assertEqual(code, 550)
        self.assertIn(b"5.7.1", reply)
        self.logged("SENDER_NOT_GRANTED", "ceo@contoso.example")

    def test_relay_attempt(self):
        with smtp(self.gateway) as session:
            self.assertEqual(session.mail(ALEX)[0], 530)
        with smtp(self.gateway, tls=False) as session:
            self.assertEqual(session.mail(ALEX)[0], 530)

    def test_oversize_message(self):
        with smtp(self.gateway, password=self.password) as session:
            code, reply = session.docmd("MAIL", f"FROM:<{ALEX}> SIZE=999999999999")
        self.assertEqual(code, 552)
        self.assertIn(b"5.3.4", reply)

    def test_oversize_line(self):
        connection, stream = greeted(self.gateway)
        connection.sendall(b"NOOP " + b"x" * 5000 + b"\r\nNOOP\r\n")
        self.assertTrue(read_reply(stream).startswith(b"500 5.5.2"))
        self.assertTrue(read_reply(stream).startswith(b"250"))
        connection.close()

    def test_endless_line(self):
        connection, stream = greeted(self.gateway)
        try:
            for _ in range(300):
                connection.sendall(b"x" * 65536)
        except OSError:
            pass
        try:
            self.assertIn(read_reply(stream)[:3], (b"500", b"421", b""))
        except ConnectionResetError:
            pass
        connection.close()

    def test_thousand_recipients(self):
        self.twin.switch("recipients_per_message", 1000)
        with smtp(self.gateway, password=self.password) as session:
            code, reply = submit(session, to=[f"r{i}@fabrikam.example" for i in range(1000)])
            self.assertEqual(code, 250, reply)
            session.mail(ALEX)
            for i in range(1000):
                self.assertEqual(session.rcpt(f"r{i}@fabrikam.example")[0], 250)
            self.assertEqual(session.rcpt("more@fabrikam.example")[0], 452)
        wait_until("all arrive", lambda: any(m["recipients"].count("@") == 1000 for m in self.twin.mail()))
        self.twin.reset("mail")

    def test_malformed_base64(self):
        with smtp(self.gateway) as session:
            self.assertEqual(session.docmd("AUTH", "PLAIN !!!!")[0], 501)
            self.assertEqual(session.docmd("AUTH", "PLAIN AGVy cABw")[0], 501)
            self.assertEqual(session.docmd("AUTH", "LOGIN")[0], 334)
            self.assertEqual(session.docmd("=")[0], 501)

    def test_binary_garbage(self):
        connection, stream = greeted(self.gateway)
        try:
            for seed in range(40):
                connection.sendall(bytes((seed * 131 + i * 7919 + (i >> 3)) & 255 for i in range(4000)) + b"\r\n")
        except OSError:
            pass
        self.assertRegex(read_reply(stream)[:3], b"^[45]\\d\\d$")
        connection.close()

    def test_tls_on_the_wrong_port(self):
        connection = socket.create_connection(("127.0.0.1", self.gateway.ports["submission"]), timeout=60)
        with self.assertRaises((ssl.SSLError, OSError)):
            ssl.create_default_context(cafile=self.gateway.ca).wrap_socket(connection, server_hostname="localhost")
        connection.close()

    def test_half_closed_client(self):
        connection, stream = greeted(self.gateway)
        connection.sendall(b"NOOP\r\n")
        connection.shutdown(socket.SHUT_WR)
        self.assertTrue(read_reply(stream).startswith(b"250"))
        self.assertEqual(stream.read(), b"")
        connection.close()

    def test_client_that_leaves_in_the_middle(self):
        before = len(self.twin.mail())
        session = smtp(self.gateway, password=self.password)
        session.mail(ALEX)
        session.rcpt("someone@fabrikam.example")
        session.docmd("DATA")
        session.send("Subject: half\r\n\r\nhalf of a mess")
        session.close()
        self.assertEqual(len(self.twin.mail()), before)

    def test_silent_and_slow_clients_cost_nothing(self):
        idle = [dial(self.gateway)[0] for _ in range(50)]
        slow, _ = dial(self.gateway)
        for byte in b"EHLO slow":
            slow.sendall(bytes([byte]))
        with smtp(self.gateway, password=self.password) as session:
            self.assertEqual(submit(session)[0], 250)
        for connection in idle + [slow]:
            connection.close()

    def test_connection_flood(self):
        crowd = []
        refused = b""
        for _ in range(400):
            connection, stream = dial(self.gateway)
            crowd.append(connection)
            reply = read_reply(stream)
            if reply.startswith(b"421"):
                refused = reply
                break
        for connection in crowd:
            connection.close()
        self.assertTrue(refused.startswith(b"421 4.3.2"), refused)
        self.logged("gate.session_refused", "TOO_BUSY")
        wait_until("there is room again", lambda: read_reply(dial(self.gateway)[1]).startswith(b"220"))


class TokenEndpoint(Case):
    """The identity provider fails: mail is kept, the reason told, and it goes out when that has passed."""

    def fails_then_passes(self, fault, wanted, **more):
        self.twin.switch("access_token_seconds", 2)
        gateway, password = self.linked()
        time.sleep(2.1)  # now the next mail needs the endpoint
        self.twin.fault(fault, stage="token", times=1, **more)
        with smtp(gateway, password=password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 250, reply)
        self.assertRegex(reply, wanted)
        wait_until("the mail arrives", self.twin.mail)
        self.assertEqual(len(self.twin.mail()), 1)
        self.assertEqual(self.twin.ask("/twin/state")["faults"], [], "the fault was never met")

    def test_token_endpoint_down(self):
        self.fails_then_passes("down", "queued")

    def test_token_endpoint_slow(self):
        self.fails_then_passes("slow", "queued", ms=7000)

    def test_token_endpoint_429(self):
        self.fails_then_passes("too_many", "queued", ms=1000)

    def test_token_endpoint_5xx(self):
        self.fails_then_passes("unavailable", "queued")

    def test_token_endpoint_html(self):
        self.fails_then_passes("html", "queued")


class Machine(Case):
    """The machine fails, or somebody broke it."""

    def start_fails(self, gateway, *wanted):
        gateway.process.wait(60) if gateway.process.poll() is None else None
        log = gateway.log()
        self.assertNotEqual(gateway.process.returncode, 0)
        for text in wanted:
            self.assertIn(text, log)

    def restart_expecting_failure(self, gateway, *wanted):
        with self.assertRaises(AssertionError):
            gateway.start()
        self.start_fails(gateway, *wanted)

    def test_unreadable_key(self):
        gateway = self.postern()
        gateway.end()
        os.rename(os.path.join(gateway.data, "kek"), os.path.join(gateway.data, "gone"))
        self.restart_expecting_failure(gateway, "kek")

    def test_changed_key(self):
        gateway, _ = self.linked()
        gateway.end()
        path = os.path.join(gateway.data, "kek")
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text[:4].swapcase() + ("A" if text[4] != "A" else "B") + text[5:])
        self.restart_expecting_failure(gateway, "key")
        with open(path, "w") as file:
            file.write(text)
        gateway.start()
        self.assertEqual(gateway.command("mailbox", "show", ALEX)["address"], ALEX)

    def test_damaged_database(self):
        gateway, _ = self.linked()
        gateway.end()
        folder = os.path.join(gateway.data, "vault")
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                continue
            with open(path, "r+b") as file:
                size = os.path.getsize(path)
                for at in range(0, size, 512):
                    file.seek(at)
                    file.write(b"damage!!")
        self.restart_expecting_failure(gateway, "database")

    def test_two_daemons_on_one_spool(self):
        gateway = self.postern()
        second = subprocess.run([harness.PROGRAM, "serve", "--data", gateway.data], capture_output=True, text=True, timeout=60, env=harness.environment())
        self.assertNotEqual(second.returncode, 0)
        self.assertIn("another", second.stderr)
        self.assertTrue(gateway.command("status"))

    def test_damaged_spool(self):
        gateway, password = self.linked()
        self.twin.switch("smtp_auth", "off")
        with smtp(gateway, password=password) as session:
            for number in range(3):
                self.assertEqual(submit(session, text=letter(number=number))[0], 250)
        gateway.end()
        folder = os.path.join(gateway.data, "spool")
        segments = sorted(n for n in os.listdir(folder) if n.startswith("segment"))
        path = os.path.join(folder, segments[0])
        with open(path, "rb") as file:
            blob = bytearray(file.read())
        # The middle of what was written: some records are hit, others are whole.
        end = max(i for i in range(0, len(blob), 512) if any(blob[i:i + 512]))
        blob[end // 2 + 100:end // 2 + 108] = b"damage!!"
        with open(path, "wb") as file:
            file.write(blob)
        gateway.start()
        self.assertTrue(gateway.command("status"))
        self.twin.switch("smtp_auth", "on")
        with smtp(gateway, password=password) as session:
            self.assertEqual(submit(session, text=letter(number=9))[0], 250)
        wait_until("new mail passes", lambda: any("9." in str(m) for m in self.twin.mail()))

    @harness.needs_root
    def test_full_disk(self):
        gateway = self.postern(more="segment_bytes = 1048576\n")
        gateway.add_mailbox(self.twin)
        gateway.link_mailbox(self.twin)
        password = gateway.add_client()
        gateway.end()
        spool = os.path.join(gateway.data, "spool")
        shutil.rmtree(spool)
        os.mkdir(spool)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", spool], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", spool])
        gateway.start()
        self.twin.switch("smtp_auth", "off")
        acknowledged, refused = 0, None
        with smtp(gateway, password=password) as session:
            for number in range(60):
                code, reply = submit(session, text=letter(number=number, body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 3000))
                if code == 250:
                    acknowledged += 1
                else:
                    refused = (code, reply)
                    break
        self.assertIsNotNone(refused, "the disk never filled")
        self.assertEqual(refused[0], 452, refused)
        self.twin.switch("smtp_auth", "on")
        wait_until("all that was acknowledged arrives", lambda: len(self.twin.mail()) == acknowledged, 120)

    def test_failed_sync(self):
        gateway, password = self.linked()
        gateway.only_its_page = False       # what strace makes of a call that it spoils has no number
        post = gateway.roles()["post"]
        with subprocess.Popen(["strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1", "-p", str(post)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracer:
            wait_until("strace holds post", lambda: "TracerPid:\t0" not in status(post))
            with smtp(gateway, password=password) as session:
                code, reply = submit(session, text=letter(number=1))
            self.assertEqual(code, 451, reply)
            tracer.terminate()
        with smtp(gateway, password=password) as session:
            wait_until("it accepts again", lambda: submit(session, text=letter(number=2))[0] == 250)
        wait_until("the later mail arrives", lambda: any("<2." in str(m) for m in self.twin.mail()))
        gateway.end()
        gateway.start()
        time.sleep(1)
        self.assertFalse(any("<1." in str(m) for m in self.twin.mail()), "a message answered 451 went out")

    def test_wrong_certificate_upstream(self):
        gateway, password = self.linked()
        gateway.command("provider", "set", "m365", "--smtp-host", "127.0.0.2")
        with smtp(gateway, password=password) as session:
            code, reply = submit(session)
        self.assertEqual(code, 250)
        self.assertRegex(reply, "queued: ")
        self.assertEqual(self.twin.mail(), [])
        gateway.command("provider", "set", "m365", "--smtp-host", "localhost")
        wait_until("it goes out", self.twin.mail)

    def test_expired_certificate(self):
        gateway = self.postern()
        gateway.end()
        key, request, certificate = (os.path.join(gateway.data, n) for n in ("server.key", "server.csr", "server.pem"))
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", request],
                       check=True, capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", request, "-signkey", key, "-days", "-1", "-out", certificate], check=True, capture_output=True)
        done = subprocess.run([harness.PROGRAM, "check", "--data", gateway.data], capture_output=True, text=True, env=harness.environment())
        self.assertEqual(done.returncode, 1)
        gateway.start()
        wait_until("it is said", lambda: "keeper.certificate_ends" in gateway.log())


if __name__ == "__main__":
    unittest.main()
