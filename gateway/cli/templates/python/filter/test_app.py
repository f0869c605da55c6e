import unittest

from app import look
from hubgate import Payload_Json
from hubgate.filter import Kind, Message, Pass, Replace


def call(arguments: str) -> Message:
    return Message(Kind.INVOCATION, "say", Payload_Json(arguments), None)


class Hiding(unittest.TestCase):
    def test_replaces_the_word_wherever_it_stands(self) -> None:
        self.assertEqual(look(call('["a secret", "secrets"]')), Replace(call('["a ******", "******s"]')))

    def test_lets_the_rest_pass(self) -> None:
        self.assertEqual(look(call('["nothing"]')), Pass())


if __name__ == "__main__":
    unittest.main()
