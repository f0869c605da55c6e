import unittest

import app  # its functions are what the gateway below calls
from hubgate import Rejected, hub
from hubgate.testing import Gateway


class Hub(unittest.TestCase):
    def setUp(self) -> None:
        self.gateway = Gateway()
        self.client = self.gateway.connect("ann")

    def test_greets_by_name(self) -> None:
        self.assertEqual(self.gateway.call(self.client, "hello", "Ann"), "Hello, Ann!")

    def test_counts_the_calls(self) -> None:
        self.assertEqual([self.gateway.call(self.client, "count") for _ in range(2)], [1, 2])

    def test_counts_down_and_not_for_ever(self) -> None:
        stream = self.gateway.stream(self.client, "countdown", 3)
        self.assertEqual((stream.items, stream.is_open), ([3, 2, 1], False))
        with self.assertRaises(Rejected):
            self.gateway.stream(self.client, "countdown", 101)

    def test_reminds(self) -> None:
        self.gateway.call(self.client, "remind", 1000, "Tea.")
        [timer] = self.gateway.timers
        self.gateway.fire(timer)
        self.assertEqual(self.gateway.sent, [(hub.connection(self.client.id), "reminded", ["Tea."])])


if __name__ == "__main__":
    unittest.main()
