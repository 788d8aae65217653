"""R13: everything that a name server can do wrong. Mail waits and is never returned for it; a name cannot be pointed at this machine; a dead address
family costs nothing. In a network of its own, where the providers' addresses are on the loopback interface."""
import contextlib
import random
import socket
import socketserver
import struct
import subprocess
import threading
import unittest

import chaos
import peers
from chaos import PROVE
from harness import TENANT, wait_until

HOST, ELSEWHERE = "smtp.provider.example", "login.provider.example"
GOOD, BETTER, GOOD6, DEAD6, DEAD4 = "192.0.2.10", "192.0.2.11", "2001:db8::10", "2001:db8:dead::1", "192.0.2.66"
METADATA = "169.254.169.254"
A, CNAME, AAAA = 1, 5, 28
NXDOMAIN, SERVFAIL, REFUSED = 3, 2, 5
TRUNCATED = 0x0200


def setUpModule():
    chaos.own_network()
    for address in (GOOD, BETTER, METADATA, DEAD4):
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
    for address in (GOOD6, DEAD6):
        subprocess.run(["ip", "-6", "addr", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)
    rules = f"add table inet hole\nadd chain inet hole out {{ type filter hook output priority 0; }}\nadd rule inet hole out ip6 daddr {DEAD6} drop\nadd rule inet hole out ip daddr {DEAD4} drop\n"
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def name_bytes(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(kind, value, ttl=300, owner=b"\xc0\x0c"):
    if kind == CNAME:
        data = name_bytes(value)
    else:
        data = socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, value)
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


class NameServer:
    """Answers over UDP and TCP what `zone` says: called with the name, the type and whether it came over TCP, it returns (rcode, records, flags), bytes
    to be sent as they are, or None to say nothing."""

    def __init__(self):
        self.zone, self.asked, self.over_tcp = None, [], 0
        outer = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                answer = outer.answer(data, False)
                if answer:
                    sock.sendto(answer, self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self):
                reader = self.request.makefile("rb")
                while len(head := reader.read(2)) == 2:
                    outer.over_tcp += 1
                    answer = outer.answer(reader.read(struct.unpack(">H", head)[0]), True)
                    if answer:
                        self.request.sendall(struct.pack(">H", len(answer)) + answer)
        self.udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Udp)
        self.port = self.udp.server_address[1]
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.tcp = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Tcp)
        for each in (self.udp, self.tcp):
            each.daemon_threads = True
            each.handle_error = lambda *_: None
            threading.Thread(target=each.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, data, over_tcp):
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
            at += 1 + data[at]
        kind, = struct.unpack(">H", data[at + 1:at + 3])
        name, question = ".".join(labels).lower(), data[12:at + 5]
        self.asked.append((name, kind))
        said = self.zone(name, kind, over_tcp)
        if said is None or isinstance(said, bytes):
            return said and data[:2] + said
        rcode, records, flags = said
        return data[:2] + struct.pack(">HHHHH", 0x8180 | rcode | flags, 1, len(records), 0, 0) + question + b"".join(records)

    def end(self):
        for each in (self.udp, self.tcp):
            each.shutdown()
            each.server_close()


def always(rcode=0, records=(), flags=0):
    return lambda name, kind, over_tcp: (rcode, list(records), flags)


def addresses(*four, six=(), ttl=300):
    """A zone in which each name has those addresses."""
    return lambda name, kind, over_tcp: (0, [record(kind, each, ttl) for each in (four if kind == A else six if kind == AAAA else ())], 0)


class R13(chaos.Chaos):
    more = "retry_longest = 1\nprobe_longest = 1\nverdict_wait_ms = 5000\nupstream_idle_ms = 0\n"
    reached = []  # the addresses at which the provider was met

    @classmethod
    def setUpClass(cls):
        # The provider listens on every address of this network, under the name that the name server is asked for.
        cls.names = NameServer()
        cls.addClassCleanup(cls.names.end)
        cls.names.zone = addresses(GOOD)
        true_authority = peers.Authority
        chaos.peers.Authority = lambda directory: true_authority(directory, ("localhost", HOST, ELSEWHERE))
        try:
            super().setUpClass()
        finally:
            chaos.peers.Authority = true_authority
        cls.reached.clear()

    @classmethod
    def make_gateway(cls):
        port = cls.provider.port
        for address, family in ((GOOD, socket.AF_INET), (BETTER, socket.AF_INET), (METADATA, socket.AF_INET), (GOOD6, socket.AF_INET6)):
            cls.listen_at(address, port, family)
        path = f"{cls.class_directory}/resolv.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"nameserver [127.0.0.1]:{cls.names.port}\noptions timeout:1 attempts:1\n")
        cls.more += f'resolv_conf = "{path}"\n'
        return super().make_gateway()

    @classmethod
    def listen_at(cls, address, port, family):
        """Further doors of the same provider; the address that was used is noted with the visit."""
        listener = socket.create_server((address, port), family=family)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, peer = listener.accept()
                    cls.reached.append(address)
                    threading.Thread(target=cls.provider.process_request_thread, args=(client, peer), daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        cls.addClassCleanup(listener.close)

    def setUp(self):
        super().setUp()
        self.names.asked.clear()
        self.reached.clear()
        # Each test asks for a name of its own, so that nothing is remembered from the one before.
        self.point_at(HOST)

    def point_at(self, host):
        self.gateway.command("provider", "set", "m365", "--smtp-host", host)

    def heal(self):
        self.names.zone = addresses(GOOD, ttl=0)
        super().heal()

    def puts_off(self, zone, wanted):
        self.names.zone = zone
        before = self.provider.visits
        code, reply = self.send()
        self.assertEqual(code, 250, reply)
        self.assertRegex(reply, r"^2\.0\.0 \w+ queued: ")
        self.assertRegex(reply, wanted)
        self.assertEqual(self.provider.visits, before, "somebody was spoken to")
        self.assertTrue(any(name == HOST for name, _ in self.names.asked))
        self.gone_once()

    def passes(self, zone, *reached):
        self.names.zone = zone
        self.reached.clear()
        code, reply = self.send()
        self.assertEqual((code, "accepted by" in reply), (250, True), reply)
        self.assertIn(self.reached[-1], reached)
        self.gone_once()

    def test_r13_nxdomain(self):
        self.puts_off(always(NXDOMAIN), "no address")

    def test_r13_servfail(self):
        self.puts_off(always(SERVFAIL), "no address|in time")

    def test_r13_lame(self):
        self.puts_off(always(REFUSED), "no address|in time")
        self.puts_off(always(0), "no address")

    def test_r13_timeout(self):
        self.puts_off(lambda *_: None, "in time")

    def test_r13_garbage(self):
        dice = random.Random(13)
        self.puts_off(lambda *_: bytes(dice.randrange(256) for _ in range(dice.randrange(1, 400))), "no address|in time")

    def test_r13_cname_loop(self):
        def loop(name, kind, over_tcp):
            here, there = name_bytes(HOST), name_bytes("loop.example")
            return 0, [record(CNAME, "loop.example", owner=here), record(CNAME, HOST, owner=there), record(CNAME, "loop.example", owner=here)], 0
        self.puts_off(loop, "no address|in time")
        self.puts_off(lambda name, kind, over_tcp: (0, [record(CNAME, HOST)], 0), "no address|in time")

    def test_r13_truncated_goes_over_tcp(self):
        before = self.names.over_tcp

        def cut_short(name, kind, over_tcp):
            rcode, records, _ = addresses(GOOD, ttl=0)(name, kind, over_tcp)
            return (rcode, records, 0) if over_tcp else (0, [], TRUNCATED)
        self.passes(cut_short, GOOD)
        self.assertGreater(self.names.over_tcp, before)

    def test_r13_truncated_and_no_tcp(self):
        self.puts_off(lambda name, kind, over_tcp: None if over_tcp else (0, [], TRUNCATED), "no address|in time")

    def test_r13_thousand_addresses(self):
        def many(name, kind, over_tcp):
            records = [record(A, GOOD, 0)] + [record(A, f"198.51.{i // 250}.{i % 250}", 0) for i in range(999)] if kind == A else []
            return (0, records, 0) if over_tcp else (0, [], TRUNCATED)
        self.passes(many, GOOD)

    def test_r13_ttl_0_is_asked_each_time(self):
        self.passes(addresses(GOOD, ttl=0), GOOD)
        self.passes(addresses(BETTER, ttl=0), BETTER)

    def test_r13_dead_ipv6_costs_nothing(self):
        """Happy eyeballs: what is sent to the first address is swallowed; IPv4 is tried beside it, long before the connection would be given up."""
        self.passes(addresses(GOOD, six=[DEAD6], ttl=0), GOOD)

    def test_r13_dead_ipv4_costs_nothing(self):
        self.passes(addresses(DEAD4, six=[GOOD6], ttl=0), GOOD6)
        self.passes(addresses(DEAD4, GOOD, ttl=0), GOOD)

    def test_r13_one_family_is_never_answered(self):
        self.passes(lambda name, kind, over_tcp: None if kind == AAAA else addresses(GOOD, ttl=0)(name, kind, over_tcp), GOOD)
        self.passes(lambda name, kind, over_tcp: None if kind == A else addresses(six=[GOOD6], ttl=0)(name, kind, over_tcp), GOOD6)

    def test_r13_rebinding_to_this_machine(self):
        """Each of those addresses is listened on, by somebody with the right certificate even: nobody is spoken to."""
        for address in ("127.0.0.1", METADATA, "0.0.0.0", "127.3.2.1") if PROVE else (METADATA,):
            with self.subTest(address):
                self.puts_off(addresses(address, ttl=0), "address of this machine")
        for address in ("::1", "::ffff:127.0.0.1", "::", "fe80::1", "::7f00:1") if PROVE else ("::ffff:127.0.0.1",):
            with self.subTest(address):
                self.puts_off(addresses(six=[address], ttl=0), "address of this machine")

    def test_r13_rebinding_beside_a_good_address(self):
        self.passes(addresses("127.0.0.1", METADATA, GOOD, six=["::1"], ttl=0), GOOD)
        self.assertEqual(set(self.reached), {GOOD})

    def test_r13_rebinding_of_the_identity_provider(self):
        """The vault's requests are held to the same rule; a link that cannot be begun says why."""
        visits = []
        with socket.create_server((METADATA, 0)) as trap, socket.create_server(("127.0.0.1", 0)) as other:
            def wait(listener):
                with contextlib.suppress(OSError):
                    listener.accept()
                    visits.append(listener)
            for listener, address in ((trap, METADATA), (other, "127.0.0.1")):
                threading.Thread(target=wait, args=(listener,), daemon=True).start()
                for scheme in ("https", "http"):
                    self.names.zone = addresses(address, ttl=0)
                    issuer = f"{scheme}://{ELSEWHERE}:{listener.getsockname()[1]}/{TENANT}/v2.0"
                    try:
                        self.gateway.command("provider", "set", "m365", "--issuer", issuer)
                    except Exception as refused:  # http:// is refused before anybody is asked
                        self.assertEqual(scheme, "http", refused)
                        continue
                    self.gateway.kill("vault")  # what it had in memory is forgotten
                    self.gateway.back()
                    browser = chaos.Browser()
                    browser.open(self.gateway.command("mailbox", "link", chaos.ALEX)["link"])
                    browser.submit()
                    self.assertNotEqual(browser.status, 200)
            self.assertEqual(visits, [])
        self.gateway.command("provider", "set", "m365", "--issuer", f"{self.twin.url}/{TENANT}/v2.0")


if __name__ == "__main__":
    unittest.main()
