"""R8, R9 and R10: descriptors run out, memory runs out, calls are interrupted, find nothing ready or do a part of what was asked.

Of memory: a role that gets none ends by saying so, never by touching what it did not get; the keeper brings it back, and the ledger balances. ALLOCATIONS_STEP
takes every so many of the allocations that each role makes in a message's life (by default a few). Of calls: the results are the same.

The library that is put before malloc does not go with ASan: the release build is tested here.
"""
import mmap
import os
import random
import resource
import socket
import struct
import subprocess
import sys
import time
import unittest
from concurrent import futures

os.environ["FLAVOUR"] = "release"

from harness import PATIENCE, ROOT, needs_root, wait_until  # noqa: E402
from house import Letter, SharedHouse  # noqa: E402

ROLES = ("gate", "vault", "post", "desk")
FEW = 2


class Orders:
    """The file of scarcity.c, mapped. Fields are those of its struct."""

    FIELDS = ("allocations_left", "one_in", "allocations", "failed", "spoilt")

    def __init__(self, directory):
        self.library, self.path = os.path.join(directory, "scarcity.so"), os.path.join(directory, "scarcity")
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", self.library, os.path.join(ROOT, "tests", "e2e", "scarcity.c")], check=True)
        with open(self.path, "wb") as file:
            file.write(bytes(4096))
        os.chmod(self.path, 0o666)
        os.chmod(self.library, 0o755)
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 4096)

    def at(self, role, field):
        return (ROLES.index(role) * len(self.FIELDS) + self.FIELDS.index(field)) * 8

    def get(self, role, field):
        return struct.unpack_from("q", self.map, self.at(role, field))[0]

    def put(self, role, field, value):
        struct.pack_into("q", self.map, self.at(role, field), value)


class Scarcity(SharedHouse):
    linger_ms, verdict_wait, boot = "0", "1000ms", ""
    orders = None

    def setUp(self):
        super().setUp()
        cls = type(self)
        if not cls.orders:
            cls.orders = Orders(self.directory)
            self.gateway.extra_env = {"LD_PRELOAD": cls.orders.library, "SCARCITY": cls.orders.path}
            self.gateway.end()
            self.gateway.start()
        for role in ROLES:
            for field in Orders.FIELDS:
                cls.orders.put(role, field, 0)

    def settle(self):
        self.wait_until_over()
        self.gateway.end()
        self.gateway.start()
        self.check("--keep-keys")

    # --- R8

    def out_of_descriptors(self, error):
        """Strangers wait, whoever is in goes on, and nobody spins."""
        inside, path = self.sender(), os.path.join(self.directory, "accepts-" + error)
        self.give(inside, Letter(f"r8-{error}-before", ("take",)))
        with self.traced("gate", "-e", "trace=accept4", "-e", f"inject=accept4:error={error}", output=path):
            outside = [socket.create_connection(("127.0.0.1", self.gateway.ports["submission"]), timeout=PATIENCE) for _ in range(3)]
            begun = time.monotonic()
            for number in range(5):
                self.give(inside, Letter(f"r8-{error}-{number}", ("take",)))
            seconds = time.monotonic() - begun
        with open(path, encoding="utf-8") as file:
            refused = file.read().count(error)
        print(f"{error}: {refused} times in {seconds:.1f} s", file=sys.stderr, flush=True)
        self.assertGreater(refused, 0)
        self.assertLess(refused, 20 * (seconds + 1), "it spins")
        for connection in outside:
            self.assertTrue(connection.recv(4096).startswith(b"220 "))
            connection.close()
        inside.forget()

    @needs_root
    def test_r8_no_descriptor_left_in_the_process_or_the_machine(self):
        self.out_of_descriptors("EMFILE")
        self.out_of_descriptors("ENFILE")
        sender, letter = self.sender(), Letter("r8-post", ("take",), 300000)
        self.begin(sender, letter)
        with self.traced("post", "-e", "trace=openat,socket", "-e", "inject=openat,socket:error=EMFILE"):
            self.assertFalse(sender.attempt(letter))  # its body wants a file
            self.give(sender, Letter("r8-post-small", ("take",)))
        wait_until("it is taken", lambda: sender.attempt(letter))
        sender.forget()
        self.settle()

    # --- R9

    def end_of(self, role, since):
        """How the role ended since then: None, or a text."""
        for record in self.deaths(since):
            if record["name"] == role:
                return f"signal {record['signal']}" if record["signal"] else f"status {record['status']}"
        return None

    def run_out(self, role, number):
        """The allocation of that number fails in the role while a message lives. Returns how the role ended."""
        since = os.path.getsize(self.gateway.log_path)
        self.orders.put(role, "failed", 0)
        self.orders.put(role, "allocations_left", number)
        self.live(f"r9-{role}-{number}")
        self.orders.put(role, "allocations_left", 0)
        end = self.end_of(role, since)
        self.assertIn(end, (None, "signal 6", "status 1"), f"{role}, allocation {number}: {self.gateway.log()[since:][-3000:]}")
        if self.note_deaths(since):
            with open(self.gateway.log_path, encoding="utf-8") as file:
                file.seek(since)
                self.assertRegex(file.read(), "postern: (panic|fatal): ")
            self.gateway.end()
            self.gateway.start()
        return end or ("went on" if self.orders.get(role, "failed") else "not reached")

    @needs_root
    def test_r9_no_memory_at_an_allocation(self):
        step, ends = int(os.environ.get("ALLOCATIONS_STEP", "0")), {}
        for role in ROLES:
            before = self.orders.get(role, "allocations")
            self.live("r9-counted-" + role)
            total = self.orders.get(role, "allocations") - before
            step = min(step, total // FEW)
            numbers = range(1 + random.randrange(step), total + 1, step) if step else random.sample(range(1, total + 1), min(FEW, total))
            ends[role] = [self.run_out(role, number) for number in numbers]
            print(f"{role}: {total} allocations in a life; " + ", ".join(f"{ends[role].count(end)} {end}" for end in sorted(set(ends[role]))), file=sys.stderr, flush=True)
        self.assertIn("signal 6", [end for each in ends.values() for end in each])
        self.settle()

    @needs_root
    def test_r9_an_address_space_that_is_full(self):
        """Roles start with little more than they use at rest, and get a crowd."""
        sizes, before = [], resource.getrlimit(resource.RLIMIT_AS)
        self.live("r9-space-rest")
        for pid in self.gateway.roles().values():
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                sizes += [int(line.split()[1]) * 1024 for line in file if line.startswith("VmSize:")]
        since = os.path.getsize(self.gateway.log_path)
        self.gateway.end()
        resource.setrlimit(resource.RLIMIT_AS, (max(sizes) + (1 << 20), before[1]))
        try:
            self.gateway.start()
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
        crowd = [self.sender() for _ in range(12)]
        letters = [Letter(f"r9-space-{number}", ("take",), 1000000 if number % 2 else 200000) for number in range(len(crowd))]
        for sender, letter in zip(crowd, letters):
            self.begin(sender, letter)
        had_final = list(futures.ThreadPoolExecutor(len(crowd)).map(lambda pair: pair[0].attempt(pair[1]), zip(crowd, letters)))
        ends = {f"{d['name']}: {'signal' if d['signal'] else 'status'} {d['signal'] or d['status']}" for d in self.deaths(since)}
        print(f"with 1 MB left: {sum(had_final)} of {len(letters)} letters taken at once; ends: {', '.join(sorted(ends)) or 'none'}", file=sys.stderr, flush=True)
        self.assertEqual([end for end in ends if not end.endswith(("signal 6", "status 1"))], [])
        self.note_deaths(since)
        self.note_kill("all")
        self.fell()
        self.gateway.start()
        for sender, letter, final in zip(crowd, letters, had_final):
            if not final:
                wait_until("it is taken", lambda: sender.attempt(letter))
            sender.forget()
        self.settle()

    # --- R10

    @needs_root
    def test_r10_calls_that_are_interrupted_or_do_a_part(self):
        since = os.path.getsize(self.gateway.log_path)
        for role in ROLES:
            self.orders.put(role, "one_in", 3)
        for round_number in range(int(os.environ.get("SPOILT_ROUNDS", "1"))):
            done = subprocess.run(self.sender_words(f"r10-{round_number}", "--sessions", "6", "--count", "6"), capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.live(f"r10-life-{round_number}")
        spoilt = {role: self.orders.get(role, "spoilt") for role in ROLES}
        print("calls spoilt: " + ", ".join(f"{role} {count}" for role, count in spoilt.items()), file=sys.stderr, flush=True)
        for role in ROLES:
            self.orders.put(role, "one_in", 0)
            self.assertGreater(spoilt[role], 0)
        self.assertEqual(self.deaths(since), [])
        self.settle()


if __name__ == "__main__":
    unittest.main()
