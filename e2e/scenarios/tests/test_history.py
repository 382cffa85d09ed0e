"""What a scenario reads of its clients' logs, and what comes of the verdict on them. `python3 -m unittest
discover e2e/scenarios/tests`

What is promised is tested where the checker is, in crates/testkit.
"""

import pathlib
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import clients  # noqa: E402
from harness.history import History, judge  # noqa: E402
from harness.shell import Failure  # noqa: E402

SENT = ["acked p-0 b0/1 0 1000", "acked p-1 b0/1 1 2500", "failed p-2 2600 CODE: 14"]


class Reader(unittest.TestCase):
    def test_what_is_no_event_and_a_line_that_is_cut_are_passed_over(self):
        history = History.read([*SENT, "noise", "acked p-9 b0/1"])
        self.assertEqual((["p-0", "p-1"], ["p-2"]), (list(history.acked), list(history.failed)))

    def test_a_message_is_awaited_until_it_comes_from_its_place(self):
        got = ["got p-0 b0/1 0 1", "got p-1 b0/1 7 1"]
        self.assertEqual(["p-1"], History.read([*SENT, *got]).awaited())
        self.assertEqual([], History.read([*SENT, *got, "got p-1 b0/1 1 2"]).awaited())

    def test_a_send_that_fails_before_the_first_success_is_not_refused(self):
        history = History.read(["failed p-9 900 no route", *SENT])
        self.assertEqual({"p-2": "CODE: 14"}, history.refused())

    def test_messages_of_another_producer_are_none_of_it(self):
        history = History.read([*SENT, "got q-7 b0/1 2 1", "acked q-7 b0/1 2 1"], "p-")
        self.assertEqual((2, 0), (len(history.acked), len(history.got)))


class Judged(unittest.TestCase):
    def log(self, *lines):
        said = tempfile.NamedTemporaryFile("w", suffix=".log")
        self.addCleanup(said.close)
        said.write("\n".join(lines) + "\n")
        said.flush()
        return said

    def judge(self, *got, others=()):
        return judge([self.log(*SENT, "done").name, self.log(*got, "done").name], others)

    def test_a_history_that_was_kept_is_told_in_numbers(self):
        said = self.judge("got p-0 b0/1 0 1", "got p-1 b0/1 1 1", "got p-1 b0/1 1 2", "got q-0 b0/1 5 2", others=["p", "q"])
        self.assertEqual("2 acknowledged, 1 failed, 1 received again, longest gap 1.5 s", said)

    def test_a_lost_message_is_a_failure_that_names_it(self):
        with self.assertRaisesRegex(Failure, "promises broken: 1, .*\np-1 was acknowledged at b0/1 1 and never received"):
            self.judge("got p-0 b0/1 0 1")

    def test_a_log_without_an_end_is_a_failure_that_names_it(self):
        with self.assertRaisesRegex(Failure, "cannot be judged: .*\\.log is no log: its last line is"):
            judge([self.log(*SENT).name])

    def test_all_producers_of_a_namespace_are_known(self):
        logs = {"a": self.log(*SENT), "b": self.log("got r-1 b0/1 0 1"), "c": self.log("acked new-comer-3 b0/1 0 1")}
        self.assertEqual(["new-comer", "p"], clients.producers(types.SimpleNamespace(said=logs)))


if __name__ == "__main__":
    unittest.main()
