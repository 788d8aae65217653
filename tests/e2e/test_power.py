"""R3 and R6: the power is cut under load, on ext4 as people mount it and on xfs; what was acknowledged is there. Where syncs lie, it is not, and the ledger says so.

The data directory stands on a file system of its own on a loop device. The cut is the file system's own shutdown without a flush of its log: what was
written and not synced is gone. POWER_ROUNDS rounds (1) for each of both file systems, POWER_SEED for the same choices again. Without loop devices the tests
cannot run and count as skipped.
"""
import array
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

from harness import needs_root, wait_until
from house import SharedHouse

# Of ext4 and of xfs alike.
SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
IMAGE_BYTES = 400 << 20
KINDS = {
    "ext4": ("ext4", ["mkfs.ext4", "-q", "-F"], ("data=ordered", "data=writeback", "data=ordered,noauto_da_alloc")),
    "xfs": ("xfs", ["mkfs.xfs", "-q", "-f"], ("defaults",)),
    # Nothing gets past its cache, so that all that was not synced is there to be lost: this disk keeps what it was given.
    "cached": ("ext4", ["mkfs.ext4", "-q", "-F"], ("data=journal",)),
}
LIE = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:retval=0"]


class Disk:
    """A file system in a file, on a loop device, mounted where the data directory is."""

    def __init__(self, directory, kind, at):
        self.image, self.at = os.path.join(directory, f"{kind}-{time.monotonic_ns()}.img"), at
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        self.type, make, self.options = KINDS[kind]
        subprocess.run([*make, self.image], check=True, capture_output=True)

    def mount(self, number=0):
        done = subprocess.run(["mount", "-t", self.type, "-o", "loop," + self.options[number % len(self.options)], self.image, self.at], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(done.stderr)

    def unmount(self):
        wait_until("the disk is unmounted", lambda: subprocess.run(["umount", self.at], capture_output=True, check=False).returncode == 0)

    def cut(self):
        fd = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, array.array("I", [NO_LOG_FLUSH]))
        finally:
            os.close(fd)


class Power(SharedHouse):
    linger_ms, verdict_wait, boot = "60", "20ms", ""

    def move_in(self, kind):
        """The house moves onto a disk of its own."""
        self.gateway.end()
        data, aside = self.gateway.data, os.path.join(self.directory, f"before-{kind}-{time.monotonic_ns()}")
        subprocess.run(["cp", "-a", data, aside], check=True)
        if os.path.ismount(data):
            subprocess.run(["umount", data], check=True)
        disk = Disk(self.directory, kind, data)
        try:
            disk.mount()
        except OSError as why:
            self.gateway.start()
            self.skipTest(f"no {kind} on a loop device here, so nothing is shown: {why}")
        type(self).addClassCleanup(subprocess.run, ["umount", "-l", data], capture_output=True, check=False)
        type(self).addClassCleanup(self.gateway.end)
        shutil.copystat(aside, data)
        subprocess.run(["cp", "-a", aside + "/.", data], check=True)
        subprocess.run(["sync", "-f", data], check=True)
        self.gateway.start()
        return disk

    def cut(self, disk, number, dice):
        """The disk stops, and with it, just before or just behind, everything that runs."""
        self.note_kill("all")
        if dice.random() < 0.5:
            disk.cut()
            self.fell()
        else:
            self.fell()
            disk.cut()
        disk.unmount()
        disk.mount(number)
        self.gateway.start()

    def cut_again_and_again(self, kind):
        rounds, seed = int(os.environ.get("POWER_ROUNDS", "1")), int(os.environ.get("POWER_SEED", str(random.randrange(1 << 32))))
        print(f"{kind} POWER_SEED={seed} POWER_ROUNDS={rounds}", file=sys.stderr, flush=True)
        dice = random.Random(seed)
        disk = self.move_in(kind)
        self.start_senders(seed)
        for number in range(1, rounds + 1):
            self.sink.process.send_signal(signal.SIGSTOP)
            time.sleep(dice.uniform(0.01, 0.5))
            try:
                self.cut(disk, number, dice)
            finally:
                self.sink.process.send_signal(signal.SIGCONT)
            self.wait_for_answers()
        self.assertEqual(self.senders.end(), 0, self.senders.log()[-4000:])
        self.wait_for_an_empty_queue()
        self.gateway.end()
        self.gateway.start()
        self.check()

    @needs_root
    def test_r3_power_cut_on_ext4(self):
        self.cut_again_and_again("ext4")

    @needs_root
    def test_r3_power_cut_on_xfs(self):
        self.cut_again_and_again("xfs")

    @needs_root
    def test_r6_where_syncs_lie_the_ledger_does_not_balance(self):
        disk = self.move_in("cached")
        with self.traced("post", *LIE):
            self.start_senders(6)
            self.sink.process.send_signal(signal.SIGSTOP)
            try:
                self.wait_for_answers()
                self.cut(disk, 0, random.Random(6))
            finally:
                self.sink.process.send_signal(signal.SIGCONT)
        self.wait_for_answers()
        self.assertEqual(self.senders.end(), 0, self.senders.log()[-4000:])
        self.wait_for_an_empty_queue()
        told = self.check("--keep-keys", expected=1)
        self.assertRegex(told, r"(?m)^I1 .* was acknowledged")


if __name__ == "__main__":
    unittest.main()
