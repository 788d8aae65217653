"""The twin's Graph and tokens held honest by Microsoft's own libraries: MSAL for Node (code, device code, secret, certificate) and the Graph client."""
import base64
import email
import email.policy
import hashlib
import json
import os
import subprocess

import harness
import peers
from harness import ALEX, ALEX_PASSWORD, APP_ID, APP_SECRET, PATIENCE, TENANT, Browser, Case, Process, environment, letter, sign_in


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


if __name__ == "__main__":
    harness.unittest.main()
