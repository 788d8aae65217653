"""A gate that says anything it likes, before the real vault and the real post: it obtains no token, and sends nothing for a credential that it has not seen.
Likewise a desk, and a post before the vault.
"""
import json
import os
import random
import re
import select
import socket
import struct
import unittest

import frames
import harness
from frames import ACCEPTED, Ended, encode, recipients

VICTIM = "someone@fabrikam.example"
MAC_BYTES = 32
MEMORY_MOST = (1024 if "asan" in harness.PROGRAM else 400) * 1024 * 1024  # a sanitizer holds on to what was freed
COUNT = int(os.environ.get("EVIL_COUNT", "1"))  # full counts multiply


class Stage(harness.Case):
    """Set up as an administrator does, then only vault and post run; the rest is played."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        gateway = harness.Postern(cls.class_directory, cls.twin)
        gateway.add_mailbox(cls.twin)
        gateway.link_mailbox(cls.twin)
        gateway.add_mailbox(cls.twin, harness.MARIA)
        gateway.link_mailbox(cls.twin, harness.MARIA, harness.MARIA_PASSWORD)
        cls.password = gateway.add_client("erp")
        cls.other_password = gateway.add_client("other", [harness.MARIA])
        cls.leaving_password = gateway.add_client("leaving")
        gateway.command("client", "add", "scanner", "--org", "contoso", "--mailbox", harness.ALEX, "--network", "192.0.2.0/24", "--no-password")
        cls.secrets = [harness.APP_SECRET.encode(), harness.ALEX_PASSWORD.encode()]
        gateway.end()
        cls.data = gateway.data
        cls.log_path = os.path.join(cls.class_directory, "roles.log")
        cls.mac_key = os.urandom(32)
        cls.raise_roles()
        cls.addClassCleanup(cls.end_roles)

    @classmethod
    def raise_roles(cls):
        outside = [("ca", cls.twin.ca), ("resolv_conf", "/etc/resolv.conf")]
        with open(cls.log_path, "ab") as log:
            cls.vault = frames.Role("vault", cls.data, [("key_encryption_key", os.path.join(cls.data, "kek")), *outside], log, cls.mac_key)
            cls.post = frames.Role("post", cls.data, outside, log, cls.mac_key)
        cls.vault.await_ready()
        frames.introduce(cls.vault, cls.post)
        cls.post.await_ready()

    @classmethod
    def end_roles(cls):
        cls.post.end()
        cls.vault.end()

    def setUp(self):
        super().setUp()
        self.gates = {}
        self.addCleanup(self.unharmed)

    def unharmed(self):
        """Both live, and an honest gate beside still serves."""
        self.assertTrue(self.vault.is_alive() and self.post.is_alive(), self.log()[-3000:])
        self.gates.clear()
        self.assertEqual(self.deliver(self.grant(session=99, gate=1), session=99, gate=1)["kind"], ACCEPTED)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def link(self, to, gate=0, fresh=False):
        """A link as the gate of that number."""
        key = (to, gate)
        if fresh or key not in self.gates:
            self.gates[key] = (self.vault if to == "vault" else self.post).link_as("gate", gate)
            self.addCleanup(self.gates[key].close)
        return self.gates[key]

    def authorize(self, session, gate=0, **fields):
        given = {"protocol": 1, "mechanism": 1, "user": "erp", "password": self.password, "listener": "submission", "remote": "127.0.0.1:4000", "tls": "TLSv1.3"}
        link = self.link("vault", gate)
        link.send("authorize", session=session, **{**given, **fields})
        return link.await_message("authorized", session=session)

    def grant(self, session=7, gate=0, **fields):
        answer = self.authorize(session, gate, **fields)
        self.assertEqual(answer["fault"], "OK")
        return answer["grant"]

    def begin(self, grant, session=7, gate=0, serial=1, **fields):
        given = {"mailbox": fields["mailbox"] if "mailbox" in fields else self.mailbox(grant), "sender": harness.ALEX, "recipients": recipients(VICTIM)}
        link = self.link("post", gate)
        link.send("mail_begin", session=session, serial=serial, grant=grant, **{**given, **fields})
        return link

    def deliver(self, grant, session=7, gate=0, serial=1, text=None, **fields):
        link = self.begin(grant, session, gate, serial, **fields)
        link.send("mail_body", session=session, serial=serial, bytes=text or harness.letter(body=os.urandom(8).hex() + "\r\n"))
        link.send("mail_end", session=session, serial=serial, digest=os.urandom(32))
        return link.await_message("settled", session=session)

    def mailbox(self, grant):
        """The first mailbox of a grant as the vault encodes it: version, gate, session, client, two texts, ..."""
        at = MAC_BYTES + 4 * 8
        for _ in range(2):
            at += 4 + struct.unpack_from("<I", grant, at)[0]
        at += 4 * 8
        at += 4 + struct.unpack_from("<I", grant, at)[0]
        return struct.unpack_from("<Q", grant, at + 3 * 8)[0]

    def nothing_went_out(self):
        self.assertEqual([mail.get("recipients", mail) for mail in self.twin.mail()], [])


class Grants(Stage):
    def refused(self, what, grant, **fields):
        settled = self.deliver(grant, **fields)
        with self.subTest(what=what):
            self.assertEqual((settled["kind"], settled["id"]), (frames.REFUSED, b""), settled)
        return settled["fault"]

    def test_a_true_one_works(self):
        self.assertEqual(self.deliver(self.grant())["kind"], ACCEPTED)
        self.assertEqual(len(self.twin.mail()), 1)

    def test_forged_changed_and_cut(self):
        true, dice = self.grant(), random.Random(7)
        alex = self.mailbox(true)
        body = true[MAC_BYTES:]
        forged = [b"", b"\0" * MAC_BYTES, b"\0" * MAC_BYTES + body, os.urandom(MAC_BYTES) + body, os.urandom(len(true)), true + b"\0", true + true, true[1:], body,
                  body + true[:MAC_BYTES], true[:MAC_BYTES], true[:MAC_BYTES] + body.replace(b"alex", b"mari")]
        places = range(len(true)) if COUNT > 1 else sorted(dice.sample(range(len(true)), 120))
        for at in places:
            changed = bytearray(true)
            changed[at] ^= 1 << dice.randrange(8)
            forged.append(bytes(changed))
        forged += [true[:dice.randrange(len(true))] for _ in range(30 * COUNT)]
        for number, grant in enumerate(forged):
            self.assertEqual(self.refused(number, grant, mailbox=alex), "GRANT_INVALID")
        self.nothing_went_out()
        self.assertIn("post.grant_refused", self.log())

    def test_of_another_session_gate_and_protocol(self):
        true = self.grant(session=7)
        self.assertEqual(self.refused("session", true, session=8), "GRANT_INVALID")
        self.assertEqual(self.refused("gate", true, gate=2), "GRANT_INVALID")
        for protocol in (0, 2, 3, 5, 8, 15, 16, 255):
            self.assertNotEqual(self.authorize(9, protocol=protocol)["fault"], "OK", protocol)
        self.nothing_went_out()

    def test_of_another_mailbox_and_sender(self):
        true, marias = self.grant(), self.mailbox(self.grant(session=8, user="other", password=self.other_password))
        self.assertNotEqual(self.mailbox(true), marias)
        self.assertEqual(self.refused("mailbox", true, mailbox=marias), "GRANT_INVALID")
        self.assertEqual(self.refused("no mailbox", true, mailbox=2 ** 64 - 1), "GRANT_INVALID")
        for sender in (harness.MARIA, "ceo@contoso.example", "alex@contoso.example.evil", f"{harness.ALEX}\r\nRCPT TO:<{harness.MARIA}>", "@contoso.example", "\0"):
            self.assertEqual(self.refused(sender, true, sender=sender), "SENDER_NOT_GRANTED")
        self.nothing_went_out()

    def test_of_a_client_that_was_revoked(self):
        true = self.grant(user="leaving", password=self.leaving_password)
        begun = self.begin(true, serial=3)
        desk = self.vault.link_as("desk")
        self.addCleanup(desk.close)
        self.assertEqual(desk.ask("client.remove", json.dumps({"name": "leaving"}))["fault"], "OK")
        self.link("vault").await_message("revoked")
        begun.send("mail_end", session=7, serial=3)
        self.assertEqual(begun.await_message("settled", session=7)["fault"], "CLIENT_REVOKED")
        self.assertEqual(self.refused("revoked", true), "CLIENT_REVOKED")
        self.assertNotEqual(self.authorize(8, user="leaving", password=self.leaving_password)["fault"], "OK")
        self.nothing_went_out()

    def test_of_an_earlier_epoch(self):
        true = self.grant()
        self.end_roles()
        type(self).mac_key = os.urandom(32)
        self.raise_roles()
        self.gates.clear()
        self.assertEqual(self.refused("before the restart", true), "GRANT_INVALID")
        self.nothing_went_out()

    def test_passwords_are_not_guessed(self):
        credential = self.password[:-4]
        for guess in ["", "x", credential + "0000", credential, self.password + "a", "pt_", self.password.replace("pt_", "pt__"), harness.ALEX_PASSWORD]:
            answer = self.authorize(7, password=guess, remote="203.0.113.9:1")
            self.assertEqual((answer["fault"] != "OK", answer["grant"]), (True, b""), guess)
        for mechanism in (0, 5, 255):
            answer = self.authorize(7, mechanism=mechanism, password="", remote="203.0.113.10:1")
            self.assertEqual((answer["fault"] != "OK", answer["grant"]), (True, b""), mechanism)

    def test_a_trusted_network_is_believed(self):
        """The residual risk (SECURITY.md): where a client is known by its network alone, gate's word for the address is all there is."""
        self.assertNotEqual(self.authorize(7, mechanism=0, password="", user="", remote="198.51.100.1:25")["fault"], "OK")
        true = self.grant(mechanism=0, password="", user="", remote="192.0.2.7:25")
        self.assertEqual(self.deliver(true)["kind"], ACCEPTED)
        # And that is all: the grant holds for this client alone.
        self.assertEqual(self.deliver(true, sender=harness.MARIA)["fault"], "SENDER_NOT_GRANTED")


class Words(Stage):
    """Words that are not gate's to say, or not so."""

    def test_of_other_roles(self):
        for to, name in ((self.vault, "vault"), (self.post, "post")):
            for word, (_, senders, takers, has_fd, _) in frames.TABLE.items():
                for me in ("gate", "desk", "post"):
                    if me == name or (me in senders and name in takers) or has_fd or (me == "post" and name == "post"):
                        continue
                    with self.subTest(word=word, me=me, to=name):
                        link = to.link_as(me, 3)
                        link.send(word, **({"mailbox": 1} if word == "token_wanted" else {}))
                        heard = {got[0] for got in link.await_end()}
                        self.assertFalse(heard & {"token", "segment_key", "answer", "authorized"}, heard)
                        link.close()
        # Post had its link to the vault replaced by ours.
        frames.introduce(self.vault, self.post)
        self.assertIn("link.malformed", self.log())

    def test_frames_that_lie(self):
        whole = encode("mail_drop", session=1, serial=1)
        lies = [struct.pack("<II", size, 12) + b"\0" * 64 for size in (*range(8), 2 ** 21 + 1, 2 ** 31, 2 ** 32 - 1)]
        lies += [struct.pack("<II", 8, number) for number in (0, len(frames.TABLE) + 1, 999, 2 ** 32 - 1)]
        lies += [struct.pack("<I", len(whole) + extra) + whole[4:] + b"\0" * extra for extra in (1, 7, 100)]
        lies += [struct.pack("<I", size) + whole[4:size] for size in range(8, len(whole))]
        begin = encode("mail_begin", grant=b"abcd", sender=harness.ALEX, recipients=recipients(VICTIM))
        at = begin.index(b"abcd") - 4
        lies += [begin[:at] + struct.pack("<I", size) + begin[at + 4:] for size in (5000, 2 ** 31, 2 ** 32 - 1)]
        for to in (self.vault, self.post):
            for number, lie in enumerate(lies):
                with self.subTest(number=number, to=to.name):
                    link = to.link_as("gate", 3)
                    link.raw(lie)
                    link.await_end()
                    link.close()

    def test_random_frames(self):
        """Well-formed in size and type, anything inside."""
        dice = random.Random(int(os.environ.get("EVIL_SEED", "11")))
        ours = {name: [word for word, row in frames.TABLE.items() if "gate" in row[1] and name in row[2] and not row[3]] for name in ("vault", "post")}
        for to in (self.vault, self.post):
            link = to.link_as("gate", 3)
            for _ in range(400 * COUNT):
                word = dice.choice(ours[to.name])
                frame = bytearray(encode(word, **{field: bytes(dice.randbytes(dice.randrange(40))) if kind not in frames.SIZES else
                                                  dice.choice((0, 1, 2 ** 8 - 1 if kind == "u8" else 2 ** 31 - 1)) for kind, field in frames.TABLE[word][4]}))
                if dice.random() < 0.2:
                    frame[dice.randrange(8, len(frame))] ^= 1 << dice.randrange(8)
                try:
                    link.raw(bytes(frame))
                except Ended:
                    link.close()
                    link = to.link_as("gate", 3)
            link.close()
            self.assertTrue(to.is_alive())

    def test_descriptors_that_nobody_asked_for(self):
        for to in (self.vault, self.post):
            reading, writing = os.pipe()
            for _ in range(20):
                link = to.link_as("gate", 3)
                try:
                    for _ in range(50):
                        link.raw(encode("refused" if to is self.vault else "mail_drop"), [writing] * 20)
                except Ended:
                    pass
                link.close()
            os.close(writing)
            # The pipe ends when its last writer is closed, here and there.
            self.assertTrue(select.select([reading], [], [], harness.PATIENCE)[0], to.name)
            self.assertEqual(os.read(reading, 1), b"")
            os.close(reading)

    def test_out_of_order(self):
        """Each of these must be answered or passed over, and store nothing."""
        true = self.grant()
        alex = self.mailbox(true)
        link = self.link("post")
        body, end = lambda serial=1: link.send("mail_body", session=7, serial=serial, bytes=b"Subject: evil\r\n\r\nx\r\n"), \
            lambda serial=1, **more: link.send("mail_end", session=7, serial=serial, **more)
        body()
        end()
        self.begin(true, serial=1)
        end(serial=2)                        # of another message
        body(serial=9)
        link.send("mail_drop", session=7, serial=9)
        self.begin(true, serial=2)           # takes the place of the first
        end(serial=1)
        link.send("mail_drop", session=7, serial=2)
        end(serial=2)
        body(serial=2)
        for session in (0, 8, 2 ** 64 - 1):
            link.send("mail_end", session=session, serial=1)
        for word in ("", "x", "0000000000000", "ZZZZZZZZZZZZZ", "\0" * 13, "1" * 100000):
            link.send("heard", id=word)
        self.assertIsNone(link.receive(0.5))
        self.assertEqual(self.begin(true, serial=3, recipients=b"").await_message("settled")["fault"], "NO_RECIPIENTS")
        for lie in (b"\xff\xff\xff\xff", frames.items(b"a@b"), frames.items(b"a@b", b"xx", b""), recipients(VICTIM)[:-1], recipients(VICTIM) + b"\0"):
            self.assertEqual(self.begin(true, serial=4, recipients=lie).await_message("settled")["fault"], "NO_RECIPIENTS")
        self.assertEqual(self.begin(true, serial=5, recipients=recipients(*[VICTIM] * 1001)).await_message("settled")["fault"], "TOO_MANY_RECIPIENTS")
        self.assertEqual(alex, self.mailbox(true))
        self.nothing_went_out()

    def test_as_much_as_fits(self):
        """An envelope that leaves no room for what is written behind it must not be taken, and must not end post."""
        true = self.grant()
        room = 960 * 1024
        for size in [*range(room - 10000, room - 800, 800), *range(room - 800, room + 60, 20), 1024 * 1024, 1500 * 1024]:
            with self.subTest(size=size):
                settled = self.deliver(true, envelope_id=b"e" * size)
                self.assertEqual((settled["kind"], settled["id"]) if settled["kind"] == frames.REFUSED else (frames.REFUSED, b""), (frames.REFUSED, b""))
                self.assertTrue(self.post.is_alive())
        settled = self.deliver(true, recipients=recipients(b"a" * 900000 + b"@fabrikam.example"))
        self.assertTrue(self.post.is_alive())
        self.assertNotEqual(settled["kind"], ACCEPTED)

    def test_commands_in_an_envelope(self):
        """What gate calls an address goes to the provider as one, or not at all."""
        true = self.grant()
        evil = [f"{VICTIM}>\r\nRCPT TO:<{harness.MARIA}", f"{VICTIM}\r\nRSET", "\r\n.\r\n", f"{VICTIM}> SIZE=1\r\nDATA\r\n", VICTIM + "\0", "x y@fabrikam.example"]
        for address in evil:
            self.assertNotEqual(self.deliver(true, recipients=recipients(address))["kind"], ACCEPTED, address)
        self.nothing_went_out()
        settled = self.deliver(true, envelope_id="x\r\nRCPT TO:<evil@fabrikam.example>", recipients=frames.items(VICTIM.encode(), b"\xff", b"rfc822;x\r\nRSET"), body=200, smtputf8=9,
                               dsn_return=250, size=2 ** 63)
        self.assertEqual(settled["kind"], ACCEPTED, settled)
        mail = self.twin.mail()
        self.assertEqual(len(mail), 1)
        self.assertNotIn("evil@", json.dumps(mail))

    def test_a_message_of_commands(self):
        """Dots and lines that look like the end of a message stay inside of it."""
        true = self.grant()
        text = harness.letter(body="one\r\n.\r\nMAIL FROM:<evil@contoso.example>\r\n\r\n.\nx\r\n..\r\n.")
        self.deliver(true, text=text)
        self.assertLessEqual(len(self.twin.mail()), 1)
        self.assertNotIn("evil@contoso.example", json.dumps(self.twin.mail()))


class Floods(Stage):
    def test_a_gate_that_only_talks(self):
        """Thousands of frames, nothing read: memory has a ceiling, and the gate beside is served meanwhile."""
        true = self.grant()
        wrong = encode("authorize", session=1, protocol=1, mechanism=1, user="erp", password="pt_wrong", listener="submission", remote="203.0.113.1:9")
        refusal = encode("refused", fault=1, listener="x" * 500, remote="r" * 500, user="u" * 5000, sender="s" * 5000, recipient="t" * 5000)
        begin = encode("mail_begin", session=1, grant=true, mailbox=1, sender=harness.ALEX, recipients=recipients(VICTIM))
        for to, frame, number in ((self.vault, wrong, 20000), (self.vault, refusal, 5000), (self.post, begin, 20000)):
            link = to.link_as("gate", 3)
            try:
                for _ in range(number // 100):
                    link.raw(frame * 100)
            except Ended:
                pass
            self.assertLess(to.memory(), MEMORY_MOST)
            self.gates.clear()
            self.assertEqual(self.deliver(self.grant(session=50, gate=1), session=50, gate=1)["kind"], ACCEPTED)
            link.close()

    def test_sessions_without_end(self):
        """Begun and never ended: what is gathered has a ceiling, and it all goes with the gate."""
        true = [(session, self.grant(session=session)) for session in range(100, 140)]
        link = self.link("post")
        for session, grant in true:
            self.begin(grant, session=session)
            for _ in range(4):
                link.send("mail_body", session=session, serial=1, bytes=b"x" * (1 << 20))
        self.assertLess(self.post.memory(), MEMORY_MOST)
        link.close()
        self.gates.clear()
        self.assertEqual(self.deliver(self.grant())["kind"], ACCEPTED)


class Desk(harness.Case):
    """The real desk, between an honest vault and a gate that answers what was never asked of it; we are both."""

    def setUp(self):
        super().setUp()
        gateway = harness.Postern(self.directory, self.twin)
        gateway.end()
        self.path = os.path.join(self.directory, "control.sock")
        with socket.socket(socket.AF_UNIX) as listener, open(os.path.join(self.directory, "desk.log"), "ab") as log:
            listener.bind(self.path)
            listener.listen()
            files = [("passwd", "/etc/passwd"), ("group", "/etc/group")]
            self.desk = frames.Role("desk", gateway.data, files, log, listeners=[("control", listener)])
        self.addCleanup(self.desk.end)
        self.desk.await_ready()
        self.vault, self.gate = self.desk.link_as("vault"), self.desk.link_as("gate")

    def ask(self):
        """Sends `org list` as an administrator does; returns the connection and what the vault was asked."""
        person = socket.socket(socket.AF_UNIX)
        self.addCleanup(person.close)
        person.settimeout(harness.PATIENCE)
        person.connect(self.path)
        person.sendall(b"GET /api/v1/orgs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return person, self.vault.await_message("call", operation=b"org.list")

    def test_an_answer_is_believed_of_whom_was_asked(self):
        person, call = self.ask()
        for request in (call["request"], call["request"] + 1, 0, 2 ** 64 - 1):
            self.gate.send("answer", request=request, result='{"items":[{"name":"forged"}]}')
        self.vault.send("answer", request=call["request"] + 7, result='{"items":[{"name":"unasked"}]}')
        self.vault.send("answer", request=call["request"], result='{"items":[{"name":"true"}]}')
        told = b"".join(iter(lambda: person.recv(65536), b""))
        self.assertIn(b'"true"', told)
        self.assertNotIn(b"forged", told)
        self.assertNotIn(b"unasked", told)

    def test_nonsense_from_the_vault_is_not_passed_on(self):
        for answer in ({"fault": 2 ** 32 - 1}, {"fault": 1, "why": "\r\nSet-Cookie: a=b\r\n\r\n<script>"}, {"result": b"\xff\0{"}, {"why": "w" * 100000, "fault": 1}):
            person, call = self.ask()
            self.vault.send("answer", request=call["request"], **answer)
            told = b"".join(iter(lambda: person.recv(65536), b""))
            self.assertTrue(told.startswith(b"HTTP/1.1 "), told[:200])
            self.assertNotIn(b"\r\nSet-Cookie", told)
        self.assertTrue(self.desk.is_alive())


class Others(Stage):
    """What a captured desk or post could have of the vault."""

    def lists(self, link):
        for words in frames.documents().rows("operations", "OPERATION"):
            if words[2] == "VAULT" and words[1] in ("list", "show", "refused"):
                for arguments in ({}, {"name": "erp"}, {"name": "m365"}, {"address": harness.ALEX}, {"name": "contoso"}):
                    yield link.ask(f"{words[0]}.{words[1]}", json.dumps(arguments))

    def test_desk_sees_no_secret(self):
        desk = self.vault.link_as("desk")
        self.addCleanup(desk.close)
        answers = list(self.lists(desk))
        self.assertGreater(sum(answer["fault"] == "OK" for answer in answers), 5)
        for answer in answers:
            for secret in [*self.secrets, self.password.encode()]:
                self.assertNotIn(secret, answer["result"])
            self.assertIsNone(re.search(rb'"(client_secret|refresh_token|access_token|token|password|verifier|sealed)":"', answer["result"]), answer["result"])
        for operation in ("", "token", "mailbox.token", "x" * 5000, "client", "client.", "vault.dump", "mailbox\0list"):
            self.assertNotEqual(desk.ask(operation)["fault"], "OK")
        for arguments in (b"", b"[]", b"{", b"[" * 10000, b'{"name":' * 2000, b'"x"', b"\xff\xfe", b'{"name":null}', b'{"limit":1e400}', b"{" + b'"a":1,' * 20000 + b'"b":1}'):
            for operation in ("client.list", "client.show", "client.add", "mailbox.add", "org.add"):
                desk.ask(operation, arguments)

    def test_post_gets_an_access_token_and_no_more(self):
        """Post needs no grant for one: its later tries have none. It is the residual risk of a captured post."""
        post = self.vault.link_as("post")
        self.addCleanup(frames.introduce, self.vault, self.post)
        self.addCleanup(post.close)
        mailbox = self.mailbox(self.grant())
        post.send("token_wanted", request=1, mailbox=mailbox, way=1)
        token = post.await_message("token", request=1)
        self.assertEqual(token["fault"], "OK")
        for secret in self.secrets:
            self.assertNotIn(secret, token["token"])
        for unknown in (0, 99, 2 ** 64 - 1):
            post.send("token_wanted", request=2, mailbox=unknown, way=1, force=255, generation=2 ** 64 - 1)
            answer = post.await_message("token", request=2)
            self.assertEqual((answer["fault"] != "OK", answer["token"]), (True, b""))
        for wrapped in (b"", b"\0" * 100, os.urandom(200), b"x" * 1000000):
            post.send("segment_unwrap", request=3, wrapped=wrapped)
            answer = post.await_message("segment_key", request=3)
            self.assertEqual((answer["fault"] != "OK", answer["key"]), (True, b""))
        for key in (0, 7, 2 ** 32 - 1):
            post.send("segment_rotated", key_id=key, fault=key)


if __name__ == "__main__":
    unittest.main()
