"""tools/lint finds what it is there for: each of its rules is broken once, in a copy of the tree."""
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"), "asan")


def lint(root, *words):
    done = subprocess.run([os.path.join(root, "tools/lint"), *words], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def copy_tree(to):
    """What git would commit, without history and builds."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.split("\n"):
        source = os.path.join(ROOT, name)
        if name and os.path.isfile(source):
            os.makedirs(os.path.dirname(os.path.join(to, name)), exist_ok=True)
            shutil.copy2(source, os.path.join(to, name))
    subprocess.run(["git", "init", "-q"], cwd=to, check=True)


def add(root, name, text):
    with open(os.path.join(root, name), "a", encoding="utf-8") as file:
        file.write(text)


def add_row(root, table, row):
    """In front of the first row, so that no section's closing words come between."""
    path = os.path.join(root, table)
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    first = next(at for at, line in enumerate(lines) if line.startswith(row.split("(")[0] + "("))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines[:first] + [row] + lines[first:]))


HEADER = """/* {path} - planted.
 *
 * Why       A test.
 * Promise   None.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
"""


class Rules(unittest.TestCase):
    """One run over a copy in which every rule is broken."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="postern-lint-")
        root = cls.directory.name
        copy_tree(root)
        add(root, "wire/planted.c", '#include "loop/loop.h"\n#include "span.h"\n')
        add(root, "gate/planted.c", '#include "post/post.h"\n')
        add(root, "keeper/planted.c", '#include "cli/cli.h"\n')
        add(root, "base/long_function.c", "void planted_71(void)\n{\n" + "\t;\n" * 68 + "}\n")
        add(root, "base/short_function.c", "void planted_70(void)\n{\n" + "\t;\n" * 67 + "}\n")
        add(root, "base/long_file.c", "\n" * 601)
        add(root, "base/no_page.h", "#pragma once\n")
        add(root, "base/silent.h", HEADER.format(path="base/silent.h") + "\nvoid planted_silent(void);\n")
        add(root, "base/twice.h", HEADER.format(path="base/twice.h") + "\n/* One name. */\nvoid buf_init(void);\n")
        add(root, "base/unfinished.c", "/* TO" + "DO: everything */\n")
        add_row(root, "tables/events.def", 'EVENT(PLANTED, INFO, "planted.event", "", "nobody says it")')
        add_row(root, "tables/faults_own.def", 'FAULT(PLANTED, CLIENT, 501, "5.5.2", "BAD", "-ERR", 400, INFO, "planted", "planté", "", "")')
        add_row(root, "tables/metrics.def", 'METRIC(PLANTED, COUNTER, "postern_planted_total", "", "", "Planted", "")')
        add_row(root, "tables/messages.def", "MESSAGE(planted, GATE, POST, NO_FD, FIELD(u64, session))")
        cls.code, cls.output = lint(root)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def assertSaid(self, text):
        self.assertEqual(self.code, 1)
        self.assertIn(text, self.output)

    def test_layers(self):
        self.assertSaid("wire/planted.c:1: wire/ may not include loop/")
        self.assertSaid("gate/planted.c:1: gate/ may not include post/")
        self.assertSaid("keeper/planted.c:1: only keeper/main.c may include cli/")
        self.assertSaid("wire/planted.c:2: includes are written from the root")

    def test_sizes(self):
        self.assertSaid("base/long_function.c:1: planted_71 has over 70 lines")
        self.assertNotIn("planted_70", self.output)
        self.assertSaid("base/long_file.c: 601 lines; the limit is 600")

    def test_headers(self):
        self.assertSaid("base/no_page.h: must begin with `/* base/no_page.h - what it is.`")
        for word in ("Why", "Promise", "Owns", "Refuses"):
            self.assertSaid(f"base/no_page.h: its page lacks `{word}`")
        self.assertSaid("base/silent.h:9: a public function without a sentence of its own")

    def test_names(self):
        self.assertRegex(self.output, r"base/(twice|buf)\.h: buf_init is declared in base/(twice|buf)\.h too")

    def test_words(self):
        self.assertSaid("base/unfinished.c:1: a word that marks unfinished work")

    def test_orphans(self):
        self.assertSaid("tables/events.def: PLANTED is said nowhere")
        self.assertSaid("tables/metrics.def: PLANTED is said nowhere")
        self.assertSaid("tables/faults_own.def: PLANTED is used nowhere")
        self.assertSaid("tables/messages.def: planted is not both sent and received")

    def test_documents(self):
        self.assertSaid("docs: not in step")


class Symbols(unittest.TestCase):
    """No name is defined twice where the linker would take one of the two without a word."""

    def library(self, name, **objects):
        paths = []
        for object_name, source in objects.items():
            path = os.path.join(self.directory, object_name)
            subprocess.run(["cc", "-c", "-x", "c", "-", "-o", path + ".o"], input=source, text=True, check=True)
            paths.append(path + ".o")
        subprocess.run(["ar", "rcs", os.path.join(self.directory, f"lib{name}.a"), *paths], check=True)

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="postern-lint-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def test_the_build(self):
        self.assertTrue(os.path.exists(os.path.join(BUILD, "libbase.a")), f"no build in {BUILD}: make asan")
        self.assertEqual(lint(ROOT, "--symbols", BUILD), (0, ""))

    def test_two_libraries(self):
        self.library("one", a="int planted_name(void) { return 1; } static int hidden(void) { return 1; } int (*p)(void) = hidden;")
        self.library("two", b="int planted_name(void) { return 2; } static int hidden(void) { return 2; } int (*q)(void) = hidden;")
        code, output = lint(ROOT, "--symbols", self.directory)
        self.assertEqual(code, 1)
        self.assertEqual(output, "symbols: planted_name is defined in libone.a(a.o) and libtwo.a(b.o)\n")

    def test_one_library(self):
        self.library("one", a="int planted_data = 1;", b="int planted_data = 2;")
        self.assertEqual(lint(ROOT, "--symbols", self.directory), (1, "symbols: planted_data is defined in libone.a(a.o) and libone.a(b.o)\n"))

    def test_sides(self):
        """The fake sides share their names with the real ones, and with nothing else."""
        self.library("loop_real", a="int planted_side(void) { return 1; }")
        self.library("loop_fake", b="int planted_side(void) { return 2; }")
        self.assertEqual(lint(ROOT, "--symbols", self.directory), (0, ""))
        self.library("wire", c="int planted_side(void) { return 3; }")
        self.assertEqual(lint(ROOT, "--symbols", self.directory)[0], 1)

    def test_no_build(self):
        self.assertEqual(lint(ROOT, "--symbols", os.path.join(self.directory, "none")), (0, ""))


if __name__ == "__main__":
    unittest.main()
