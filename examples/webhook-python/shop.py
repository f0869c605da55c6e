"""A webhook on port 7071 with a bad day: every other request fails."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

PRICES = {"tea": 3, "coffee": 4}
requests = count(1)


class Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        number = next(requests)
        product = self.path.removeprefix("/prices/")
        if number % 2 == 1:
            self.answer(503, {})
        elif product not in PRICES:
            self.answer(404, {})
        else:
            self.answer(200, {"product": product, "price": PRICES[product], "request": number})

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", 7071), Shop).serve_forever()
