"""Servers and senders that nobody of this project wrote, each started in a directory of its own on free ports of the loopback, and ended.

Postfix wants to be started by root; where the tests run as an ordinary user, it gets a user namespace in which that user is root.
"""
import glob
import json
import os
import signal
import socket
import secrets
import string
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from harness import PATIENCE, ROOT, Process, as_root, wait_until

PEERS = os.path.join(ROOT, "tests", "peers")
CLIENT_ID, CLIENT_SECRET = "postern", "the secret of the registration"


def free_ports(count):
    """Ports that nobody listens on now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def node():
    """The machine's Node where it is new enough, else the one that npm brought."""
    pinned = os.path.join(PEERS, "node", "node_modules", "node", "bin", "node")
    return pinned if os.path.exists(pinned) else "node"


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def fill_in(template, target, **values):
    with open(os.path.join(PEERS, template), encoding="utf-8") as file:
        text = file.read()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    with open(target, "w", encoding="utf-8") as file:
        file.write(text)


class Authority:
    """A certificate authority of one certificate, for localhost or other names."""

    def __init__(self, directory, names=("localhost",), days=825, usage="serverAuth"):
        self.ca = os.path.join(directory, "peers-ca.pem")
        self.certificate = os.path.join(directory, "peers-certificate.pem")
        self.key = os.path.join(directory, "peers-key.pem")
        ca_key, request = os.path.join(directory, "peers-ca-key.pem"), os.path.join(directory, "peers-request.pem")
        extensions = os.path.join(directory, "peers-extensions")
        with open(extensions, "w", encoding="utf-8") as file:
            file.write(f"subjectAltName = {','.join('DNS:' + name for name in names)}\nextendedKeyUsage = {usage}\n")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for words in (["req", "-x509", *curve, "-keyout", ca_key, "-out", self.ca, "-days", str(max(3650, days)), "-subj", "/CN=Peers' authority"],
                      ["req", *curve, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost"],
                      ["x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-out", self.certificate, "-days", str(days), "-extfile", extensions]):
            subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=PATIENCE)
        os.chmod(self.ca, 0o644)


class IdentityProvider(Process):
    """oidc-provider: authorization code with PKCE, device code, rotating refresh tokens, introspection."""

    def __init__(self, directory, redirect_uri, port):
        self.url = f"http://localhost:{port}"
        given = {"port": port, "redirect_uri": redirect_uri, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        super().__init__(directory, "oidc", [node(), os.path.join(PEERS, "oidc.js"), json.dumps(given)])
        self.line("ready")

    def post(self, path, **fields):
        """What the endpoint answers to the registered client, errors too."""
        fields.update(client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            answer = opener.open(self.url + path, urllib.parse.urlencode(fields).encode(), timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return json.load(answer)

    def sign_in(self, browser, name):
        """From the provider's first page to wherever it sends the browser back, or to its last page."""
        for _ in range(8):
            forms = browser.page().forms
            if not browser.url.startswith(self.url) or not forms:
                return browser
            if "login" in forms[0]["fields"]:
                browser.submit(0, login=name, password="any")
            else:
                browser.submit(0)
        return browser

    def forget_access_tokens(self):
        before = len(self.events("access_tokens_forgotten"))
        self.process.send_signal(signal.SIGUSR1)
        wait_until("the access tokens are forgotten", lambda: len(self.events("access_tokens_forgotten")) > before)

    def events(self, name):
        found = [json.loads(line) for line in self.output().split("\n") if line.startswith("{")]
        return [each for each in found if each["event"] == name]


class MailServer:
    """Postfix on two ports (STARTTLS, implicit TLS), its AUTH done by Dovecot; on two more it relays for 127.0.0.9, and for whoever shows a certificate of
    `client_ca`. Its mail is in one maildir."""

    def __init__(self, directory, authority, oidc_port, owner="alex@contoso.example", client_ca=None):
        self.directory = os.path.join(directory, "mail-server")
        self.starttls_port, self.implicit_port, self.relay_port, self.certificate_port, auth_port = free_ports(5)
        dovecot, postfix = os.path.join(self.directory, "dovecot"), os.path.join(self.directory, "postfix")
        for path in (dovecot, postfix):
            os.makedirs(path)
            os.chmod(path, 0o755)
        os.chmod(self.directory, 0o755)
        self.password = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))  # as Google makes them
        with open(os.path.join(dovecot, "passwords"), "w", encoding="utf-8") as file:
            file.write(f"{owner}:{self.password}\n")
        fill_in("dovecot/dovecot.conf", os.path.join(dovecot, "dovecot.conf"), DIRECTORY=dovecot, AUTH_PORT=auth_port)
        fill_in("dovecot/oauth2.conf", os.path.join(dovecot, "oauth2.conf"), OIDC_PORT=oidc_port)
        names = {"DIRECTORY": postfix, "AUTH_PORT": auth_port, "CERTIFICATE": authority.certificate, "KEY": authority.key, "OWNER": owner,
                 "SUBMISSION_PORT": self.starttls_port, "SUBMISSIONS_PORT": self.implicit_port, "RELAY_PORT": self.relay_port, "CERTIFICATE_PORT": self.certificate_port,
                 "CLIENT_CA": client_ca or authority.ca}
        for name in ("main.cf", "master.cf"):
            fill_in(f"postfix/{name}", os.path.join(postfix, name), **names)
        self.processes = []
        try:
            self.start(dovecot, ["dovecot", "-F", "-c", os.path.join(dovecot, "dovecot.conf")], auth_port)
            self.start(postfix, [os.path.join(PEERS, "postfix", "start"), postfix], self.implicit_port)
        except BaseException:
            self.end()
            raise

    def start(self, directory, words, port):
        process = Process(directory, "process", as_root(words))
        self.processes.append(process)

        def is_up():
            if process.process.poll() is not None:
                raise AssertionError(f"{words[0]} ended with {process.process.returncode}:\n{process.output()}{self.log()}")
            return is_listening(port)
        wait_until(f"{words[0]} listens", is_up)

    def log(self):
        text = ""
        for path in glob.glob(os.path.join(self.directory, "*", "*.log")):
            with open(path, encoding="utf-8", errors="replace") as file:
                text += f"--- {path}\n{file.read()}"
        return text

    def mail(self):
        """The messages that arrived, oldest first, as they stand in the maildir."""
        folder = os.path.join(self.directory, "postfix", "mail")
        if os.geteuid():
            subprocess.run(as_root(["chmod", "-R", "a+rX", folder]), check=False, capture_output=True, timeout=PATIENCE)
        paths = glob.glob(os.path.join(folder, "all", "new", "*"))
        found = []
        for path in sorted(paths, key=os.path.getmtime):
            with open(path, "rb") as file:
                found.append(file.read())
        return found

    def end(self):
        for process in reversed(self.processes):
            process.end()
        # What Postfix made belongs to users that an ordinary user cannot clean up after.
        subprocess.run(as_root(["rm", "-rf", self.directory]), check=False, timeout=PATIENCE)
