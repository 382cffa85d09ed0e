"""What the documentation shows is what is tried."""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import document  # noqa: E402
from harness.cluster import ROOT  # noqa: E402
from harness.shell import Failure  # noqa: E402

PROGRAM = ROOT / "e2e/scenarios/clients/go/first-message/main.go"


class Documents(unittest.TestCase):
    def test_the_go_program_of_the_page_is_the_one_in_the_image(self):
        self.assertEqual([PROGRAM.read_text()], document.blocks("first-message.md", "go"))

    def test_blocks_of_other_languages_are_left_out(self):
        for block in document.blocks("install.md", "sh"):
            self.assertNotIn("```", block)
        self.assertEqual([], document.blocks("install.md", "go"))

    def test_a_shell_types_all_lines_and_stops_at_the_first_that_fails(self):
        surroundings, document.environment = document.environment, lambda: None
        self.addCleanup(setattr, document, "environment", surroundings)
        self.assertEqual("one\nREADME.md\n", document.type_in("echo \\\n  one\nls README.md\n", 10))
        with self.assertRaisesRegex(Failure, "exit status 3"):
            document.type_in("(exit 3)\necho never\n", 10)


if __name__ == "__main__":
    unittest.main()
