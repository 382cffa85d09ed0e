"""Reading what pods tell Prometheus."""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.cluster import ROOT  # noqa: E402
from harness.metrics import number  # noqa: E402
from harness.shell import Failure  # noqa: E402

# What a broker said.
TOLD = (ROOT / "charts/testdata/metrics/broker.txt").read_text()


class Numbers(unittest.TestCase):
    def test_a_number_is_read_with_and_without_labels(self):
        self.assertEqual(0, number(TOLD, "mq_store_damaged_ranges"))
        self.assertEqual(3, number(TOLD.replace('-b0"} 0', '-b0"} 3'), "mq_store_damaged_ranges"))
        self.assertEqual(7, number("# HELP bare x\nbare 7\n", "bare"))

    def test_one_that_is_not_there_or_twice_is_no_number(self):
        for text in ("", "x_more 1\n", 'x{a="1"} 1\nx{a="2"} 2\n'):
            with self.assertRaises(Failure):
                number(text, "x")


if __name__ == "__main__":
    unittest.main()
