"""What Schemathesis cannot know of the gateway: each request needs a token for its own path, and bodies in MessagePack are messages.

HUBGATE_URL is where the gateway is, HUBGATE_KEY its access key.
"""

import base64
import hashlib
import hmac
import json
import os
import time

import schemathesis
from hypothesis import strategies

URL = os.environ["HUBGATE_URL"]
KEY = os.environ["HUBGATE_KEY"].encode()


def token(path):
    part = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    claims = {"aud": URL + path, "exp": int(time.time()) + 3600}
    signed = b".".join(part(json.dumps(each).encode()) for each in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (signed + b"." + part(hmac.new(KEY, signed, hashlib.sha256).digest())).decode()


@schemathesis.auth(refresh_interval=None)
class PathToken:
    def get(self, case, context):
        return token(case.formatted_path)

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


def text(value):
    data = value.encode()
    return b"\xd9" + bytes([len(data)]) + data


def binary(data):
    return b"\xc4" + bytes([len(data)]) + data


def send(target, count):
    """{"target": …, "arguments": […]}, which is an item of a stream, too."""
    return b"\x82" + text("target") + text(target) + text("arguments") + bytes([0x90 + count]) + b"\xc0" * count


names = strategies.text(strategies.characters(codec="utf-8"), min_size=1, max_size=20)
schemathesis.openapi.media_type("application/x-msgpack", strategies.builds(send, names, strategies.integers(0, 15)))


def encoded(target):
    """A whole hub message for the clients of one protocol."""
    call = json.dumps({"type": 1, "target": target, "arguments": []}).encode() + b"\x1e"
    return b"\x81" + text("json") + binary(call)


schemathesis.openapi.media_type("application/octet-stream", strategies.builds(encoded, names))
