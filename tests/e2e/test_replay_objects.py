"""Replay runs the shipped code: nothing that the daemon links is left out of it, save what stands behind a seam."""
import os
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ReplayObjects(unittest.TestCase):
    def test_no_object_is_left_out(self):
        build = os.path.join(os.environ.get("BUILD", "build"), "asan")
        done = subprocess.run([os.path.join(ROOT, "tools/replay_objects"), build], capture_output=True, text=True, cwd=ROOT)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("loop_real_stream.c", done.stdout)
        self.assertNotIn("gate_session.c", done.stdout)


if __name__ == "__main__":
    unittest.main()
