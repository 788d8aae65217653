"""Speaks to roles as another role does: frames of base/message.h, made from tables/messages.def. And plays the keeper, so that whoever uses it can stand where
gate, post or desk would.
"""
import importlib.machinery
import importlib.util
import os
import re
import socket
import struct
import subprocess
import time

import harness

SIZES = {"u8": "<B", "u32": "<I", "u64": "<Q", "i64": "<q"}
ROLES = {"keeper": 1, "gate": 2, "vault": 4, "post": 8, "desk": 16}
ACCEPTED, REFUSED, QUEUED = 1, 2, 3


def documents():
    loader = importlib.machinery.SourceFileLoader("documents", os.path.join(harness.ROOT, "tools/documents"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("documents", loader))
    loader.exec_module(module)
    return module


def read_table():
    found = {}
    for number, row in enumerate(documents().rows("messages", "MESSAGE"), 1):
        ends = [{end.strip().lower() for end in column.split("|")} for column in row[1:3]]
        ends = [set(ROLES) if "any" in end else end for end in ends]
        found[row[0]] = (number, ends[0], ends[1], row[3] == "FD", re.findall(r"FIELD\((\w+), (\w+)\)", row[4]))
    return found


TABLE = read_table()
NAMES = {row[0]: name for name, row in TABLE.items()}
FAULTS = [row[0] for row in documents().rows("faults", "FAULT")]


def items(*texts):
    """A list field."""
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def recipients(*addresses):
    return items(*[part for address in addresses for part in (address.encode() if isinstance(address, str) else address, b"\0", b"")])


def encode(name, /, **given):
    number, _, _, _, fields = TABLE[name]
    out = b""
    for kind, field in fields:
        value = given.pop(field, 0 if kind in SIZES else b"")
        if kind in SIZES:
            out += struct.pack(SIZES[kind], value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += struct.pack("<I", len(value)) + value
    if given:
        raise AssertionError(f"{name} has no {sorted(given)}")
    return struct.pack("<II", len(out) + 8, number) + out


def decode(frame):
    name = NAMES[struct.unpack_from("<I", frame, 4)[0]]
    at, found = 8, {}
    for kind, field in TABLE[name][4]:
        if kind in SIZES:
            found[field], = struct.unpack_from(SIZES[kind], frame, at)
            at += struct.calcsize(SIZES[kind])
        else:
            size, = struct.unpack_from("<I", frame, at)
            found[field] = frame[at + 4:at + 4 + size]
            at += 4 + size
    if "fault" in found:
        found["fault"] = FAULTS[found["fault"]]
    return name, found


class Ended(Exception):
    """The other side closed the link."""


class Link:
    """One end of a link."""

    def __init__(self, end):
        self.end, self.bytes = end, b""

    def raw(self, data, fds=()):
        self.end.settimeout(harness.PATIENCE)
        try:
            if fds:
                socket.send_fds(self.end, [data], list(fds))
            else:
                self.end.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Ended from error

    def send(self, name, /, fd=None, **fields):
        self.raw(encode(name, **fields), () if fd is None else (fd,))

    def receive(self, patience=harness.PATIENCE):
        """The next message, or None when none comes in time."""
        limit = time.monotonic() + patience
        while len(self.bytes) < 8 or len(self.bytes) < struct.unpack_from("<I", self.bytes)[0]:
            self.end.settimeout(max(limit - time.monotonic(), 0.001))
            try:
                got = self.end.recv(1 << 20)
            except TimeoutError:
                return None
            except ConnectionResetError:
                got = b""
            if not got:
                raise Ended
            self.bytes += got
        size, = struct.unpack_from("<I", self.bytes)
        frame, self.bytes = self.bytes[:size], self.bytes[size:]
        return decode(frame)

    def await_message(self, name, **fields):
        """The next of that name with these fields; others are passed over."""
        while True:
            got = self.receive()
            if got is None:
                raise AssertionError(f"no {name} came")
            if got[0] == name and all(got[1][key] == value for key, value in fields.items()):
                return got[1]

    def await_end(self):
        """Everything that came until the other side hung up."""
        heard = []
        try:
            while True:
                got = self.receive()
                if got is None:
                    raise AssertionError(f"the link was not closed; heard {heard}")
                heard.append(got)
        except Ended:
            return heard

    def ask(self, operation, arguments=b"{}", **more):
        """As desk: calls an operation."""
        request = more.pop("request", time.monotonic_ns())
        self.send("call", request=request, operation=operation, actor="test", arguments=arguments, **more)
        return self.await_message("answer", request=request)

    def close(self):
        self.end.close()


class Role:
    """A process of the shipped program, confined as ever, of which we are the keeper."""

    def __init__(self, name, data, files, log, mac_key=None, listeners=()):
        ours, theirs = socket.socketpair()
        # It moves to where the role looks for it, and that one alone stays open.
        self.process = subprocess.Popen([harness.PROGRAM, "role", name, "0"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                                        env=harness.environment(CONFINE_STRICT="1"), pass_fds=(3,), preexec_fn=lambda: os.dup2(theirs.fileno(), 3))
        theirs.close()
        self.name, self.keeper = name, Link(ours)
        with open(os.path.join(data, "postern.conf"), "rb") as file:
            self.keeper.send("configure", boot=file.read())
        for purpose, path in files:
            fd = os.open(path, os.O_RDONLY)
            self.keeper.send("file", fd=fd, purpose=purpose)
            os.close(fd)
        for listener, end in listeners:
            self.keeper.send("listener", fd=end.fileno(), name=listener)
        if mac_key:
            self.keeper.send("mac_key", key=mac_key)
        self.keeper.send("go")

    def await_ready(self):
        ready = self.keeper.await_message("ready")
        if ready["fault"] != "OK":
            raise AssertionError(f"{self.name}: {ready}")

    def give_peer(self, role, index, end):
        self.keeper.send("peer", fd=end.fileno(), role=ROLES[role], index=index)
        end.close()

    def link_as(self, role, index=0):
        """Our end of a link on which we are that role."""
        ours, theirs = socket.socketpair()
        self.give_peer(role, index, theirs)
        return Link(ours)

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def is_alive(self):
        return self.process.poll() is None

    def end(self):
        self.keeper.close()
        self.process.wait(harness.PATIENCE)


def introduce(one, other):
    ends = socket.socketpair()
    one.give_peer(other.name, 0, ends[0])
    other.give_peer(one.name, 0, ends[1])
