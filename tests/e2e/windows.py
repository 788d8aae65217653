"""Which step of a message's life a kill has hit, read from the log that the killed left behind (level debug: `post.step`, `gate.step`).

A role says a step as it takes it, by one write; so the last step it said of a message is where the message was when the role died.
"""
import json

POST, GATE, VAULT = "post", "gate", "vault"

# Name: what it is, and whose death counts as a hit.
WINDOWS = {
    "grant": ("a client's grant is asked for", {GATE, VAULT}),
    "receiving": ("the body is being received", {GATE, POST}),
    "gathered": ("gathered, before its commit", {POST}),
    "committing": ("the commit is under way", {POST}),
    "committed": ("committed, before the try", {POST}),
    "asking": ("a token is asked for", {POST, VAULT}),
    "connecting": ("connecting", {POST}),
    "signing_in": ("signing in", {POST}),
    "envelope": ("from MAIL to DATA", {POST}),
    "body": ("the body is sent, before its final dot", {POST}),
    "dot": ("behind the final dot, before the provider's reply", {POST}),
    "replied": ("the reply is there, its outcome not yet committed", {POST}),
    "verdict": ("the application waits for its reply", {GATE}),
    "refused": ("the refusal is committed, its reply not written", {POST, GATE}),
    "answered": ("the reply is written, not yet noted as heard", {POST, GATE}),
    "waiting": ("waiting for another try", {POST}),
    "held": ("held", {POST}),
    "reporting": ("a report is being made", {POST}),
    "starting": ("the role starts again", {POST, GATE, VAULT}),
}
ALIKE = {"trying": "committed"}
ROLES = (GATE, VAULT, POST, "desk")


class Windows:
    """Follows a log as it grows. `hits` counts the deaths that hit each window; a death hits a window once, however many messages were in it."""

    def __init__(self, path):
        self.path, self.at = path, 0
        self.hits = dict.fromkeys(WINDOWS, 0)
        self.deaths = dict.fromkeys((*ROLES, "together"), 0)
        self.mails, self.reports, self.refused, self.unheard, self.sessions, self.starting = {}, set(), set(), set(), {}, set()
        self.has_begun, self.noticed = False, {}

    def follow(self):
        with open(self.path, "rb") as file:
            file.seek(self.at)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.at += len(line)
                if line.startswith(b"{"):
                    self.take(json.loads(line))
        return self.hits

    def take(self, record):
        event = record["event"]
        if event == "post.step":
            self.step(record["id"], record["step"])
        elif event == "gate.step":
            self.sessions[record["about"]] = record["step"]
        elif event == "gate.message":
            self.sessions[record["about"]] = "answered"
            if record.get("id"):
                self.unheard.add(record["id"])
                self.refused.discard(record["id"])
        elif event == "gate.session_ended":
            self.sessions.pop(record["about"], None)
        elif event == "keeper.role_started":
            self.noticed.pop(record["name"], None)
            self.starting.add(record["name"])
        elif event == "role.ready":
            self.starting.discard(record["role"])
        elif event == "link.ended":
            # The others may notice a death, and act upon it, before the keeper does.
            self.noticed.setdefault(record["peer"], self.inside({record["peer"]}))
        elif event == "keeper.role_died":
            self.role_died(record)
        elif event == "keeper.started" and self.has_begun:
            self.died(set(ROLES), "together")
        elif event == "keeper.stopped":
            self.forget(set(ROLES))
        self.has_begun = event != "keeper.stopped"

    def role_died(self, record):
        if record["signal"] == 9:
            self.died({record["name"]}, record["name"])
        else:
            self.forget({record["name"]})

    def step(self, number, step):
        if step == "heard":
            self.unheard.discard(number)
        elif step == "refused":
            self.refused.add(number)
        elif step in ("gone", "dropped"):
            self.mails.pop(number, None)
            self.reports.discard(number)
        else:
            if step == "reporting":
                self.reports.add(number)
            elif step == "committed":
                self.reports.discard(number)
            self.mails[number] = ALIKE.get(step, step)

    def inside(self, dead):
        """The windows that are open at the death of these roles."""
        found = {"reporting" if number in self.reports else step for number, step in self.mails.items()}
        found |= {name for name, numbers in (("refused", self.refused), ("answered", self.unheard)) if numbers}
        names = {"grant": "grant", "receiving": "receiving", "ended": "verdict"}
        found |= {names[step] for step in self.sessions.values() if step in names}
        found = {name for name in found if WINDOWS[name][1] & dead}
        return found | ({"starting"} if self.starting & dead & WINDOWS["starting"][1] else set())

    def open(self):
        """The windows that something is in, as the log says until now."""
        self.follow()
        return self.inside(set(ROLES))

    def died(self, dead, label):
        self.deaths[label] += 1
        for name in self.noticed.get(label, self.inside(dead)):
            self.hits[name] += 1
        self.forget(dead)

    def forget(self, dead):
        if POST in dead:
            kept = [number for number, step in self.mails.items() if step not in ("receiving", "gathered", "committing", "reporting")]
            self.mails = dict.fromkeys(kept, "waiting")
            self.reports.clear()
        if GATE in dead:
            self.sessions.clear()
        if {POST, GATE} & dead:
            self.unheard.clear()
            self.refused.clear()
        self.starting -= dead

    def table(self):
        lines = [f"{self.hits[name]:6d}  {says}" for name, (says, _) in WINDOWS.items()]
        return "kills that hit each window:\n" + "\n".join(lines) + "\ndeaths: " + ", ".join(f"{name} {count}" for name, count in self.deaths.items())
