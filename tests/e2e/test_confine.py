"""Each role against its page (tables/confine.def, docs/reference/role-*.md): all that is not on it fails and is said, all that is on it is needed.

The roles are those of the shipped program, started by its keeper; tests/confine_probe.c is loaded beside it and tries everything from within.
"""
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import unittest

import harness
import trace

PROBE = os.path.join(harness.BUILD, "release", "confine_probe.so")
PROGRAM = os.path.join(harness.BUILD, "release", "postern")
ROLES = ("gate", "vault", "post", "desk")
SETS = {"ALL": ROLES, "GATE": ("gate",), "VAULT": ("vault",), "POST": ("post",), "DESK": ("desk",)}
NOBODY = 65534

# What a role may do after all, because its page says so.
OWN_PLACE = {"own-create", "own-remove"}
ALLOWED = {"gate": set(), "desk": set(), "vault": OWN_PLACE | {"tcp-connect"}, "post": OWN_PLACE | {"tcp-connect", "tcp-bind"}}
# These need a place to try them in, so gate and desk are not asked.
IN_PLACE = {"own-create", "own-rename-out", "own-renameat-out", "own-execute", "own-socket-file", "own-pipe", "own-symlink", "own-set-user-id", "own-remove"}
# An older kernel lets a port be bound, but there is no call to listen with.
BEFORE_LANDLOCK_KNEW_PORTS = {"tcp-bind"} if tuple(int(n) for n in os.uname().release.split(".")[:2]) < (6, 7) else set()
# A call that a page has, with conditions: what the filter lets through is then stopped elsewhere, unheard.
EITHER = {"EPERM", "EACCES", "EXDEV", "ENOSYS"}


def table(macro):
    loader = importlib.machinery.SourceFileLoader("documents", os.path.join(harness.ROOT, "tools/documents"))
    spec = importlib.util.spec_from_loader("documents", loader)
    documents = importlib.util.module_from_spec(spec)
    loader.exec_module(documents)
    return documents.rows("confine", macro)


def sets():
    found = dict(SETS)
    found["FILES"] = tuple(row[0].lower() for row in table("PLACE"))
    for way in ("ACCEPT", "CONNECT"):
        found[way + "ING"] = tuple(row[0].lower() for row in table("NETWORK") if row[1].startswith(way))
    return found


def roles_of(row, known):
    return {role for name in row[0].split("|") for role in known[name.strip()]}


class Probed(harness.Postern):
    """With the probe in every role, and a file of targets as standard input."""

    user = None
    only_its_page = False

    def start(self):
        self.targets = os.path.join(self.directory, "targets")
        self.log_path = os.path.join(self.directory, self.name + ".log")
        self.out_path = os.path.join(self.directory, self.name + ".out")
        as_user = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        open(self.targets, "a", encoding="utf-8").close()
        with open(self.targets, encoding="utf-8") as targets, open(self.log_path, "ab") as log, open(self.out_path, "wb") as out:
            self.process = subprocess.Popen([PROGRAM, "serve", "--data", self.data], stdin=targets, stdout=out, stderr=log, start_new_session=True,
                                            env=harness.environment(LD_PRELOAD=PROBE, CONFINE_STRICT="1"), **as_user)
        self.read_ports()

    def aim(self, **values):
        with open(self.targets, "w", encoding="utf-8") as file:
            file.write("".join(f"{key}={value}\n" for key, value in values.items() if value is not None))

    def events(self, name):
        found = []
        for line in self.log().split("\n"):
            if f'"{name}"' in line:
                found.append(json.loads(line))
        return found

    def probe(self, role, **targets):
        """Tries everything; returns {name: (call, result)}."""
        self.aim(**targets)
        before = len(self.log())
        os.kill(self.roles()[role], signal.SIGUSR1)
        harness.wait_until(f"{role} tried everything", lambda: "PROBE end end done" in self.log()[before:])
        return {name: (call, result) for name, call, result in re.findall(r"^PROBE (\S+) (\S+) (\S+)$", self.log()[before:], re.M) if name != "end"}


class Walls(harness.Case):
    """As root, with a user for each role; and as one ordinary user for all of them."""

    def house(self, user=None):
        if user:
            for folder in (self.class_directory, self.directory):
                os.chmod(folder, 0o777)
        kind = type("ProbedAs", (Probed,), {"user": user})
        gateway = self.raise_house(kind, user)
        self.addCleanup(gateway.end)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind("\0postern-probe")
        abstract.listen()
        self.addCleanup(abstract.close)
        return gateway, listener.getsockname()[1]

    def raise_house(self, kind, user):
        """`init` belongs to whom the daemon belongs to."""
        if not user:
            return kind(self.directory, self.twin)
        data = os.path.join(self.directory, "postern-data")
        subprocess.run([PROGRAM, "init", "--host-name", "localhost", "--data", data], check=True, stdout=subprocess.DEVNULL, env=harness.environment(), user=user,
                       group=user, extra_groups=[])
        path = os.path.join(data, "postern.conf")
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"port = \d+", "port = 0", file.read())
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'extra_ca_file = "{shutil.copy(self.twin.ca, self.directory)}"\n' + text)
        os.chmod(os.path.join(self.directory, os.path.basename(self.twin.ca)), 0o644)
        return kind(self.directory, self.twin)

    def check(self, user):
        gateway, port = self.house(user)
        gateway.add_mailbox(self.twin)
        gateway.link_mailbox(self.twin)
        password = gateway.add_client()
        outside = os.path.join(self.directory, "outside")
        with open(outside, "w", encoding="utf-8") as file:
            file.write("not theirs")
        os.chmod(outside, 0o666)
        places = {row[0].lower(): os.path.join(gateway.data, row[1]) for row in table("PLACE")}
        pids = gateway.roles()
        self.assertEqual(gateway.events("role.not_confined"), [])
        quiet = [event["call"] for event in gateway.events("keeper.forbidden_call")]
        self.assertEqual(quiet, [], "a role called what is not on its page while it only worked")
        for role in ROLES:
            with self.subTest(role=role, user=user or "its own"):
                found = gateway.probe(role, place=places.get(role), data=gateway.data, outside=outside, control=os.path.join(gateway.data, "control.sock"),
                                      other_place=places["vault" if role == "post" else "post"], other=pids["desk" if role == "gate" else "gate"],
                                      keeper=gateway.process.pid, port=port)
                self.assertGreater(len(found), 100 if role in places else 90)
                done = {name for name, (_, result) in found.items() if result == "done"}
                self.assertEqual(done - BEFORE_LANDLOCK_KNEW_PORTS, ALLOWED[role])
                if role not in places:
                    self.assertFalse(IN_PLACE & set(found))
                self.assertEqual({name: result for name, result in found.items() if name not in done and result[1] not in EITHER}, {})
                self.heard(gateway, role, found, places)
        self.assertEqual(gateway.roles(), pids, "somebody died of it")
        with open(outside, encoding="utf-8") as file:
            self.assertEqual(file.read(), "not theirs")
        self.assertFalse(os.path.exists("/tmp/postern-probe"))
        with harness.smtp(gateway, password=password) as session:
            self.assertEqual(harness.submit(session)[0], 250)

    def heard(self, gateway, role, found, places):
        """The keeper names each call that the filter refused; what landlock refuses, the call being on the page, it cannot hear."""
        said = {event["call"] for event in gateway.events("keeper.forbidden_call") if event["name"] == role}
        known = sets()
        on_page = {row[1] for row in table("CALL") if row[2] != "SANITIZED" and role in roles_of(row, known)}
        answered = {row[1] for row in table("ANSWER") if role in roles_of(row, known)}
        tried = {call for call, result in found.values() if result == "EPERM"}
        self.assertEqual(tried - on_page - answered - said, set())
        self.assertTrue({"ptrace", "mount", "execve", "io_uring_setup", "bpf", "keyctl", "kill", "unshare"} <= said, said)
        # Calls that are on the page, but not so.
        self.assertTrue({"tgkill", "mmap", "ioctl"} <= said, said)
        if role in places:
            self.assertTrue({"socket", "socketpair", "fcntl", "prctl", "clone"} <= said, said)

    @harness.needs_root
    def test_as_root(self):
        self.check(None)

    def test_as_an_ordinary_user(self):
        self.check(NOBODY if os.geteuid() == 0 else None)

    @unittest.skipUnless(os.uname().machine == "x86_64", "another machine")
    def test_calls_of_another_architecture_end_the_role(self):
        gateway, _ = self.house()
        os.kill(gateway.roles()["gate"], signal.SIGUSR2)
        died = harness.wait_until("gate died", lambda: gateway.events("keeper.role_died"))
        self.assertEqual((died[0]["name"], died[0]["signal"]), ("gate", signal.SIGSYS))
        self.assertNotIn("PROBE 32-bit", gateway.log())
        harness.wait_until("gate is back", lambda: len([e for e in gateway.events("role.ready") if e["role"] == "gate"]) == 2)


class Pages(harness.Case):
    """Nothing stands on a page for nothing: every row that is said to be usual is seen in a short life with mail, people, a reload and trouble."""

    def live(self, gateway):
        gateway.add_mailbox(self.twin)
        gateway.link_mailbox(self.twin)
        password = gateway.add_client()
        with harness.smtp(gateway, password=password) as session:
            for body in ("short\r\n", ("y" * 70 + "\r\n") * 9000):
                self.assertEqual(harness.submit(session, text=harness.letter(body=body))[0], 250)
        gateway.command("provider", "set", "m365", "--smtp-host", "mail.fabrikam.example")
        with harness.smtp(gateway, password=password) as session:
            self.assertIn("queued", harness.submit(session)[1])
        gateway.command("provider", "set", "m365", "--issuer", f"https://login.fabrikam.example/{harness.TENANT}/v2.0")
        harness.Browser().open(gateway.command("mailbox", "link", harness.ALEX)["link"]).submit()
        browser = harness.Browser()
        browser.open(f"http://localhost:{gateway.ports['web']}/health/ready")
        os.kill(gateway.keeper(), signal.SIGHUP)
        harness.wait_until("the reload", lambda: gateway.log().count("role.reloaded") >= len(ROLES))
        os.kill(gateway.keeper(), signal.SIGTERM)
        gateway.process.wait(harness.PATIENCE)

    @harness.needs_root
    def test_each_usual_row_is_seen(self):
        resolv = os.path.join(self.directory, "resolv.conf")
        with open(resolv, "w", encoding="utf-8") as file:
            file.write("nameserver 127.0.0.1:1\noptions timeout:1 attempts:1\n")
        gateway = trace.Traced(self.directory, self.twin, more=f'resolv_conf = "{resolv}"\nlog_level = debug\n')
        self.addCleanup(gateway.end)
        self.live(gateway)
        calls, known, idle = gateway.calls(), sets(), []
        self.assertEqual(set(calls), set(ROLES))
        for row in table("CALL"):
            self.assertIn(row[2], ("USUAL", "RARE", "SANITIZED"))
            self.assertGreater(len(row[3]), 5, f"{row[1]} has no reason")
            if row[2] != "USUAL":
                continue
            wanted = [value for value in re.findall(r"IS\(\d+, (\w+)\)", " ".join(row[4:]))]
            for role in sorted(roles_of(row, known)):
                seen = [line for line in calls[role].get(row[1], []) if all(spelled(value) in line for value in wanted)]
                if not seen:
                    idle.append(f"{role}: {row[1]} {' '.join(wanted)}")
        self.assertEqual(idle, [], "on the page of a role that did not need it")


def spelled(constant):
    """As strace has it: one number can have two names."""
    return {"SIOCOUTQ": "TIOCOUTQ"}.get(constant, constant)


if __name__ == "__main__":
    unittest.main()
