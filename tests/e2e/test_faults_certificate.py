"""R12: certificates are changed under load, broken, taken away and outlived. Old sessions keep what they shook hands on, a reload that cannot be used changes
nothing, and nothing is said in the clear that was not before."""
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import unittest

import chaos
from harness import submit, wait_until


class R12(chaos.Chaos):
    """One authority for all certificates of the house, which its clients trust."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.place = os.path.join(cls.class_directory, "pki")
        os.mkdir(cls.place)
        cls.number = 0
        cls.openssl("req", "-x509", *cls.curve("ca"), "-days", "3650", "-subj", "/CN=house")
        cls.trust = os.path.join(cls.place, "ca.pem")

    @classmethod
    def curve(cls, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{cls.place}/{name}.key", "-out", f"{cls.place}/{name}.pem"]

    @staticmethod
    def openssl(*words, **more):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60, **more)

    def certificate(self, days=90):
        """A new one; returns its serial number."""
        type(self).number += 1
        name, serial = f"{self.place}/leaf{self.number}", 1000 + self.number
        self.openssl("req", *self.curve(f"leaf{self.number}")[:-2], "-out", f"{name}.csr", "-subj", "/CN=localhost")
        with open(f"{name}.ext", "w", encoding="utf-8") as file:
            file.write("subjectAltName = DNS:localhost\n")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", self.trust, "-CAkey", f"{self.place}/ca.key", "-set_serial", str(serial), "-days", str(days),
                     "-out", f"{name}.pem", "-extfile", f"{name}.ext")
        return serial

    def put(self, certificate=None, key=None):
        """The newest certificate, or what is given, in its place; then a reload, whose outcome is returned."""
        for source, target in ((certificate or f"{self.place}/leaf{self.number}.pem", "server.pem"), (key or f"{self.place}/leaf{self.number}.key", "server.key")):
            shutil.copy(source, os.path.join(self.gateway.data, target + ".new"))
            os.rename(os.path.join(self.gateway.data, target + ".new"), os.path.join(self.gateway.data, target))
        return self.reload()

    def reload(self):
        def count(event):
            return self.gateway.log().count(f'"{event}"')
        done, refused = count("role.reloaded"), count("role.reload_refused")
        os.kill(self.gateway.process.pid, 1)
        return wait_until("the reload ends", lambda: "good" if count("role.reloaded") >= done + 5 else "bad" if count("role.reload_refused") > refused else None)

    def context(self):
        context = ssl.create_default_context(cafile=self.trust)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def session(self):
        session = smtplib.SMTP("localhost", self.gateway.ports["submission"], timeout=60)
        session.starttls(context=self.context())
        session.login("erp", self.password)
        return session

    def serial(self, session=None):
        der = (session or self.session()).sock.getpeercert(True)
        return int(subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-serial"], input=der, capture_output=True, check=True).stdout.split(b"=")[1], 16)

    def sends(self, session):
        self.assertEqual(submit(session, text=self.next_letter())[0], 250)
        self.gone_once()

    def test_r12_swapped_under_load(self):
        """Old sessions keep what they shook hands on and go on; new ones get the new certificate; nobody is turned away meanwhile."""
        first = self.certificate()
        self.assertEqual(self.put(), "good")
        old, failures, end = self.session(), [], threading.Event()

        def load():
            while not end.is_set():
                try:
                    with self.session() as session:
                        session.noop()
                except (OSError, smtplib.SMTPException) as failure:
                    failures.append(failure)
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            self.assertEqual(self.serial(old), first)
            for _ in range(20 if chaos.PROVE else 3):
                newest = self.certificate()
                self.assertEqual(self.put(), "good")
                self.assertEqual(self.serial(), newest)
                self.sends(old)
        finally:
            end.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.serial(old), first)
        old.close()

    def test_r12_what_cannot_be_used_changes_nothing(self):
        newest = self.certificate()
        self.assertEqual(self.put(), "good")
        good = f"{self.place}/leaf{self.number}"
        empty, nonsense = f"{self.place}/empty", f"{self.place}/nonsense"
        for path, text in ((empty, ""), (nonsense, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        self.certificate()
        other = f"{self.place}/leaf{self.number}"
        for certificate, key in ((f"{good}.pem", f"{other}.key"), (empty, f"{good}.key"), (f"{good}.pem", empty), (nonsense, f"{good}.key")):
            with self.subTest(certificate=certificate, key=key):
                self.assertEqual(self.put(certificate, key), "bad")
                self.assertEqual(self.serial(), newest)
        for name in ("server.key", "server.pem"):
            with self.subTest(name):
                self.put(f"{good}.pem", f"{good}.key")
                os.remove(os.path.join(self.gateway.data, name))
                self.assertEqual(self.reload(), "bad")
                self.assertEqual(self.serial(), newest)
        self.assertEqual(self.put(f"{good}.pem", f"{good}.key"), "good")
        self.sends(self.session())

    def test_r12_expired_is_said_and_never_plain_text(self):
        """It goes on being offered, since a client that does not look is still better off than without; AUTH is not offered in the clear."""
        for days in (29, 1, -1):
            with self.subTest(days):
                serial = self.certificate(days)
                before = self.gateway.log().count("keeper.certificate_ends")
                self.assertEqual(self.put(), "good")
                wait_until("it is said", lambda: self.gateway.log().count("keeper.certificate_ends") > before)
                self.assertEqual(self.serial(), serial)
                with socket.create_connection(("127.0.0.1", self.gateway.ports["submission"]), timeout=60) as plain:
                    reader = plain.makefile("rb")
                    reader.readline()
                    plain.sendall(b"EHLO client.example\r\n")
                    lines = []
                    while not lines or lines[-1][3:4] == b"-":
                        lines.append(reader.readline())
                    self.assertFalse(any(b"AUTH" in line for line in lines), lines)
                    plain.sendall(b"AUTH PLAIN AGVycAB4\r\n")
                    self.assertEqual(reader.readline()[:3], b"530")
        self.certificate()
        self.assertEqual(self.put(), "good")


if __name__ == "__main__":
    unittest.main()
