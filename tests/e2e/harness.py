"""What the end-to-end tests share: a Postern and a twin in directories of their own on free ports, a browser without a screen, an SMTP client.

Nothing here decides whether a test passes; it starts things, types what a person would type, and ends everything.
"""
import functools
import http.client
import http.cookiejar
import html.parser
import json
import os
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PROGRAM = os.path.join(BUILD, os.environ.get("FLAVOUR", "asan"), "postern")
PATIENCE = 60

TENANT = "contoso.example"
APP_ID = "5b1e7c7a-0f0e-4d5b-9a51-2f6d1c1c9a01"
APP_SECRET = "twn8Q~Contoso.demo.client.secret"
ALEX, ALEX_PASSWORD, APP_PASSWORD = "alex@contoso.example", "Correct-Horse-7", "bdfhjlnprtvxzbdf"
MARIA, MARIA_PASSWORD = "maria@contoso.example", "Pain-Au-Chocolat-9"


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("POSTERN_", "LC_", "LANG")) and "proxy" not in k.lower()}
    # A role that is killed or undumpable cannot be searched for leaks; the unit tests do that. Freed memory that the sanitizer keeps back (256 MB
    # unless it is told less) would look like growth.
    kept.update(LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0:quarantine_size_mb=16", UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    kept.update(more)
    return kept


def wait_until(what, is_so, patience=PATIENCE):
    """Polls; the time is a ceiling against hanging, never an expectation."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        result = is_so()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}")


def as_root(words):
    """The command line that runs them as root, where need be in a user namespace in which an ordinary user is root; it takes subordinate ids."""
    return list(words) if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--", *words]


def needs_root(test):
    """For what the system grants to root alone. An ordinary user has the test run in a namespace, and gets its verdict."""
    @functools.wraps(test)
    def run(self):
        if os.geteuid() == 0:
            test(self)
            return
        words = as_root([sys.executable, "-W", "ignore::ResourceWarning", "-m", "unittest", self.id()])
        done = subprocess.run(words, cwd=os.path.dirname(os.path.abspath(__file__)), capture_output=True, text=True, timeout=10 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"Ran 1 test")
        self.assertNotIn("skipped", done.stderr)
    return run


class Process:
    """A program in the background, its output in files."""

    def __init__(self, directory, name, words, env=None):
        self.log_path = os.path.join(directory, name + ".log")
        self.out_path = os.path.join(directory, name + ".out")
        with open(self.log_path, "ab") as log, open(self.out_path, "wb") as out:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=env or environment(), start_new_session=True)

    def output(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def line(self, beginning):
        def look():
            for line in self.output().split("\n"):
                if line.startswith(beginning):
                    return line
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before `{beginning}`:\n{self.log()[-4000:]}")
            return None
        return wait_until(f"line `{beginning}`", look)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        return self.process.returncode


class Twin(Process):
    def __init__(self, directory, config=None, client_ca=None):
        words = [PROGRAM, "twin", "--data", os.path.join(directory, "twin"), "--smtp-port", "0", "--http-port", "0"]
        if client_ca:
            words += ["--client-ca", client_ca]
        if config:
            words += ["--config", config]
        super().__init__(directory, "twin", words)
        ready = dict(part.split("=", 1) for part in self.line("ready ").split()[1:])
        self.smtp_port = int(ready["smtp"].rsplit(":", 1)[1])
        self.google_port, self.google_tls_port = (int(ready[name].rsplit(":", 1)[1]) for name in ("google", "google_tls"))
        self.mx_port = int(ready["mx"].rsplit(":", 1)[1])
        self.url = ready["http"]
        self.ca = ready["ca"]
        self.secure_url = ready["https"]

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
            text = answer.read()
            return json.loads(text) if text else {}

    def switch(self, name, value, mailbox=None):
        return self.ask("/twin/switch", {"name": name, "value": str(value), **({"mailbox": mailbox} if mailbox else {})})

    def fault(self, name, **more):
        return self.ask("/twin/fault", {"name": name, **more})

    def reset(self, what="all"):
        return self.ask("/twin/reset", {"what": what})

    def mail(self):
        return self.ask("/twin/mail")["items"]

    def raw(self, number):
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{self.url}/twin/mail/{number}/raw", timeout=PATIENCE) as answer:
            return answer.read()

    def code(self, address):
        return self.ask("/twin/code?address=" + urllib.parse.quote(address))["code"]


class Failed(Exception):
    def __init__(self, code, output):
        super().__init__(f"exit {code}: {output}")
        self.code, self.output = code, output


class Postern(Process):
    """`more` goes into the boot file; `listeners` replaces those that init wrote."""

    only_its_page = True  # whether a role that calls what is not on its page (tables/confine.def) fails the test

    def __init__(self, directory, twin=None, more="", listeners=None, name="postern", env=None):
        self.directory = directory
        self.data = os.path.join(directory, name + "-data")
        self.extra_env = env or {}
        if not os.path.exists(self.data):
            self.command("init", "--host-name", "localhost", json_answer=False)
            self.configure(twin, more, listeners)
        self.name = name
        self.roles_read, self.roles_found = 0, {}
        self.start()

    def configure(self, twin, more, listeners):
        path = os.path.join(self.data, "postern.conf")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if listeners is not None:
            text = text[:text.index("\nlistener ")] + "\n" + listeners
        text = re.sub(r"port = \d+", "port = 0", text)
        head = "probe_first_ms = 200\nretry_first = 1\n"
        if twin:
            head += f'extra_ca_file = "{twin.ca}"\n'
        with open(path, "w", encoding="utf-8") as file:
            file.write(head + more + "\n" + text)

    def start(self):
        super().__init__(self.directory, self.name, [PROGRAM, "serve", "--data", self.data], environment(**self.extra_env))
        self.read_ports()

    def read_ports(self):
        self.line("ready")
        self.ports = {}
        for line in self.output().split("\n"):
            found = re.match(r"listening (\S+) (?:127\.0\.0\.1|0\.0\.0\.0):(\d+)$", line)
            if found:
                self.ports[found.group(1)] = int(found.group(2))

    @property
    def ca(self):
        return os.path.join(self.data, "ca.pem")

    def command(self, *words, json_answer=True, stdin="", env=None):
        """Types `postern WORDS --data ...`; returns what it printed, parsed where it is JSON. Failed otherwise."""
        line = [PROGRAM, *words, "--data", self.data] + (["--json"] if json_answer else [])
        done = subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=PATIENCE, env=environment(**(env or {})))
        if done.returncode:
            raise Failed(done.returncode, done.stdout + done.stderr)
        return json.loads(done.stdout) if json_answer and done.stdout.strip() else done.stdout

    def roles(self):
        """Process ids by name, from the newest start of each in the log; what was read before is not read again."""
        with open(self.log_path, "rb") as file:
            file.seek(self.roles_read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.roles_read += len(line)
                if b'"keeper.role_started"' in line:
                    record = json.loads(line)
                    self.roles_found[record["name"]] = int(record["pid"])
        return dict(self.roles_found)

    def end(self):
        code = super().end()
        strange = [line for line in self.log().split("\n") if "keeper.forbidden_call" in line]
        if strange and self.only_its_page:
            raise AssertionError("a call that is not on the role's page: " + "; ".join(strange[:5]))
        return code

    def kill(self, role):
        os.kill(self.roles()[role], signal.SIGKILL)

    def kill_all(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def back(self, address=ALEX):
        """Waits until a role that was killed is back and answers."""
        def look():
            try:
                return self.command("mailbox", "show", address)["address"] and self.command("queue", "list")
            except Failed:
                return None
        wait_until("all roles answer", look)

    # --- set-up, as an administrator would

    def add_mailbox(self, twin, address=ALEX, org="contoso", provider="m365", **more):
        """Organisation, provider and mailbox where they are not there yet."""
        if not any(o["name"] == org for o in self.command("org", "list")["items"]):
            self.command("org", "add", org)
        if not any(p["name"] == provider for p in self.command("provider", "list")["items"]):
            self.command("provider", "add", provider, "--org", org, "--kind", "microsoft", "--tenant", TENANT, "--client-id", APP_ID, "--client-secret",
                         "--issuer", f"{twin.url}/{TENANT}/v2.0", "--smtp-host", "localhost", "--smtp-port", str(twin.smtp_port), stdin=APP_SECRET)
            self.lift_limits(provider)
        words = [w for pair in more.items() for w in ("--" + pair[0].replace("_", "-"), pair[1])]
        return self.command("mailbox", "add", address, "--org", org, "--provider", provider, *words)

    def lift_limits(self, provider):
        """What a provider allows a mailbox would slow down every test; those about limits set them. Releases of before know none."""
        try:
            self.command("provider", "set", provider, "--messages-per-minute", "0", "--recipients-per-day", "0", "--connections", "0")
        except Failed as failed:
            if "--messages-per-minute" not in str(failed):
                raise

    def add_client(self, name="erp", mailboxes=(ALEX,), org="contoso", *more):
        words = [w for m in mailboxes for w in ("--mailbox", m)]
        return self.command("client", "add", name, "--org", org, *words, *more)["password"]

    def link_mailbox(self, twin, address=ALEX, password=ALEX_PASSWORD, language="en"):
        """Signs in through the real pages; returns the browser on the last of them."""
        link = self.command("mailbox", "link", address)["link"]
        browser = Browser(language)
        browser.open(link)
        browser.submit()
        sign_in(browser, twin, address, password)
        return browser


class Forms(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms, self.words = [], []
        self.hidden = 0

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "form":
            self.forms.append({"action": values.get("action") or "", "method": (values.get("method") or "get").lower(), "fields": {}, "buttons": []})
        elif tag == "input" and self.forms and values.get("name"):
            self.forms[-1]["fields"][values["name"]] = values.get("value") or ""
        elif tag == "button" and self.forms and values.get("name"):
            self.forms[-1]["buttons"].append((values["name"], values.get("value") or ""))
        elif tag in ("style", "head", "script"):
            self.hidden += 1

    def handle_endtag(self, tag):
        if tag in ("style", "head", "script"):
            self.hidden -= 1

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)


class Halting(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not to `halt`: what would be opened next is kept instead."""

    halt = None
    kept = None

    def redirect_request(self, request, *rest):
        if self.halt and rest[-1].startswith(self.halt):
            self.kept = rest[-1]
            return None
        return super().redirect_request(request, *rest)


class Browser:
    """Cookies, redirects, forms; keeps the page it is on."""

    def __init__(self, language="en", ca=None):
        self.redirects = Halting()
        self.jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(strict_ns_domain=0))
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar), self.redirects,
                                                  urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
        self.language = language
        self.url = self.text = ""
        self.status, self.headers = 0, {}

    def fetch(self, url, data=None, headers=None):
        request = urllib.request.Request(url, data=data, headers={"Accept-Language": self.language, **(headers or {})})
        try:
            answer = self.opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.status, self.url, self.headers = answer.status, answer.geturl(), answer.headers
            self.text = answer.read().decode("utf-8", "replace")
        return self

    def open(self, url, **headers):
        return self.fetch(url, headers=headers)

    def page(self):
        forms = Forms()
        forms.feed(self.text)
        return forms

    def words(self):
        return " ".join(" ".join(self.page().words).split())

    def submit(self, form=0, **fields):
        chosen = self.page().forms[form]
        values = dict(chosen["fields"])
        for name, value in fields.items():
            if name not in values and (name, value) not in chosen["buttons"]:
                raise AssertionError(f"the form has no {name}: {chosen}")
            values[name] = value
        url = urllib.parse.urljoin(self.url, chosen["action"])
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(self.url))
        return self.fetch(url, urllib.parse.urlencode(values).encode(), {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded"})


def sign_in(browser, twin, address, password, code=None):
    """From the provider's first page to wherever it sends the browser back."""
    tried = False
    for _ in range(8):
        forms = browser.page().forms
        fields = {name for form in forms for name in form["fields"]} | {b[0] for form in forms for b in form["buttons"]}
        if not browser.url.startswith((twin.url, twin.secure_url)):
            return browser
        if "passwd" in fields:
            number = next(i for i, form in enumerate(forms) if "passwd" in form["fields"])
            browser.submit(number, login=address, passwd=password)
        elif "otc" in fields:
            if tried:
                raise AssertionError("the authenticator code was refused: " + browser.words())
            tried = True
            browser.submit(0, otc=code or twin.code(address))
        elif "ucaccept" in fields:
            browser.submit(0, ucaccept="Yes")
        elif "account" in fields:
            browser.submit(0, account="")
        else:
            return browser
    return browser


def smtp(postern, listener="submission", user="erp", password=None, tls=True):
    """A session of Python's own client, logged in when there is a password."""
    context = ssl.create_default_context(cafile=postern.ca)
    if listener == "submissions":
        session = smtplib.SMTP_SSL("localhost", postern.ports[listener], context=context, timeout=PATIENCE)
    else:
        session = smtplib.SMTP("localhost", postern.ports[listener], timeout=PATIENCE)
        if tls:
            session.starttls(context=context)
    session.ehlo()
    if password:
        session.login(user, password)
    return session


def letter(sender=ALEX, to="someone@fabrikam.example", subject="hello", number=None, body="Dear reader,\r\n\r\nthat is all.\r\n"):
    identity = f"Message-ID: <{number}.{os.getpid()}@client.example>\r\n" if number is not None else ""
    return f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n{identity}\r\n{body}"


def submit(session, sender=ALEX, to="someone@fabrikam.example", text=None):
    """MAIL, RCPT, DATA; returns (code, reply text) of the end of data."""
    code, reply = session.mail(sender)
    if code != 250:
        session.rset()
        return code, reply.decode()
    for address in [to] if isinstance(to, str) else to:
        code, reply = session.rcpt(address)
        if code != 250:
            session.rset()
            return code, reply.decode()
    code, reply = session.data((text or letter(sender, to if isinstance(to, str) else to[0])).encode())
    return code, reply.decode()


class Case(unittest.TestCase):
    """A directory and a twin for the class; `self.postern()` gives a running gateway that ends with the test."""

    maxDiff = None
    twin_config = None

    @classmethod
    def setUpClass(cls):
        cls.class_directory = tempfile.mkdtemp(prefix="postern-test-")
        os.chmod(cls.class_directory, 0o711)  # as root, roles have users of their own and must reach their directories
        cls.addClassCleanup(shutil.rmtree, cls.class_directory, ignore_errors=True)
        cls.twin = Twin(cls.class_directory, cls.twin_config)
        cls.addClassCleanup(cls.twin.end)

    def setUp(self):
        self.twin.reset()
        self.directory = tempfile.mkdtemp(prefix="case-", dir=self.class_directory)
        os.chmod(self.directory, 0o711)

    def postern(self, **more):
        gateway = Postern(self.directory, self.twin, **more)
        self.addCleanup(gateway.end)
        return gateway

    def linked(self, **more):
        """A gateway with alex linked and one client; returns it and the client password."""
        gateway = self.postern(**more)
        gateway.add_mailbox(self.twin)
        browser = gateway.link_mailbox(self.twin)
        self.assertEqual(browser.status, 200, browser.words())
        return gateway, gateway.add_client()
