import unittest

from hide import hide


class Hiding(unittest.TestCase):
    def test_replaces_the_word_wherever_it_stands(self):
        self.assertEqual(hide('["a secret", "secrets"]'), '["a ******", "******s"]')

    def test_leaves_the_rest(self):
        self.assertEqual(hide('["nothing"]'), '["nothing"]')


if __name__ == "__main__":
    unittest.main()
