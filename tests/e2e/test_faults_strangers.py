"""R17: those who only open connections, send a byte now and then, vanish or never read: whoever signed in, or is about to, does not notice. R18: whatever
is too large is refused at its exact limit, and what is below passes unchanged. In a network of its own. PROVE=1 opens as many as the system allows."""
import contextlib
import resource
import smtplib
import socket
import ssl
import struct
import subprocess
import threading
import unittest

import chaos
from chaos import PROVE
from harness import ALEX, letter, smtp, submit, wait_until

MAX_STRANGERS, MAX_SESSIONS, PER_ADDRESS = (3000, 3600, 500) if PROVE else (300, 360, 100)
CROWD = 2 * MAX_STRANGERS
SIZE_LIMIT, HEADER_LIMIT = 2 << 20, 65536


def setUpModule():
    chaos.own_network()


class Gateway(chaos.Chaos):
    more = (f"retry_longest = 1\nprobe_longest = 1\nupstream_idle_ms = 200\nmax_strangers = {MAX_STRANGERS}\nmax_sessions = {MAX_SESSIONS}\n"
            f"max_sessions_per_address = {PER_ADDRESS}\nheader_bytes_max = {HEADER_LIMIT}\n")

    @classmethod
    def make_gateway(cls):
        gateway = super().make_gateway()
        gateway.end()
        path = f"{gateway.data}/postern.conf"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("listener submission {", f"listener submission {{\n\tsize_limit = {SIZE_LIMIT}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        gateway.start()
        return gateway

    @property
    def port(self):
        return self.gateway.ports["submission"]

    def sessions(self):
        return self.gateway.command("status")["gates"][0]["sessions"]

    def works(self):
        code, reply = self.send()
        self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        self.gone_once()


class R17(Gateway):
    def setUp(self):
        super().setUp()
        self.crowd = []
        self.addCleanup(self.disperse)

    def disperse(self):
        for each in self.crowd:
            each.close()
        self.crowd.clear()

    def stranger(self, number, listener="submission"):
        """A connection from one of many addresses; not waited for."""
        each = socket.socket()
        each.setblocking(False)
        each.bind((f"127.0.{1 + number // PER_ADDRESS}.1", 0))
        with contextlib.suppress(BlockingIOError):
            each.connect(("127.0.0.1", self.gateway.ports[listener]))
        self.crowd.append(each)
        return each

    def signed_in(self):
        return smtp(self.gateway, password=self.password)

    def sends(self, session):
        code, reply = submit(session, text=self.next_letter())
        self.assertEqual((code, "accepted by" in reply), (250, True), reply)

    def newcomer_signs_in(self):
        """At the first try or, where all strangers are still young, at a later one."""
        def tries():
            with contextlib.suppress(OSError, ssl.SSLError, smtplib.SMTPException):
                with self.signed_in() as session:
                    self.sends(session)
                    return True
            return False
        wait_until("a newcomer signs in", tries)

    def test_r17_idle_strangers_leave_those_who_signed_in_alone(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        regulars = [self.signed_in() for _ in range(5)]
        for number in range(CROWD):
            self.stranger(number)
            if number % (CROWD // 5) == 0:
                self.sends(regulars[number // (CROWD // 5) % 5])
        self.newcomer_signs_in()
        self.assertLessEqual(self.sessions(), MAX_STRANGERS + 5 + 1)
        for session in regulars:
            self.sends(session)
            session.close()
        self.disperse()
        wait_until("they are gone", lambda: self.sessions() == 0)

    def test_r17_one_byte_now_and_then(self):
        """A line that never ends; in the clear and inside TLS."""
        regular = self.signed_in()
        slow = [self.stranger(number) for number in range(MAX_STRANGERS)]
        for byte in b"EHLO slow" if PROVE else b"EHL":
            for each in slow:
                with contextlib.suppress(OSError):
                    each.send(bytes([byte]))
            self.sends(regular)
        self.newcomer_signs_in()
        self.sends(regular)
        regular.close()

    def test_r17_half_a_handshake(self):
        """TLS that is begun and not ended, on the port where it comes first."""
        regular = self.signed_in()
        hello = ssl.MemoryBIO(), ssl.MemoryBIO()
        shake = ssl.create_default_context().wrap_bio(*hello, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            shake.do_handshake()
        first = hello[1].read()
        for number in range(MAX_STRANGERS):
            each = self.stranger(number, "submissions")
            with contextlib.suppress(OSError):
                each.send(first if number % 2 else first[:20])
        self.newcomer_signs_in()
        self.sends(regular)
        regular.close()

    def test_r17_resets(self):
        for number in range(20 * MAX_STRANGERS if PROVE else 1000):
            each = self.stranger(number % 1000)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 3:
                each.close()
            if number % 97 == 0:
                self.disperse()
        self.disperse()
        self.works()
        wait_until("they are gone", lambda: self.sessions() == 0)

    def test_r17_zero_window(self):
        """Commands without end whose replies are not read: at some point no more are taken."""
        for secure in (False, True):
            with self.subTest(secure=secure):
                deaf = socket.socket()
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect(("127.0.0.1", self.port))
                if secure:
                    reader = deaf.makefile("rb")
                    reader.readline()
                    deaf.sendall(b"HELO client.example\r\nSTARTTLS\r\n")
                    reader.readline()
                    reader.readline()
                    deaf = ssl.create_default_context(cafile=self.gateway.ca).wrap_socket(deaf, server_hostname="localhost")
                deaf.settimeout(1)
                sent, most = 0, 64 << 20
                with contextlib.suppress(OSError):
                    while sent < most:
                        sent += deaf.send(b"NOOP\r\n" * 2000)
                self.assertLess(sent, most)
                self.works()
                deaf.close()

    def drop(self, rule):
        subprocess.run(["nft", "-f", "-"], check=True, text=True,
                       input=f"add table inet hole\nadd chain inet hole in {{ type filter hook input priority 0; }}\nadd rule inet hole in {rule} drop\n")
        self.addCleanup(subprocess.run, ["nft", "delete", "table", "inet", "hole"], stderr=subprocess.DEVNULL)

    def test_r17_clients_that_vanish(self):
        """Whole machines are switched off: no FIN, no RST, no ACK."""
        for number in range(MAX_STRANGERS):
            self.stranger(number)
        wait_until("they are there", lambda: self.sessions() >= MAX_STRANGERS - 5)
        self.drop("ip saddr 127.0.1.0-127.0.99.255")
        self.newcomer_signs_in()

    def test_r17_half_open(self):
        """A flood of SYNs whose handshake never ends: the listener's backlog is not for them alone."""
        self.drop(f"tcp sport {self.port} ip daddr 127.0.1.0-127.0.99.255")
        room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 2000  # descriptors that this test may hold
        for number in range(min(10 * MAX_STRANGERS, room) if PROVE else min(1500, room)):
            self.stranger(number % 2000)
        self.works()


class R18(Gateway):
    def accepted_as_is(self, body, session=None):
        text = self.next_letter(body=body)
        code, reply = self.send(text)
        self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        raw = next(each["raw"] for each in self.provider.taken if self.mark.encode() in each["raw"])
        self.assertTrue(raw.endswith(b"\r\n\r\n" + body.encode()), "the body was altered")

    def refused(self, text, code_wanted, enhanced):
        with smtp(self.gateway, password=self.password) as session:
            code, reply = submit(session, text=text)
            self.assertEqual((code, reply[:len(enhanced)]), (code_wanted, enhanced), reply)
            self.assertEqual(submit(session, text=self.next_letter())[0], 250, "the session goes on")
        self.gone_once()

    def test_r18_lines_of_a_message(self):
        """RFC 5321 4.5.3.1.6 has 998 and CR LF; what devices send beyond it is carried as it is."""
        for size in (996, 997, 998, 999, 1000, 65535, 65536, 1 << 20):
            with self.subTest(size):
                self.accepted_as_is("x" * size + "\r\n." + "y" * (size - 1) + "\r\n" if size < 1 << 20 else "x" * size + "\r\n")

    def test_r18_command_lines(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        reader = connection.makefile("rb")
        reader.readline()
        for size, wanted in ((2045, b"250"), (2046, b"250"), (2047, b"500"), (2048, b"500"), (60000, b"500")):
            connection.sendall(b"NOOP " + b"x" * (size - 5) + b"\r\n")
            self.assertEqual((size, reader.readline()[:3]), (size, wanted))
        connection.close()

    def test_r18_a_line_without_end(self):
        """Closed after a bounded number of bytes, outside a message; inside one, the size limit holds."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 1 << 30:
                sent += connection.send(b"x" * 65536)
        self.assertLess(sent, 64 << 20)
        connection.close()
        self.refused(letter(body="x" * (SIZE_LIMIT + 1) + "\r\n"), 552, "5.3.4")

    def test_r18_ten_thousand_recipients(self):
        """In one go, without waiting for replies: a thousand are taken, the others are told to come again, and the message goes to the thousand."""
        with smtp(self.gateway, password=self.password) as session:
            session.mail(ALEX)
            lines = "".join(f"RCPT TO:<r{number}@fabrikam.example>\r\n" for number in range(10000)).encode()
            sender = threading.Thread(target=session.sock.sendall, args=(lines,))
            sender.start()
            codes = [session.getreply()[0] for _ in range(10000)]
            sender.join()
            self.assertEqual(codes, [250] * 1000 + [452] * 9000)
            code, reply = session.data(self.next_letter().encode())
            self.assertEqual((code, "accepted by" in reply.decode()), (250, True), reply)
        each = next(each for each in self.provider.taken if self.mark.encode() in each["raw"])
        self.assertEqual(each["recipients"], [f"r{number}@fabrikam.example" for number in range(1000)])

    def with_header(self, size):
        """A letter whose header block, with the empty line behind it, has that many bytes."""
        text = self.next_letter(body="body\r\n")
        head, _, body = text.partition("\r\n\r\n")
        left, lines = size - len(head) - 4, []
        while left > 0:
            line = f"X-Fill: {'z' * (min(left, 900) - 10)}\r\n" if left >= 1820 or left <= 900 else f"X-Fill: {'z' * 400}\r\n"
            lines.append(line)
            left -= len(line)
        text = head + "\r\n" + "".join(lines) + "\r\n" + body
        self.assertEqual(text.index("\r\n\r\n") + 4, size)
        return text

    def test_r18_header_block(self):
        for size in (HEADER_LIMIT - 1, HEADER_LIMIT):
            with self.subTest(size):
                code, reply = self.send(self.with_header(size))
                self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        for size in (HEADER_LIMIT + 1, 1 << 20):
            with self.subTest(size):
                self.refused(self.with_header(size), 552, "5.3.4")
        self.refused("X: y\r\n" * (1 << 18), 552, "5.3.4")

    def test_r18_size_told_and_true(self):
        with smtp(self.gateway, password=self.password) as session:
            for size, code in ((SIZE_LIMIT, 250), (SIZE_LIMIT + 1, 552), (10 ** 19, 552), (10 ** 30, 501)):
                told = session.docmd("MAIL", f"FROM:<{ALEX}> SIZE={size}")
                self.assertIn(told[0], (code, 552) if size > 10 ** 19 else (code,), told)
                session.rset()
            # A lie: it tells a hundred bytes and sends more than is allowed; and one that is allowed all the same.
            for size, wanted in ((SIZE_LIMIT + 10, 552), (1 << 20, 250)):
                session.docmd("MAIL", f"FROM:<{ALEX}> SIZE=100")
                session.rcpt("someone@fabrikam.example")
                code, reply = session.data((self.next_letter() + "x" * size + "\r\n").encode())
                self.assertEqual(code, wanted, reply)

    def test_r18_size_limit_to_the_byte(self):
        text = self.next_letter()
        fill = SIZE_LIMIT - len(text) - 2
        code, reply = self.send(text + "x" * fill + "\r\n")
        self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        self.refused(self.next_letter() + "x" * (fill + 20) + "\r\n", 552, "5.3.4")

    def test_r18_mime_a_hundred_levels_deep(self):
        head = "".join(f'--b{level}\r\nContent-Type: multipart/mixed; boundary="b{level + 1}"\r\n\r\n' for level in range(100))
        self.accepted_as_is(head + "--b100\r\n\r\ntext\r\n" + "".join(f"--b{level}--\r\n" for level in range(100, -1, -1)))

    def test_r18_a_million_parameters(self):
        """RFC 2231 continuations: in the header they meet its limit; in a part they are passed on unread."""
        parameters = ";".join(f"\r\n f*{number}=x" for number in range(10 ** 6))
        self.refused(self.next_letter().replace("\r\n\r\n", f"\r\nContent-Type: text/plain;{parameters}\r\n\r\n", 1), 552, "5.3.4")
        self.accepted_as_is("--b\r\nContent-Disposition: attachment;" + parameters[:1 << 20] + "\r\n\r\ntext\r\n--b--\r\n")

    def test_r18_an_address_list_that_is_all_commas(self):
        fields = f"To: {',' * 30000}\r\nCc: {'(' * 10000}\r\nReply-To: {'<' * 10000}"
        code, reply = self.send(self.next_letter().replace("\r\nSubject:", f"\r\n{fields}\r\nSubject:", 1))
        self.assertIn(code, (250, 550, 554), reply)
        self.works()



if __name__ == "__main__":
    unittest.main()
