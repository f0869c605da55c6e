import unittest

from answers import greet


class Greeting(unittest.TestCase):
    def test_has_the_name(self):
        self.assertEqual(greet(["ann"]), "Hello, ann!")

    def test_needs_a_name(self):
        for arguments in ([], [1]):
            with self.assertRaises(ValueError):
                greet(arguments)


if __name__ == "__main__":
    unittest.main()
