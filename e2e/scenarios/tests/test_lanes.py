"""Which scenarios run beside each other."""

import pathlib
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import scenario  # noqa: E402
from harness.scenario import Scenario, execute_all  # noqa: E402


class Lanes(unittest.TestCase):
    def run_all(self, chosen, lanes, act):
        execute, scenario.execute = scenario.execute, lambda one: act(one)
        self.addCleanup(setattr, scenario, "execute", execute)
        return execute_all(chosen, lanes)

    def test_neighbours_run_beside_each_other(self):
        meeting = threading.Barrier(2, timeout=10)
        chosen = [Scenario(number, "", None, False) for number in "ab"]
        self.assertEqual(2, len(self.run_all(chosen, 2, lambda one: meeting.wait() is not None)))

    def test_one_that_wants_to_be_alone_is(self):
        under_way, seen = set(), []

        def act(one):
            under_way.add(one.number)
            seen.append((one.number, set(under_way)))
            under_way.discard(one.number)
            return one.number != "C"

        chosen = [Scenario(number, "", None, number.isupper()) for number in "AabCcD"]
        self.assertEqual([True, True, True, False, True, True], self.run_all(chosen, 2, act))
        self.assertEqual(["A", {"a", "b"}, "C", "c", "D"], [seen[0][0], {seen[1][0], seen[2][0]}, *(one for one, _ in seen[3:])])
        self.assertTrue(all(with_it == {number} for number, with_it in seen if number.isupper()))


if __name__ == "__main__":
    unittest.main()
