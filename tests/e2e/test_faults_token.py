"""R14: everything that a token endpoint can do wrong, end to end: mail is kept and says why, goes out once when the endpoint is well again, and what the
endpoint sends is read within bounds. The journal's side, a token rotated and the answer lost at any moment, is tests/replay's."""
import base64
import contextlib
import email.utils
import http.client
import http.server
import json
import threading
import time
import unittest
import urllib.parse

import chaos
from chaos import PROVE
from harness import ALEX, MARIA, TENANT, smtp, submit, wait_until

LONG = 49 * 3600  # longer than any access token is taken to live


class Endpoint(http.server.ThreadingHTTPServer):
    """In front of the twin's sign-in pages: passes everything on, but for what `answer` makes of the answers to refreshes. Called with the handler and
    the twin's status, headers and body; None passes them on."""

    daemon_threads = True

    def __init__(self, twin):
        super().__init__(("127.0.0.1", 0), Asked)
        self.twin, self.answer = twin, None
        self.url = f"http://localhost:{self.server_address[1]}"
        self.lock = threading.Lock()
        self.asked, self.at_once, self.most_at_once, self.sent = 0, 0, 0, 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        """The gateway may leave at any time."""


class Asked(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Says nothing."""

    def pass_on(self, body):
        twin = urllib.parse.urlsplit(self.server.twin.url)
        connection = http.client.HTTPConnection(twin.hostname, twin.port, timeout=60)
        kept = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        connection.request(self.command, self.path, body, {**kept, "Host": twin.netloc})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if self.path.endswith("openid-configuration"):
            document = json.loads(data)
            document["token_endpoint"] = document["token_endpoint"].replace(self.server.twin.url, self.server.url)
            data = json.dumps(document).encode()
        return answer.status, [(k, v) for k, v in answer.getheaders() if k.lower() not in ("content-length", "connection")], data

    def do_GET(self):
        self.reply(*self.pass_on(None))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        refreshes = self.path.endswith("/token") and b"grant_type=refresh_token" in body
        if not refreshes or not self.server.answer:
            self.reply(*self.pass_on(body))
            return
        with self.server.lock:
            self.server.asked += 1
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            status, headers, data = self.pass_on(body)
            changed = self.server.answer(self, status, headers, data)
            if changed:
                self.reply(*changed)
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def reply(self, status, headers, data):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def flood(self, head, piece):
        """Without end; counts what the other side let us send."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.write(head)
            while self.server.sent < 1 << 30:
                self.wfile.write(piece)
                self.server.sent += len(piece)


def status(number, text=b"<html>sorry</html>", **headers):
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return lambda asked, *_: (number, [("Content-Type", "text/html"), *fields], text)


def body(text):
    return lambda asked, *_: (200, [("Content-Type", "application/json")], text if isinstance(text, bytes) else text.encode())


def changed(**fields):
    """The true answer with some fields otherwise; ... leaves one out."""
    def do(_, number, headers, data):
        document = {**json.loads(data), **fields}
        return number, headers, json.dumps({k: v for k, v in document.items() if v is not ...}).encode()
    return do


class R14(chaos.Chaos):
    with_clock = True
    more = "retry_longest = 1\nprobe_longest = 1\nverdict_wait_ms = 1500\nupstream_idle_ms = 0\n"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.endpoint = Endpoint(cls.twin)
        cls.addClassCleanup(cls.endpoint.shutdown)
        cls.gateway.command("provider", "set", "m365", "--issuer", f"{cls.endpoint.url}/{TENANT}/v2.0")

    def setUp(self):
        super().setUp()
        self.endpoint.answer = None
        self.endpoint.asked = self.endpoint.most_at_once = self.endpoint.sent = 0
        # Now every access token has ended.
        self.clock.set(self.clock.ahead + LONG)

    def heal(self):
        self.endpoint.answer = None
        super().heal()

    def put_off(self, answer, wanted="."):
        self.clock.set(self.clock.ahead + LONG)
        self.endpoint.asked, self.endpoint.answer = 0, answer
        code, reply = self.send()
        self.assertEqual(code, 250, reply)
        self.assertRegex(reply, r"^2\.0\.0 \w+ queued: ")
        self.assertRegex(reply, wanted)
        self.assertGreaterEqual(self.endpoint.asked, 1)
        self.assertEqual(self.provider.copies(self.mark), 0)
        self.gone_once()

    def passes(self, answer):
        self.clock.set(self.clock.ahead + LONG)
        self.endpoint.asked, self.endpoint.answer = 0, answer
        code, reply = self.send()
        self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        self.assertEqual(self.endpoint.asked, 1)
        self.gone_once()

    def test_r14_5xx(self):
        for number in (500, 502, 503, 504, 599) if PROVE else (500, 503):
            with self.subTest(number):
                self.put_off(status(number), f"{number}|busy|unavailable")

    def test_r14_429_retry_after_in_each_form(self):
        date = email.utils.formatdate(time.time() + self.clock.ahead + LONG + 1, usegmt=True)
        for value in ("1", date, "99999999999999999999", "soon", "-5", "")[:None if PROVE else 3]:
            with self.subTest(value):
                self.put_off(status(429, Retry_After=value))

    def test_r14_429_is_obeyed(self):
        """Left alone for as long as was asked: not one request more, and mail of another mailbox waits too."""
        self.endpoint.answer = status(429, Retry_After="600")
        for _ in range(3):
            code, reply = self.send()
            self.assertEqual((code, "queued: " in reply), (250, True), reply)
        self.assertEqual(self.endpoint.asked, 1)

    def test_r14_hangs_at_each_byte(self):
        """Says so much of the answer, then nothing. The application is told in time."""
        for at in range(0, 1600, 16) if PROVE else (0, 300):
            with self.subTest(at):
                over = threading.Event()

                def hang(asked, number, headers, data, at=at, over=over):
                    asked.close_connection = True
                    text = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
                    asked.wfile.write(text[:at])
                    over.wait(60)
                self.put_off(hang)
                over.set()

    if PROVE:
        def test_r14_hang_ends_by_itself(self):
            """Without anybody's help: the request has a deadline, and the next one is made later."""
            over = threading.Event()
            self.endpoint.answer = lambda *_: over.wait(60) and None
            code, reply = self.send()
            self.assertEqual((code, "queued: " in reply), (250, True), reply)
            wait_until("a second request", lambda: self.endpoint.asked >= 2, 120)
            self.assertEqual(self.endpoint.at_once - (self.endpoint.asked - 1), 1, "two requests of one mailbox were made at once")
            self.endpoint.answer = None
            over.set()
            self.gone_once()

    def test_r14_body_of_10_gb(self):
        most = 32 << 20  # what the kernels hold, and one answer's ceiling
        declared = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10737418240\r\n\r\n{\"access_token\":\""
        for name, head, piece in (
                ("declared", declared, b"x" * 65536),
                ("until the end", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b" " * 65536),
                ("in chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
                ("in its header", b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"y" * 8000 + b"\r\n"),
                ("in a line of its header", b"HTTP/1.1 200 OK\r\nX-More: ", b"y" * 65536)):
            with self.subTest(name):
                self.endpoint.sent = 0
                self.put_off(lambda asked, *_, head=head, piece=piece: asked.flood(head, piece))
                self.assertLess(self.endpoint.sent, most)

    def test_r14_not_what_was_asked_for(self):
        bodies = {"nothing": "", "no JSON": "<html>Please log in to the hotel's network</html>", "half": '{"access_token":"abc', "a list": "[1,2,3]", "null": "null",
                  "no token": '{"token_type":"Bearer"}', "a number": '{"token_type":"Bearer","access_token":5,"expires_in":3600}',
                  "line break": json.dumps({"token_type": "Bearer", "access_token": "a\r\nQUIT", "expires_in": 3600}),
                  "NUL": '{"token_type":"Bearer","access_token":"a\\u0000b","expires_in":3600}', "deep": "[" * 100000,
                  "not UTF-8": b'{"token_type":"Bearer","access_token":"\xff\xfe","expires_in":3600}'}
        for name, text in bodies.items() if PROVE else list(bodies.items())[::3]:
            with self.subTest(name):
                self.put_off(body(text))

    def test_r14_redirect_is_not_followed(self):
        for number in (302, 307):
            with self.subTest(number):
                self.put_off(status(number, Location=f"{self.endpoint.url}/elsewhere"))

    def test_r14_odd_lifetimes(self):
        for value in (0, -1, 10 ** 12, 1e12, "3600", "soon", None, [], ...):
            with self.subTest(value):
                self.passes(changed(expires_in=value))

    def test_r14_refresh_token_absent_or_empty(self):
        """The one we have goes on; it serves the next time too."""
        for value in (..., "", None):
            with self.subTest(value):
                self.passes(changed(refresh_token=value))
                self.passes(changed())

    def test_r14_answer_lost_after_the_provider_committed(self):
        def lost(asked, *_):
            asked.close_connection = True
        self.put_off(lost)
        self.passes(changed())

    def test_r14_many_at_once_ask_once(self):
        """Single flight: ten messages that come together make one request."""
        def slowly(asked, *answer):
            time.sleep(0.5)
            return answer
        self.endpoint.answer = slowly
        texts = [(self.mark, text) for text in (self.next_letter() for _ in range(10))]
        marks = [f"<{number}." for number in range(self.letters - 9, self.letters + 1)]
        threads = [threading.Thread(target=self.send, args=(text,)) for _, text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until("all arrive", lambda: all(self.provider.copies(mark) == 1 for mark in marks))
        self.assertEqual(self.endpoint.asked, 1)

    def test_r14_invalid_grant_holds_and_a_link_releases(self):
        """Of one mailbox: its mail is held, not returned, and asked for no more; the other's passes. A new link releases it at once."""
        now = self.clock.ahead
        self.clock.set(0)  # a sign-in is between two clocks, and the twin's is true
        self.link_maria()
        self.clock.set(now)
        password = self.gateway.add_client("till", (MARIA,))
        refused = json.dumps({"error": "invalid_grant", "error_description": "AADSTS50173: The provided grant has expired due to it being revoked"}).encode()
        def alex_only(_, number, headers, data):
            claims = json.loads(data).get("id_token", "..").split(".")[1]
            is_alex = ALEX.encode() in base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
            return (400, headers, refused) if is_alex else (number, headers, data)
        self.endpoint.answer = alex_only
        code, reply = self.send()
        mark = self.mark
        self.assertEqual((code, "held: " in reply), (250, True), reply)
        with smtp(self.gateway, user="till", password=password) as session:
            code, reply = submit(session, sender=MARIA)
        self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        self.assertEqual(self.provider.copies(mark), 0)
        self.assertEqual([item["state"] for item in self.queue()], ["held"])
        self.endpoint.answer = None
        self.clock.set(0)
        self.twin.switch("mfa", "disabled", ALEX)  # a code is good once, and this one may be the same as at the set-up
        self.gateway.link_mailbox(self.twin)
        wait_until("it arrives", lambda: self.provider.copies(mark) == 1)
        wait_until("the queue is empty", lambda: self.queue() == [])
        self.gateway.command("client", "remove", "till")


if __name__ == "__main__":
    unittest.main()
