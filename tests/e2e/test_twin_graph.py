"""The twin's Graph and tokens held honest by Microsoft's own libraries: MSAL for Node (code, device code, secret, certificate) and the Graph client."""
import base64
import contextlib
import email
import email.policy
import hashlib
import http.client
import json
import os
import socket
import struct
import subprocess
import urllib.parse

import harness
import peers
from harness import ALEX, ALEX_PASSWORD, APP_ID, APP_SECRET, PATIENCE, TENANT, Browser, Case, Process, environment, letter, sign_in, wait_until


class Graph(Process):
    """tests/peers/graph.js; its answers are lines of JSON."""

    def __init__(self, case, flow, work, **more):
        given = {"url": case.twin.secure_url, "tenant": TENANT, "client_id": APP_ID, "flow": flow, "work": work, "mailbox": "/me", "user": ALEX,
                 "verifier": base64.urlsafe_b64encode(os.urandom(40)).rstrip(b"=").decode(), **more}
        super().__init__(case.directory, flow, [peers.node(), os.path.join(peers.PEERS, "graph.js"), json.dumps(given)],
                         environment(NODE_EXTRA_CA_CERTS=case.twin.ca))

    def first(self):
        return json.loads(self.line("{"))

    def finish(self):
        """What it said after it signed in."""
        code = self.process.wait(4 * PATIENCE)
        said = [json.loads(line) for line in self.output().split("\n") if line]
        if code or not any(s.get("token") for s in said):
            raise AssertionError(f"ended with {code}: {said}\n{self.log()[-2000:]}")
        return said[[bool(s.get("token")) for s in said].index(True):]


class MicrosoftsOwnClients(Case):
    def open_page(self, graph):
        browser = Browser(ca=self.twin.ca).open(graph.first()["open"])
        sign_in(browser, self.twin, ALEX, ALEX_PASSWORD)
        return browser

    def arrived(self, subject):
        mail, = [m for m in self.twin.mail() if m["subject"] == subject]
        return mail, email.message_from_bytes(self.twin.raw(mail["number"]), policy=email.policy.default)

    def test_code(self):
        graph = Graph(self, "code", ["json", "upload"], subject="by code", secret=APP_SECRET, size=4 * 1024 * 1024 + 12345)
        self.addCleanup(graph.end)
        self.open_page(graph)
        signed, plain, uploaded = graph.finish()
        self.assertEqual((signed["account"], signed["expires"]), (ALEX, True))
        self.assertEqual(plain, {"work": "json"})
        self.assertTrue(uploaded["location"])
        first, second = self.twin.mail()
        self.assertEqual([(m["recipients"], m["saved"]) for m in (first, second)], [("someone@fabrikam.example", False), ("someone@fabrikam.example", True)])
        message = email.message_from_bytes(self.twin.raw(second["number"]), policy=email.policy.default)
        part, = message.iter_attachments()
        self.assertEqual(part.get_filename(), "large.bin")
        self.assertEqual(hashlib.sha256(part.get_content()).hexdigest(), uploaded["digest"])

    def test_device_code(self):
        graph = Graph(self, "device", ["json"], subject="by device")
        self.addCleanup(graph.end)
        asked = graph.first()
        browser = Browser(ca=self.twin.ca).open(asked["open"])
        browser.submit(0, user_code=asked["code"])
        sign_in(browser, self.twin, ALEX, ALEX_PASSWORD)
        self.assertEqual(graph.finish()[0]["account"], ALEX)
        self.assertEqual(self.arrived("by device")[0]["mailbox"], ALEX)

    def test_secret(self):
        path = os.path.join(self.directory, "mail.eml")
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(letter(subject="by secret", number=1))
        graph = Graph(self, "secret", ["mime", "sent"], secret=APP_SECRET, mailbox=f"/users/{ALEX}", mime=path, message_id=f"<1.{os.getpid()}@client.example>")
        self.addCleanup(graph.end)
        self.assertEqual(graph.finish()[1:], [{"work": "mime"}, {"work": "sent", "count": 1}])
        mail, _ = self.arrived("by secret")
        self.assertEqual(self.twin.raw(mail["number"]).decode(), letter(subject="by secret", number=1))

    def test_certificate(self):
        key, certificate = os.path.join(self.directory, "key.pem"), os.path.join(self.directory, "certificate.der")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-outform", "DER", "-out", certificate, "-subj", "/CN=app",
                        "-days", "30"], check=True, capture_output=True, timeout=PATIENCE)
        with open(certificate, "rb") as file:
            der = file.read()
        self.twin.ask("/twin/app", {"id": APP_ID, "certificate": base64.b64encode(der).decode()})
        for name, digest in (("thumbprintSha256", hashlib.sha256), ("thumbprint", hashlib.sha1)):
            with self.subTest(name):
                graph = Graph(self, "certificate", ["json"], subject="by " + name, key=key, thumbprint_name=name, thumbprint=digest(der).hexdigest(),
                              mailbox=f"/users/{ALEX}")
                self.addCleanup(graph.end)
                graph.finish()
                self.assertEqual(self.arrived("by " + name)[0]["mailbox"], ALEX)

    def test_refusals_are_understood(self):
        self.twin.fault("graph_concurrency", ms=1000)
        self.twin.fault("graph_send_as_denied", times=1)
        graph = Graph(self, "secret", ["json"], secret=APP_SECRET, subject="refused", mailbox=f"/users/{ALEX}")
        self.addCleanup(graph.end)
        self.assertEqual(graph.process.wait(PATIENCE), 1)
        error = json.loads(graph.output().strip().split("\n")[-1])
        # The library waits as Retry-After says and asks again; what then comes it gives to its caller.
        self.assertEqual((error["error"], error["status"]), ("ErrorSendAsDenied", 403))
        self.assertEqual(self.twin.ask("/twin/state")["faults"], [])
        self.assertEqual(self.twin.mail(), [])


class ByHand(Case):
    """What the libraries smooth over: refusals by name, answers that are lost, requests at once."""

    def setUp(self):
        super().setUp()
        form = {"grant_type": "client_credentials", "client_id": APP_ID, "client_secret": APP_SECRET, "scope": "https://graph.microsoft.com/.default"}
        browser = Browser().fetch(f"{self.twin.url}/{TENANT}/oauth2/v2.0/token", urllib.parse.urlencode(form).encode(),
                                  {"Content-Type": "application/x-www-form-urlencoded"})
        self.headers = {"Authorization": "Bearer " + json.loads(browser.text)["access_token"]}

    def begin(self, method, path, body=b"", **headers):
        """A connection with a request on it."""
        connection = http.client.HTTPConnection("localhost", urllib.parse.urlsplit(self.twin.url).port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request(method, path, body, {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}})
        return connection

    def ask(self, *words, **headers):
        with contextlib.closing(self.begin(*words, **headers)) as connection:
            answer = connection.getresponse()
            text = answer.read()
            return answer, json.loads(text) if text.startswith(b"{") else {}

    def send(self, begin=None, number=1):
        body = base64.b64encode(letter(number=number).encode())
        return (begin or self.ask)("POST", f"/v1.0/users/{ALEX}/sendMail", body, Content_Type="text/plain")

    def sent(self, number=1):
        query = urllib.parse.urlencode({"$filter": f"internetMessageId eq '<{number}.{os.getpid()}@client.example>'"})
        return self.ask("GET", f"/v1.0/users/{ALEX}/mailFolders/sentitems/messages?{query}")[1]["value"]

    def test_every_refusal_by_its_name(self):
        names = [f["name"] for f in self.twin.ask("/twin/faults")["items"] if f["name"].startswith("graph_")]
        self.assertGreater(len(names), 30)
        for name in names:
            self.twin.fault(name, stage="graph_send", ms=7000)
            answer, error = self.send()
            self.assertGreaterEqual(answer.status, 400, name)
            self.assertTrue(error["error"]["code"] and error["error"]["message"] and error["error"]["innerError"]["request-id"], error)
            self.assertEqual(answer.headers["Retry-After"], "7" if answer.status in (429, 503, 504) else None, name)
        self.assertEqual(self.twin.mail(), [])
        self.assertEqual(self.send()[0].status, 202)

    def test_an_answer_that_is_lost_and_one_that_means_nothing(self):
        self.twin.fault("cut_after_dot", stage="graph_send")
        with self.assertRaises(http.client.RemoteDisconnected):
            self.send(number=1)
        self.assertEqual(len(self.sent(1)), 1)
        self.twin.fault("cut", stage="graph_send")
        with self.assertRaises(http.client.RemoteDisconnected):
            self.send(number=2)
        self.twin.fault("html", stage="graph_send")
        self.assertEqual(self.send(number=2)[0].status, 200)
        self.assertEqual(self.sent(2), [])

    def test_an_upload_cut_in_the_middle_goes_on(self):
        _, draft = self.ask("POST", f"/v1.0/users/{ALEX}/messages", b'{"toRecipients":[{"emailAddress":{"address":"a@b.example"}}]}', Content_Type="application/json")
        item = {"AttachmentItem": {"attachmentType": "file", "name": "f", "size": 2097152}}
        _, session = self.ask("POST", f"/v1.0/users/{ALEX}/messages/{draft['id']}/attachments/createUploadSession", json.dumps(item).encode())
        url = session["uploadUrl"].removeprefix(self.twin.url)
        half = b"\0" * 1048576
        self.twin.fault("cut_after_dot", stage="graph_upload")
        with self.assertRaises(http.client.RemoteDisconnected):
            self.ask("PUT", url, half, Content_Range="bytes 0-1048575/2097152")
        self.assertEqual(self.ask("GET", url)[1]["nextExpectedRanges"], ["1048576"])
        self.assertEqual(self.ask("PUT", url, half, Content_Range="bytes 1048576-2097151/2097152")[0].status, 201)

    def test_at_most_four_at_once(self):
        self.twin.fault("hang", stage="graph_send", times=4)
        waiting = [self.send(self.begin) for _ in range(4)]
        wait_until("four wait", lambda: not self.twin.ask("/twin/state")["faults"])
        answer, error = self.send()
        self.assertEqual((answer.status, error["error"]["code"]), (429, "ApplicationThrottled"))
        for connection in waiting:
            # Broken off, not only closed: who closed may still listen.
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        wait_until("there is room again", lambda: self.send()[0].status == 202)


if __name__ == "__main__":
    harness.unittest.main()
