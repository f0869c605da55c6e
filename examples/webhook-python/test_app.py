import json
import unittest

import app  # its methods are what the gateway below calls
from hubgate import Failed, Rejected
from hubgate.http import Request, Response
from hubgate.testing import Gateway


class Prices(unittest.TestCase):
    def setUp(self) -> None:
        self.gateway = Gateway(config={"webhook": "http://shop"})
        self.gateway.respond = self.respond
        self.client = self.gateway.connect()
        self.urls: list[str] = []
        self.statuses: list[int] = []

    def respond(self, request: Request) -> Response:
        self.urls.append(request.url)
        status = self.statuses.pop(0)
        return Response(status, [], json.dumps({"price": 3}).encode())

    def test_are_asked_for_once(self) -> None:
        self.statuses = [200]
        for _ in range(2):
            self.assertEqual(self.gateway.call(self.client, "price", "green tea"), {"price": 3})
        self.assertEqual(self.urls, ["http://shop/prices/green%20tea"])

    def test_are_asked_for_again_when_the_webhook_fails(self) -> None:
        self.statuses = [503, 500, 200]
        self.assertEqual(self.gateway.call(self.client, "price", "tea"), {"price": 3})

    def test_fail_after_three_attempts(self) -> None:
        self.statuses = [503, 503, 503, 200]
        with self.assertRaises(Failed):
            self.gateway.call(self.client, "price", "tea")
        self.assertEqual(len(self.urls), 3)

    def test_of_what_there_is_not_are_refused_at_once(self) -> None:
        self.statuses = [404]
        with self.assertRaisesRegex(Rejected, "There is no product 'gold'."):
            self.gateway.call(self.client, "price", "gold")


if __name__ == "__main__":
    unittest.main()
