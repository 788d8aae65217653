"""The package without installing it: what is in it, that it is the same wherever it is built, that its scripts refuse what they should. tests/package/run shows
its life on a bare system.

The program that was built is packed once; with PROVE it is compiled and packed twice, in two places, to the same bytes.
"""
import glob
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

from harness import ROOT

BUILT = os.path.join(ROOT, os.environ.get("BUILD", "build"), "release", "postern")


def run(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, check=False, **more)


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="postern-package-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.debs = []
        proves = bool(os.environ.get("PROVE"))
        for place in ("here", "another/place")[:2 if proves else 1]:
            work = os.path.join(cls.directory, place)
            os.makedirs(work)
            packed = [] if proves else ["--program", BUILT]
            done = run("tools/package", *packed, work, cwd=ROOT, env={**os.environ, "TMPDIR": work, "SOURCE_DATE_EPOCH": "1700000000", "CCACHE_DISABLE": "1"})
            if done.returncode:
                raise AssertionError(done.stdout + done.stderr)
            cls.debs.append(done.stdout.strip())
        cls.tree, cls.scripts = os.path.join(cls.directory, "tree"), os.path.join(cls.directory, "scripts")
        subprocess.run(["dpkg-deb", "-x", cls.debs[0], cls.tree], check=True)
        subprocess.run(["dpkg-deb", "-e", cls.debs[0], cls.scripts], check=True)

    def read(self, path, folder=None):
        with open(os.path.join(folder or self.tree, path), encoding="utf-8") as file:
            return file.read()

    def test_the_same_bytes_wherever_it_is_built(self):
        digests = set()
        for path in self.debs:
            with open(path, "rb") as file:
                digests.add(hashlib.sha256(file.read()).hexdigest())
        self.assertEqual(len(digests), 1)
        for place in self.debs:  # and no place is named in it
            self.assertNotIn(os.path.dirname(place).encode(), self.program())

    def program(self):
        with open(os.path.join(self.tree, "usr/bin/postern"), "rb") as file:
            return file.read()

    def test_what_is_in_it(self):
        for path, mode in (("usr/bin/postern", 0o755), ("lib/systemd/system/postern.service", 0o644), ("usr/lib/sysusers.d/postern.conf", 0o644),
                           ("usr/lib/tmpfiles.d/postern.conf", 0o644), ("etc/postern/postern.conf", 0o644), ("usr/share/bash-completion/completions/postern", 0o644),
                           ("usr/share/doc/postern/copyright", 0o644), ("usr/share/doc/postern/en/first-steps.md", 0o644), ("usr/share/doc/postern/fr/first-steps.md", 0o644),
                           ("usr/share/doc/postern/postern.spdx.json", 0o644)):
            self.assertEqual(os.stat(os.path.join(self.tree, path)).st_mode & 0o7777, mode, path)
        for page in glob.glob(os.path.join(ROOT, "docs/man/*")):
            self.assertTrue(glob.glob(os.path.join(self.tree, "usr/share/man/man*", os.path.basename(page) + ".gz")), page)
        self.assertEqual(self.read("conffiles", self.scripts).split(), ["/etc/postern/postern.conf"])
        owners = {line.split()[1] for line in run("dpkg-deb", "-c", self.debs[0]).stdout.splitlines()}
        self.assertEqual(owners, {"root/root"})
        self.assertNotIn("set -x", self.read("postinst", self.scripts))
        for name in ("preinst", "postinst", "prerm", "postrm"):
            self.assertEqual(run("sh", "-n", os.path.join(self.scripts, name)).returncode, 0, name)
            self.assertNotIn("@", self.read(name, self.scripts).replace("$@", ""), name)
        self.assertEqual(run("bash", "-n", os.path.join(self.tree, "usr/share/bash-completion/completions/postern")).returncode, 0)

    def test_users_for_every_role_and_nobody_else(self):
        with open(os.path.join(ROOT, "keeper/keeper.c"), encoding="utf-8") as file:
            roles = {name.lower() for name in re.findall(r"child_add\(k, ROLE_(\w+),", file.read())}
        users = set(re.findall(r"^u postern-(\w+)", self.read("usr/lib/sysusers.d/postern.conf"), re.M))
        self.assertEqual(users, roles)
        purged = set(re.findall(r"postern-(\w+)", self.read("postrm", self.scripts)))
        self.assertEqual(purged, roles)

    def test_the_unit_is_understood_and_narrow(self):
        unit = os.path.join(self.tree, "lib/systemd/system/postern.service")
        judged = run("systemd-analyze", "security", "--offline=yes", "--threshold=27", unit)
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)
        # As if it stood where it will: the program is then found.
        here = os.path.join(self.directory, "postern.service")
        with open(here, "w", encoding="utf-8") as file:
            file.write(self.read("lib/systemd/system/postern.service").replace("/usr/bin/postern", BUILT))
        told = run("systemd-analyze", "verify", "--man=no", here)
        self.assertEqual((told.returncode, told.stderr), (0, ""))

    def test_the_boot_file_is_one(self):
        data = os.path.join(self.directory, "data")
        path = os.path.join(self.directory, "etc")
        text = self.read("etc/postern/postern.conf").replace("/var/lib/postern", data).replace("/etc/postern", path)
        os.makedirs(path)
        with open(os.path.join(path, "postern.conf"), "w", encoding="utf-8") as file:
            file.write(text)
        made = run(BUILT, "init", "--data", data, "--config-dir", path, "--host-name", "localhost")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertNotIn("postern.conf", made.stdout)
        self.assertEqual(os.listdir(data), [])
        shutil.copy(os.path.join(path, "postern.conf"), data)
        checked = run(BUILT, "check", "--data", data)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_the_bill_names_every_library(self):
        bill = json.loads(self.read("usr/share/doc/postern/postern.spdx.json"))
        self.assertEqual((bill["spdxVersion"], bill["creationInfo"]["created"]), ("SPDX-2.3", "2023-11-14T22:13:20Z"))
        packages = {p["SPDXID"]: p for p in bill["packages"]}
        linked = {r["relatedSpdxElement"] for r in bill["relationships"] if r["relationshipType"] == "DYNAMIC_LINK"}
        wanted = set()
        for name in re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-d", os.path.join(self.tree, "usr/bin/postern")).stdout):
            path = re.search(rf"(/\S*{re.escape(name)}) \(", run("ldd", BUILT).stdout).group(1)
            owner = run("dpkg-query", "-S", os.path.realpath(path)).stdout or run("dpkg-query", "-S", os.path.realpath(path).replace("/usr/lib", "/lib", 1)).stdout
            wanted.add("SPDXRef-" + owner.split(":")[0])
        self.assertEqual(linked, wanted)
        for spdx in linked:
            version = run("dpkg-query", "-W", "-f", "${Version}", packages[spdx]["name"]).stdout
            self.assertIn(packages[spdx]["versionInfo"], version)
        self.assertIn("node-llhttp", {p["name"] for p in bill["packages"]})
        self.assertEqual(len(packages), len(bill["packages"]))
        known = set(packages) | {"SPDXRef-DOCUMENT"}
        for relation in bill["relationships"]:
            self.assertLessEqual({relation["spdxElementId"], relation["relatedSpdxElement"]}, known)

    def preinst(self, data, *words):
        path = os.path.join(self.directory, "preinst")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.read("preinst", self.scripts).replace("/etc/postern/postern.conf", os.path.join(self.directory, "boot")))
        with open(os.path.join(self.directory, "boot"), "w", encoding="utf-8") as file:
            file.write(f'# a boot file\ndata = "{data}"\n')
        return run("sh", path, *words)

    def test_a_downgrade_that_could_not_read_the_data_is_refused(self):
        for number, (make, good) in enumerate((
                (None, True),
                (lambda d: self.database(d, "vault/vault.db", 1), True),
                (lambda d: self.database(d, "vault/vault.db", 99), False),
                (lambda d: self.database(d, "spool/index.db", 1), True),
                (lambda d: self.database(d, "spool/index.db", 99), False),
                (lambda d: self.segment(d, 1, 1), True),
                (lambda d: self.segment(d, 0, 0), True),
                (lambda d: self.segment(d, 99, 0), False),
                (lambda d: self.segment(d, 1, 99), False))):
            data = os.path.join(self.directory, f"data {number}")
            os.makedirs(os.path.join(data, "vault"))
            os.makedirs(os.path.join(data, "spool"))
            if make:
                make(data)
            for words in (("upgrade", "9.9"), ("install", "9.9")):
                told = self.preinst(data, *words)
                self.assertEqual(told.returncode == 0, good, f"{number}: {told.stdout}{told.stderr}")
                self.assertEqual("newer version" in told.stderr, not good)
            self.assertEqual(self.preinst(data, "abort-upgrade", "9.9").returncode, 0)

    def database(self, data, name, version):
        connection = sqlite3.connect(os.path.join(data, name))
        connection.execute("CREATE TABLE t (x)")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()

    def segment(self, data, first, second):
        with open(os.path.join(data, "spool/segment-000001"), "wb") as file:
            for number in (first, second):
                file.write((b"PSTNSEG1" + bytes(4) + number.to_bytes(4, "little")).ljust(4096, b"\0"))


if __name__ == "__main__":
    unittest.main()
