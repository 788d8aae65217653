"""The ledger itself: a check that cannot fail proves nothing, so each kind of imbalance is shown to it."""
import importlib.machinery
import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import peers
from harness import PATIENCE, PROGRAM, ROOT, Case, Process, smtp, submit, wait_until

TOOL = os.path.join(ROOT, "tools", "ledger")


def load():
    loader = importlib.machinery.SourceFileLoader("ledger", TOOL)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("ledger", loader))
    loader.exec_module(module)
    return module


ledger = load()
ALEX = "alex@contoso.example"


def letter(seq="1", recipients=("take.1.0",), sha256="a"):
    return {"what": "letter", "seq": seq, "sender": ALEX, "recipients": list(recipients), "sha256": sha256, "at": 1}


def answer(seq="1", code=250, accepted=("take.1.0",), is_end=True, at=3):
    return {"what": "answer", "seq": seq, "code": code, "reply": "so", "accepted": list(accepted), "is_end": is_end, "at": at}


def copy(seq="1", recipients=("take.1.0",), sha256="a", sender=ALEX, at=2):
    return {"what": "received", "seq": seq, "sender": sender, "recipients": list(recipients), "sha256": sha256, "dot": at - 0.5, "at": at}


def report(seq="1", action="failed", name="take.1.0", to=ALEX, number=1, at=4):
    return {"what": "report", "seq": seq, "id": f"<{number}@x>", "to": [to], "actions": {name: action}, "dot": at - 0.5, "at": at}


def lost(seq="1", at=2):
    return {"what": "lost", "seq": seq, "at": at}


def death(role="post", at=2.5):
    return {"kill": role, "at": at}


class Balance(unittest.TestCase):
    def expect(self, invariants, sent, received, kills=()):
        found = ledger.Check(sent, received, kills).complaints
        self.assertEqual([invariant for invariant, _ in found], invariants, found)

    def test_what_balances(self):
        self.expect([], [letter(), answer()], [copy()])
        self.expect([], [letter(), answer()], [report()])
        self.expect([], [letter(), answer(code=550, accepted=())], [])
        self.expect([], [letter(recipients=("take.1.0", "refuse.1.1")), answer(accepted=("take.1.0", "refuse.1.1"))], [copy(), report(name="refuse.1.1")])

    def test_acknowledged_and_lost(self):
        self.expect(["I1"], [letter(), answer()], [])
        self.expect(["I1"], [letter(), answer()], [report(action="delayed")])
        self.expect(["I1"], [letter(recipients=("take.1.0", "take.1.1")), answer(accepted=("take.1.0", "take.1.1"))], [copy()])

    def test_altered(self):
        self.expect(["I2"], [letter(), answer()], [copy(sha256="b")])

    def test_twice_for_no_reason(self):
        self.expect(["I3"], [letter(), answer()], [copy(), copy(at=3)])

    def test_twice_because_of_a_death_of_post_between_the_copies(self):
        self.expect([], [letter(), answer()], [copy(), copy(at=3)], [death()])
        self.expect([], [letter(), answer()], [copy(), copy(at=3)], [death("all")])
        self.expect([], [letter(), answer()], [copy(), copy(at=3)], [death(at=1.2)])
        for wrong in (death("gate"), death(at=0.9), death(at=3.5)):
            self.expect(["I3"], [letter(), answer()], [copy(), copy(at=3)], [wrong])
        self.expect(["I3"], [letter(), answer()], [copy(), copy(at=103)], [death(at=2.6)])

    def test_twice_because_the_connection_was_cut(self):
        cut = {"what": "cut", "seq": "1", "recipients": ["take.1.0"], "at": 2.1}
        self.expect([], [letter(), answer()], [copy(), cut, copy(at=3)])
        self.expect(["I3"], [letter(), answer()], [copy(), cut, copy(at=3), copy(at=4)])

    def test_what_nobody_sent(self):
        self.expect(["I4"], [], [copy()])
        self.expect(["I4"], [letter(), answer()], [copy(), copy(recipients=("take.9.9",))])
        self.expect(["I4"], [letter(), answer()], [copy(sender="maria@contoso.example")])

    def test_delivered_and_reported(self):
        self.expect(["I5"], [letter(), answer()], [copy(), report()])
        self.expect([], [letter(), answer()], [copy(), report(action="delayed")])

    def test_refused_and_delivered_or_reported(self):
        self.expect(["I9"], [letter(), answer(code=554)], [copy()])
        self.expect(["I9"], [letter(), answer(code=554)], [report()])
        # Not heard the first time, reported; the second time it is a message of its own.
        self.expect([], [letter(), lost(), answer(code=554)], [report()])
        self.expect(["I9"], [letter(), lost(), answer(code=554)], [report(), report(number=2, at=5)])

    def test_refused_at_rcpt_and_delivered(self):
        two = letter(recipients=("take.1.0", "take.1.1"))
        self.expect(["I9"], [two, answer()], [copy(recipients=("take.1.0", "take.1.1"))])
        self.expect([], [two, answer(code=451, accepted=("take.1.0", "take.1.1")), answer()], [copy(recipients=("take.1.0", "take.1.1"))])

    def test_reports_go_once_to_who_sent(self):
        self.expect(["I4"], [letter(), answer()], [report(to="maria@contoso.example")])
        self.expect(["I4", "I1"], [letter(), answer()], [report(name="take.9.9")])
        self.expect(["I4"], [], [report()])
        self.expect(["I3"], [letter(), answer()], [report(), report(number=2, at=5)])
        self.expect(["I3"], [letter(), answer()], [report(), report(at=5)])
        self.expect([], [letter(), answer()], [report(), report(at=5)], [death(at=4.1)])

    def test_no_final_reply_and_a_password_denied(self):
        self.expect(["I0"], [letter()], [])
        self.expect(["I0"], [letter(), answer(code=451)], [copy()])
        self.expect(["I0"], [letter(), {"what": "denied", "seq": "1", "code": 535, "reply": "no", "at": 2}, answer()], [copy()])


class Ends(unittest.TestCase):
    def test_senders_and_sink_without_anything_between_balance(self):
        directory = tempfile.mkdtemp(prefix="postern-ledger-")
        self.addCleanup(shutil.rmtree, directory)
        authority = peers.Authority(directory)
        sent, received, password = (os.path.join(directory, name) for name in ("sent", "received", "password"))
        with open(password, "w", encoding="utf-8") as file:
            file.write("any")
        sink = Process(directory, "sink", [sys.executable, TOOL, "sink", "--notes", received, "--certificate", authority.certificate, "--key", authority.key])
        self.addCleanup(sink.end)
        port = sink.line("ready").split()[1]
        done = subprocess.run([sys.executable, TOOL, "send", "--notes", sent, "--port", port, "--ca", authority.ca, "--user", "any", "--password-file", password,
                               "--sender", ALEX, "--sessions", "4", "--count", "15", "--seed", "10"], capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(json.loads(done.stdout), {"finished": 60, "unfinished": 0}, done.stderr)
        check = [sys.executable, TOOL, "check", "--sent", sent, "--received", received]
        done = subprocess.run(check, capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("letters 60", done.stdout)
        self.assertNotIn(" cuts 0,", done.stdout)
        # One note of the sink's removed: a message that was acknowledged and is gone.
        with open(received, encoding="utf-8") as file:
            lines = file.readlines()
        alone = next(i for i, line in enumerate(lines) if json.loads(line)["what"] == "received" and json.loads(line)["recipients"][0].startswith("take."))
        with open(received, "w", encoding="utf-8") as file:
            file.writelines(lines[:alone] + lines[alone + 1:])
        done = subprocess.run(check, capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("I1 ", done.stdout)
        self.assertEqual(sink.end(), 0)


class House(Case):
    """Of a Postern at rest nothing is complained of; of one that was tampered with, each thing by its name."""

    def check(self, *more):
        words = [sys.executable, TOOL, "check", "--sent", os.devnull, "--received", os.devnull, "--house", self.gateway.data, "--program", PROGRAM, *more]
        return subprocess.run(words, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)

    def assert_complaints(self, done, *beginnings):
        complaints = done.stdout.splitlines()[:-2]
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(len(complaints), len(beginnings), done.stdout)
        for beginning in beginnings:
            self.assertTrue(any(line.startswith(beginning) for line in complaints), f"{beginning}: {done.stdout}")

    def footprint(self):
        done = subprocess.run([sys.executable, TOOL, "footprint", "--house", self.gateway.data], capture_output=True, text=True, timeout=PATIENCE, check=True)
        return json.loads(done.stdout)

    def write_footprint(self, footprint):
        path = os.path.join(self.directory, "before")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(footprint, file)
        return path

    def test_what_is_left_over_waits_or_has_grown(self):
        self.gateway, password = self.linked()
        before = self.footprint()
        self.assertEqual(set(before), {"keeper", "gate", "vault", "post", "desk"})
        path = self.write_footprint(before)
        done = self.check("--before", path)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        before["post"]["threads"] = before["gate"]["memory_kb"] = 0
        self.write_footprint(before)
        strays = [os.path.join(self.gateway.data, "spool", name) for name in ("bodies/0123456789ABC", "damaged-index.db")]
        strays.append(os.path.join(self.gateway.data, "vault", "vault.db-journal"))
        for stray in strays:
            with open(stray, "w", encoding="utf-8"):
                pass
        self.twin.switch("smtp_auth", "off")
        with smtp(self.gateway, password=password) as session:
            self.assertEqual(submit(session)[0], 250)
        waits = wait_until("the message is held", lambda: [i["id"] for i in self.gateway.command("queue", "list")["items"] if i["state"] == "held"])[0]
        self.assert_complaints(self.check("--keep-keys", "--before", path, "--more-threads", "4", "--more-memory-kb", "16384", "--rest-seconds", "1"), f"I8 {waits} still waits", "I8 post has", "I8 gate has",
                               *(f"I8 {stray} is left over" for stray in strays))

    def test_a_secret_that_does_not_open(self):
        self.gateway, _ = self.linked()
        self.gateway.end()
        with sqlite3.connect(os.path.join(self.gateway.data, "vault", "vault.db")) as database:
            sealed = database.execute("SELECT sealed FROM secrets WHERE name = 'client_secret'").fetchone()[0]
            database.execute("UPDATE secrets SET sealed = ? WHERE name = 'client_secret'", (sealed[:-1] + bytes([sealed[-1] ^ 1]),))
        database.close()
        self.gateway.start()
        self.assert_complaints(self.check("--rotate-seconds", "3"), "I7 key 1 cannot end")


if __name__ == "__main__":
    unittest.main()
