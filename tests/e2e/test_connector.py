"""Row S3: mail leaves through a connector, which knows this server by its address or its certificate. Against the twin's MX host and against Postfix."""
import os
import shutil
import tempfile
import unittest

import peers
from harness import ALEX, Case, Failed, Postern, Twin, letter, smtp, submit, wait_until

WHOLE = letter(number=1).replace("\r\n\r\n", "\r\nDate: Mon, 1 Jun 2015 12:00:00 +0000\r\nMIME-Version: 1.0\r\n\r\n", 1) + "..\r\n.x\r\nlast line\r\n"
GATEWAY = "gateway.contoso.example"


def add_connector(gateway, port, *more, stdin=""):
    gateway.command("org", "add", "contoso")
    gateway.command("provider", "add", "relay", "--org", "contoso", "--kind", "connector", "--tenant", "contoso.example", "--smtp-host", "localhost",
                    "--smtp-port", str(port), *more, stdin=stdin)
    gateway.command("mailbox", "add", ALEX, "--org", "contoso", "--provider", "relay")
    return gateway.add_client()


def send(gateway, password, text=WHOLE):
    with smtp(gateway, password=password) as session:
        return submit(session, text=text)


def identity(directory, name=GATEWAY):
    """A certificate with its key, as one file, from an authority of its own."""
    authority = peers.Authority(directory, names=(name,), usage="clientAuth,serverAuth")
    path = os.path.join(directory, "gateway.pem")
    with open(path, "w", encoding="utf-8") as file:
        for part in (authority.key, authority.certificate):
            with open(part, encoding="utf-8") as one:
                file.write(one.read())
    return authority, path


class ByAddress(Case):
    def test_byte_for_byte(self):
        gateway = self.postern()
        password = add_connector(gateway, self.twin.mx_port)
        item, = gateway.command("mailbox", "test", ALEX)["items"]
        self.assertEqual((item["way"], item["works"]), ("connector", True))
        self.assertEqual(self.twin.mail(), [])
        code, reply = send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertRegex(reply, r"accepted by localhost: 250 2\.6\.0 .* Queued mail for delivery")
        mail, = self.twin.mail()
        self.assertEqual((mail["connector"], mail["peer"], mail["mailbox"], mail["sender"]), ("Postern", "127.0.0.1", "", ALEX))
        self.assertTrue(self.twin.raw(mail["number"]).endswith(WHOLE.encode()))

    def test_the_command_to_type_in_both_languages(self):
        gateway = self.postern()
        add_connector(gateway, self.twin.mx_port)
        self.assertIn("THE-PUBLIC-IPV4-ADDRESS", gateway.command("provider", "show", "relay")["command"])
        gateway.command("mailbox", "test", ALEX)
        wait_until("the address is known", lambda: gateway.command("provider", "show", "relay")["seen_address"] == "127.0.0.1")
        shown = gateway.command("provider", "show", "relay", env={"LC_ALL": "fr_FR.UTF-8"})
        self.assertEqual(shown["command"], "New-InboundConnector -Name 'Postern relay' -ConnectorType OnPremises -SenderDomains '*' -RequireTls $true "
                                           "-SenderIPAddresses 127.0.0.1")
        self.assertIn("forfait", shown["plan"])
        self.assertIn("\n" + shown["command"] + "\n", gateway.command("provider", "show", "relay", json_answer=False))

    def test_held_until_the_tenant_knows_it(self):
        self.twin.switch("connectors", "off")
        gateway = self.postern()
        password = add_connector(gateway, self.twin.mx_port)
        with self.assertRaisesRegex(Failed, "550 5.7.64 TenantAttribution"):
            gateway.command("mailbox", "test", ALEX)
        code, reply = send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertIn("held: 550 5.7.64 TenantAttribution; Relay Access Denied SMTP", reply)
        self.assertIn("Mail flow > Connectors", reply)
        self.twin.switch("connectors", "on")
        wait_until("released by itself", lambda: len(self.twin.mail()) == 1)

    def test_another_address_is_noticed(self):
        gateway = self.postern()
        password = add_connector(gateway, self.twin.mx_port)
        send(gateway, password)
        wait_until("the address is known", lambda: gateway.command("provider", "show", "relay")["registered_address"] == "127.0.0.1")
        self.assertEqual(gateway.command("status")["vault"]["attention"], [])
        self.twin.ask("/twin/connector", {"name": "Postern", "addresses": "127.0.0.1 127.0.0.9"})
        gateway.command("provider", "set", "relay", "--source", "127.0.0.9")
        code, reply = send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertEqual(self.twin.mail()[-1]["peer"], "127.0.0.9")
        wait_until("it needs attention", lambda: gateway.command("status")["vault"]["attention"])
        item, = gateway.command("status")["vault"]["attention"]
        self.assertEqual((item["provider"], item["registered_address"], item["seen_address"]), ("relay", "127.0.0.1", "127.0.0.9"))
        self.assertIn("connector.address_changed", gateway.log())
        self.assertIn("-SenderIPAddresses 127.0.0.1,127.0.0.9", gateway.command("provider", "show", "relay")["command"])
        gateway.command("provider", "set", "relay", "--registered-address", "127.0.0.9")
        self.assertEqual(gateway.command("status")["vault"]["attention"], [])

    def test_without_tls_nothing_goes(self):
        gateway = self.postern()
        password = add_connector(gateway, self.twin.mx_port)
        self.twin.fault("reply", stage="ehlo", text="250-mx.example Hello\n250 SIZE 1000000", times="always")
        code, reply = send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertIn("does not offer STARTTLS", reply)
        self.assertEqual(self.twin.mail(), [])

    def test_what_makes_no_connector(self):
        gateway = self.postern()
        gateway.command("org", "add", "contoso")
        for words, why in ((["--kind", "connector"], "tenant"),
                           (["--kind", "connector", "--tenant", "x.example", "--source", "eth0"], "source"),
                           (["--kind", "connector", "--tenant", "x.example", "--smtp-tls", "none"], "smtp-tls"),
                           (["--kind", "connector", "--tenant", "x.example", "--mechanism", "plain"], "mechanism"),
                           (["--kind", "microsoft", "--client-id", "x", "--source", "127.0.0.1"], "source")):
            with self.assertRaisesRegex(Failed, why):
                gateway.command("provider", "add", "bad", "--org", "contoso", *words)


class ByCertificate(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority, cls.identity = identity(cls.class_directory)
        cls.asking = os.path.join(cls.class_directory, "asking")
        os.mkdir(cls.asking)
        cls.twin.end()
        cls.twin = Twin(cls.asking, client_ca=cls.authority.ca)
        cls.addClassCleanup(cls.twin.end)

    def test_known_by_it_alone(self):
        self.twin.ask("/twin/connector", {"name": "Postern", "addresses": ""})
        gateway = self.postern()
        password = add_connector(gateway, self.twin.mx_port)
        code, reply = send(gateway, password)
        self.assertIn("held: 550 5.7.64", reply)
        shown = gateway.command("provider", "set", "relay", "--certificate-file", self.identity)
        self.assertEqual(shown["certificate_names"], GATEWAY)
        self.assertIn(f"-TlsSenderCertificateName '{GATEWAY}'", shown["command"])
        wait_until("released by the certificate", lambda: len(self.twin.mail()) == 1)
        code, reply = send(gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertEqual([mail["connector"] for mail in self.twin.mail()], ["Postern", "Postern"])
        with open(self.authority.key, encoding="utf-8") as file:
            secret = file.read().split("\n")[1]
        for everything in (gateway.log(), str(gateway.command("provider", "show", "relay"))):
            self.assertNotIn(secret, everything)

    def test_a_certificate_needs_its_key(self):
        gateway = self.postern()
        add_connector(gateway, self.twin.mx_port)
        for path, why in ((self.authority.certificate, "no key"), (self.authority.key, "no certificate")):
            with self.assertRaisesRegex(Failed, why):
                gateway.command("provider", "set", "relay", "--certificate-file", path)
        other = os.path.join(self.directory, "other.pem")
        with open(other, "w", encoding="utf-8") as file:
            for part in (self.authority.ca, self.authority.key):
                with open(part, encoding="utf-8") as one:
                    file.write(one.read())
        with self.assertRaisesRegex(Failed, "another certificate"):
            gateway.command("provider", "set", "relay", "--certificate-file", other)


class ThroughPostfix(unittest.TestCase):
    """A server nobody here wrote, which takes mail from 127.0.0.9 on one port and from whoever shows a certificate on another."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="postern-peers-")
        os.chmod(cls.directory, 0o755)
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.authority = peers.Authority(cls.directory)
        own = os.path.join(cls.directory, "own")
        os.mkdir(own)
        os.chmod(own, 0o755)
        clients, cls.identity = identity(own)
        cls.server = peers.MailServer(cls.directory, cls.authority, peers.free_ports(1)[0], client_ca=clients.ca)
        cls.addClassCleanup(cls.server.end)

    def setUp(self):
        self.case = tempfile.mkdtemp(prefix="case-", dir=self.directory)
        os.chmod(self.case, 0o711)
        self.gateway = Postern(self.case, self.authority, more="upstream_idle_ms = 0\n")
        self.addCleanup(self.gateway.end)
        self.before = len(self.server.mail())

    def arrives(self, password):
        code, reply = send(self.gateway, password)
        self.assertEqual(code, 250, reply)
        self.assertIn("accepted by localhost", reply)
        wait_until("it arrived", lambda: len(self.server.mail()) == self.before + 1)
        self.assertTrue(self.server.mail()[-1].endswith(WHOLE.replace("\r\n", "\n").encode()))

    def test_by_address(self):
        password = add_connector(self.gateway, self.server.relay_port)
        code, reply = send(self.gateway, password)
        self.assertIn(code, (550, 554), reply)
        self.assertIn("Access denied", reply)
        self.gateway.command("provider", "set", "relay", "--source", "127.0.0.9")
        self.arrives(password)
        self.assertTrue(self.gateway.command("mailbox", "test", ALEX)["items"][0]["works"])
        self.assertEqual(len(self.server.mail()), self.before + 1)

    def test_by_certificate(self):
        password = add_connector(self.gateway, self.server.certificate_port, "--certificate-file", self.identity)
        self.arrives(password)


if __name__ == "__main__":
    unittest.main()
