"""The checker itself: what it lets pass, and what it does not. `python3 -m unittest discover e2e/scenarios/tests`"""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.history import History  # noqa: E402
from harness.shell import Failure  # noqa: E402

SENT = ["acked p-0 b0/1 0 1000", "acked p-1 b0/1 1 2500", "failed p-2 2600 CODE: 14"]


class Checker(unittest.TestCase):
    def test_everything_received_is_sound_though_it_came_twice_or_failed(self):
        got = ["got p-0 b0/1 0 1", "got p-0 b0/1 0 2", "got p-1 b0/1 1 2", "got p-2 b0/1 2 3"]
        history = History.read([*SENT, *got, "noise", "acked p-9 b0/1"])
        history.check()
        self.assertEqual((history.repeated(), history.longest_gap()), (1, 1.5))
        self.assertEqual(history.refused(), {"p-2": "CODE: 14"})
        with self.assertRaisesRegex(Failure, "1 messages were received again"):
            history.check(most_repeated=0)

    def test_a_message_that_never_came_is_lost(self):
        with self.assertRaisesRegex(Failure, "1 messages were acknowledged and never received: p-1"):
            History.read([*SENT, "got p-0 b0/1 0 1"]).check()

    def test_a_message_that_nobody_sent_is_invented(self):
        got = ["got p-0 b0/1 0 1", "got p-1 b0/1 1 1", "got p-7 b0/1 2 1"]
        with self.assertRaisesRegex(Failure, "received and never sent: p-7"):
            History.read([*SENT, *got]).check()

    def test_messages_of_another_producer_are_none_of_it(self):
        got = ["got p-0 b0/1 0 1", "got p-1 b0/1 1 1", "got q-7 b0/1 2 1", "acked q-7 b0/1 2 1"]
        History.read([*SENT, *got], "p-").check()

    def test_a_message_is_where_it_was_acknowledged(self):
        got = ["got p-0 b0/1 0 1", "got p-1 b0/1 7 1"]
        with self.assertRaisesRegex(Failure, "received from another: p-1"):
            History.read([*SENT, *got]).check()

    def test_nothing_acknowledged_proves_nothing(self):
        with self.assertRaisesRegex(Failure, "no message was acknowledged"):
            History.read([]).check()


if __name__ == "__main__":
    unittest.main()
