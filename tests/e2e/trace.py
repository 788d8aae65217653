"""A Postern whose system calls are written down by strace, and what each role called once it was confined."""
import glob
import os
import re

import harness

# The shipped build: a sanitizer has calls of its own.
PROGRAM = os.path.join(harness.BUILD, "release", "postern")
CALL = re.compile(r"(\w+)\(")


class Traced(harness.Postern):
    """Like any other; `calls()` after its end."""

    def start(self):
        self.traces = os.path.join(self.directory, self.name + "-traces")
        os.makedirs(self.traces, exist_ok=True)
        words = ["strace", "-ff", "-qq", "-v", "-s", "64", "-o", os.path.join(self.traces, "t"), PROGRAM, "serve", "--data", self.data]
        harness.Process.__init__(self, self.directory, self.name, words, harness.environment(**self.extra_env))
        self.read_ports()

    def keeper(self):
        """Strace is what we started; the keeper is its child."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            return int(file.read().split()[0])

    def lines(self, pid):
        with open(os.path.join(self.traces, f"t.{pid}"), encoding="utf-8", errors="replace") as file:
            return file.read().split("\n")

    def calls(self):
        """{role: {call: [lines]}} of the processes and their threads, from the moment the filter stands."""
        pids = [int(path.rsplit(".", 1)[1]) for path in glob.glob(os.path.join(self.traces, "t.*"))]
        lines = {pid: self.lines(pid) for pid in pids}
        born, role_of = {}, {}
        for pid in pids:
            for line in lines[pid]:
                thread = re.match(r"clone3?\(.*CLONE_THREAD.*= (\d+)$", line)
                if thread:
                    born[int(thread.group(1))] = pid
                started = re.search(r'^execve\w*\(.*\["postern", "role", "(\w+)"', line)
                if started:
                    role_of[pid] = started.group(1)
        found = {}
        for pid in pids:
            role = role_of.get(pid) or role_of.get(born.get(pid))
            if not role:
                continue
            confined = pid in born
            for line in lines[pid]:
                called = CALL.match(line)
                if called and confined:
                    found.setdefault(role, {}).setdefault(called.group(1), []).append(line)
                confined = confined or line.startswith("seccomp(SECCOMP_SET_MODE_FILTER")
        return found
