import unittest

import app  # its methods are what the gateway below calls
from hubgate import Rejected
from hubgate.testing import Gateway


class Handler(unittest.TestCase):
    def setUp(self) -> None:
        self.gateway = Gateway()
        self.client = self.gateway.connect("ann")

    def test_greets_by_name(self) -> None:
        self.assertEqual(self.gateway.call(self.client, "hello", "Ann"), "Hello, Ann!")

    def test_needs_a_name(self) -> None:
        for arguments in ([], [1]):
            with self.assertRaises(Rejected):
                self.gateway.call(self.client, "hello", *arguments)

    def test_counts_the_calls(self) -> None:
        self.assertEqual([self.gateway.call(self.client, "count") for _ in range(2)], [1, 2])


if __name__ == "__main__":
    unittest.main()
