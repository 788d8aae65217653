"""What tests/package/run shows, step by step, in a root of its own and on a network of its own: `story.py WORK`."""
import os
import re
import sqlite3
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(SOURCE, "tests", "e2e"))

WORK = sys.argv[1]
ROOT = os.path.join(WORK, "root")
# The harness starts this program: the one that the package brought, in its root.
os.makedirs(os.path.join(WORK, "bin", "chroot"))
WRAPPER = os.path.join(WORK, "bin", "chroot", "postern")
with open(WRAPPER, "w", encoding="utf-8") as file:
    file.write(f'#!/bin/sh\nexec chroot "{ROOT}" /usr/bin/postern "$@"\n')
os.chmod(WRAPPER, 0o755)
os.environ.update(BUILD=os.path.join(WORK, "bin"), FLAVOUR="chroot")

import harness  # noqa: E402
import peers  # noqa: E402
from harness import ALEX, MARIA, MARIA_PASSWORD, Failed, Postern, Process, Twin, wait_until  # noqa: E402

QUEUED = int(os.environ.get("PACKAGE_QUEUED", "300"))
LEDGER = [sys.executable, os.path.join(SOURCE, "tools", "ledger")]


def step(text):
    print(f"--- {text}", flush=True)


def check(so, what):
    if not so:
        raise SystemExit(f"FAILED: {what}")


def inside(*words, good=True, **more):
    """Runs something in the root; returns what it said."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
    done = subprocess.run(["chroot", ROOT, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, check=False, **more)
    check((done.returncode == 0) == good, f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def install(name, good=True):
    return inside("dpkg", "--force-confold", "--force-downgrade", "-i", "/" + name, good=good)


def version():
    return inside("dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", "postern")


def files():
    """Everything in the root but what dpkg and the system write down for themselves."""
    left_out = re.compile(r"^/(proc|dev|sys|tmp|new\.deb|previous\.deb|var/(lib/dpkg|log|cache|lib/systemd/deb-systemd-helper.*|lib/apt)|etc/.*-|etc/\.pwd\.lock|etc/(machine-id|resolv.conf)|"
                          r"run|var/tmp)(/|$)")
    found = set()
    for folder, names, others in os.walk(ROOT):
        for name in names + others:
            path = os.path.join(folder, name)[len(ROOT):]
            if not left_out.match(path):
                found.add(path)
    return found


def accounts():
    found = set()
    for name in ("passwd", "group"):
        with open(os.path.join(ROOT, "etc", name), encoding="utf-8") as file:
            found |= {name + ":" + line.split(":")[0] for line in file}
    return found


class Installed(Postern):
    """The package's own Postern: its boot file, its data directory."""

    def __init__(self, directory):
        self.directory, self.name, self.extra_env = directory, "postern", {}
        self.data = "/var/lib/postern"
        self.roles_read, self.roles_found = 0, {}

    def start(self):
        # As the unit does.
        Process.__init__(self, self.directory, self.name, [WRAPPER, "serve", "--config", "/etc/postern/postern.conf"], harness.environment())
        self.line("ready")
        self.ports = dict(submission=587, submissions=465, devices=25, web=8443)

    @property
    def ca(self):
        return os.path.join(ROOT, "etc/postern/ca.pem")


def configure(twin, authority):
    """What an administrator writes: whom to trust besides, and patience for tests."""
    with open(os.path.join(ROOT, "etc/postern/extra-ca.pem"), "w", encoding="utf-8") as out:
        for path in (twin.ca, authority.ca):
            with open(path, encoding="utf-8") as file:
                out.write(file.read())
    path = os.path.join(ROOT, "etc/postern/postern.conf")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write('extra_ca_file = "/etc/postern/extra-ca.pem"\nprobe_first_ms = 200\nprobe_longest = 1\nretry_first = 1\nretry_longest = 1\nsegment_bytes = 4194304\n' + text)


def sender(gateway, seed, *more):
    return [*LEDGER, "send", "--notes", os.path.join(WORK, "sent"), "--port", str(gateway.ports["submission"]), "--ca", gateway.ca, "--user", "erp",
            "--password-file", os.path.join(WORK, "password"), "--sender", ALEX, MARIA, "--seed", seed, *more]


def owners(folder):
    return {os.stat(os.path.join(where, name)).st_uid for where, _, names in os.walk(os.path.join(ROOT, folder)) for name in names}


def forge(path, at, number, order):
    """Makes a file say that a newer version wrote it; returns what undoes that."""
    with open(os.path.join(ROOT, path), "r+b") as file:
        file.seek(at)
        before = file.read(4)
        file.seek(at)
        file.write(number.to_bytes(4, order))

    def undo():
        with open(os.path.join(ROOT, path), "r+b") as file:
            file.seek(at)
            file.write(before)
    return undo


def later_schema(path):
    """As if a newer version had migrated it."""
    def become(number):
        connection = sqlite3.connect(os.path.join(ROOT, path))
        before = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return before
    before = become(99)
    return lambda: become(before)


def refused_by_program(config="/etc/postern/postern.conf"):
    return inside("timeout", "20", "/usr/bin/postern", "serve", "--config", config, good=False)


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in ("proc", "dev"):
        subprocess.run(["mount", "--rbind", "/" + name, os.path.join(ROOT, name)], check=True)
    before, accounts_before = files(), accounts()

    step("the previous version is installed")
    told = install("previous.deb")
    check("postern init" in told, f"the first installation says what comes next: {told}")
    check({"passwd:postern-gate", "passwd:postern-vault", "passwd:postern-post", "passwd:postern-desk", "group:postern"} <= accounts(), "users of the roles")
    check(oct(os.stat(os.path.join(ROOT, "var/lib/postern")).st_mode & 0o777) == "0o711", "the data directory")
    check(not os.path.exists(os.path.join(ROOT, "etc/postern/kek")), "nothing was configured by itself")
    inside("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/postern.service")

    step("a key and a certificate are made; the main job runs")
    inside("postern", "init", "--host-name", "localhost")
    check(os.stat(os.path.join(ROOT, "etc/postern/kek")).st_mode & 0o777 == 0o600, "the key is root's alone")
    inside("postern", "check")
    twin_directory = os.path.join(WORK, "twin")
    os.makedirs(twin_directory)
    harness.PROGRAM = os.path.join(ROOT, "usr/bin/postern")
    twin = Twin(twin_directory)
    harness.PROGRAM = WRAPPER
    twin.switch("messages_per_minute", 0)
    authority = peers.Authority(WORK)
    received = os.path.join(WORK, "received")
    sink = Process(WORK, "sink", [*LEDGER, "sink", "--notes", received, "--certificate", authority.certificate, "--key", authority.key])
    sink_port = sink.line("ready").split()[1]
    configure(twin, authority)
    gateway = Installed(WORK)
    gateway.start()
    gateway.add_mailbox(twin)
    gateway.add_mailbox(twin, MARIA)
    for address, more in ((ALEX, ()), (MARIA, (MARIA_PASSWORD,))):
        browser = gateway.link_mailbox(twin, address, *more)
        check(browser.status == 200, browser.words())
    password = gateway.add_client("erp", (ALEX, MARIA), "contoso", "--verdict-wait", "1000ms")
    with open(os.path.join(WORK, "password"), "w", encoding="utf-8") as file:
        file.write(password)
    with harness.smtp(gateway, password=password) as session:
        code, reply = harness.submit(session)
    check(code == 250 and "accepted by" in reply, f"{code} {reply}")
    wait_until("the mail is at the provider", lambda: len(twin.mail()) == 1)
    check(len(owners("var/lib/postern/vault") | owners("var/lib/postern/spool")) == 2, "vault and spool belong to users of their own")

    step(f"{QUEUED} messages wait; more come while the new version is installed")
    gateway.command("provider", "set", "m365", "--smtp-port", "1")
    done = subprocess.run(sender(gateway, "queued", "--sessions", "10", "--count", str(QUEUED // 10)), capture_output=True, text=True, check=False)
    check(done.returncode == 0, done.stdout + done.stderr)
    senders = Process(WORK, "senders", sender(gateway, "during", "--sessions", "4", "--pause-ms", "50"))
    time.sleep(1)
    old_version = version()
    install("new.deb")
    check(version() != old_version and version().endswith(" installed"), version())
    check(gateway.process.poll() is None, "the old one still serves until it is restarted")
    gateway.kill("post")  # what dies meanwhile comes back as the version that runs
    wait_until("post is back", lambda: answers(gateway))
    listed = len(gateway.command("queue", "list", "--limit", "1000")["items"])
    check(listed >= QUEUED * 9 // 10 or listed == 1000, f"only {listed} messages wait")
    check(gateway.end() == 0, "it drains and ends well")
    gateway.start()
    check(answers(gateway), "the new one answers")
    time.sleep(1)
    check(senders.end() == 0, senders.log()[-2000:])
    gateway.command("provider", "set", "m365", "--smtp-port", sink_port)
    wait_until("the queue is empty", lambda: gateway.command("queue", "list")["items"] == [], 300)
    judge = subprocess.run([*LEDGER, "check", "--sent", os.path.join(WORK, "sent"), "--received", received], capture_output=True, text=True, check=False)
    print(*(line for line in judge.stdout.splitlines() if line.startswith("letters")), flush=True)
    # The kill of post above is the only reason for a second copy; with the provider away nothing was under way.
    check(judge.returncode == 0, judge.stdout)

    step("a backup is taken; it goes into an empty directory")
    inside("postern", "backup", "/root/one.backup")
    inside("postern", "restore", "/root/one.backup", "--check")
    os.remove(os.path.join(ROOT, "root/one.backup"))

    step("a downgrade is refused where it cannot read what is there")
    gateway.end()
    for path in ("var/lib/postern/vault/vault.db", "var/lib/postern/spool/index.db"):
        undo = later_schema(path)
        told = install("previous.deb", good=False)
        check("newer version" in told and "99" in told, told)
        check(version() == f"{new_version()} installed", version())
        told = refused_by_program()
        check("newer" in told or "99" in told, told)
        undo()
    segment = "var/lib/postern/spool/" + sorted(n for n in os.listdir(os.path.join(ROOT, "var/lib/postern/spool")) if n.startswith("segment-"))[0]
    undo = forge(segment, 12, 99, "little")
    told = install("previous.deb", good=False)
    check("newer version" in told, told)
    undo()
    step("and goes through where it can; then the new version again")
    install("previous.deb")
    gateway.start()
    gateway.end()
    install("new.deb")
    gateway.start()
    gateway.end()

    step("removed, the data stays; purged, nothing is left")
    inside("dpkg", "--remove", "postern")
    check(os.path.exists(os.path.join(ROOT, "var/lib/postern/vault/vault.db")) and os.path.exists(os.path.join(ROOT, "etc/postern/kek")), "removing keeps the data")
    check(not os.path.exists(os.path.join(ROOT, "usr/bin/postern")), "the program is gone")
    inside("dpkg", "--purge", "postern")
    check(files() == before, f"left behind: {sorted(files() - before)}; taken along: {sorted(before - files())}")
    check(accounts() == accounts_before, f"accounts left behind: {accounts() - accounts_before}")
    twin.end()
    sink.end()
    print("package: all steps are good", flush=True)


def answers(gateway):
    try:
        return gateway.command("queue", "list", "--limit", "1") and gateway.command("org", "list")
    except Failed:
        return None


def new_version():
    return inside("dpkg-deb", "-f", "/new.deb", "Version").strip()


if __name__ == "__main__":
    main()
