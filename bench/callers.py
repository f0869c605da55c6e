#!/usr/bin/env python3
"""Clients that call one method again some milliseconds after the last call has ended, whatever came of it.

    bench/callers.py READY-FILE HUB METHOD CLIENTS SECONDS     prints how many calls ended;
                                                              makes a file `calling` beside READY-FILE once they call
"""

import base64
import heapq
import json
import os
import random
import select
import socket
import sys
import time
import urllib.parse
import urllib.request

ready, hub, method, clients, seconds = sys.argv[1:]
address = json.load(open(ready))["listen"]
host, port = address.rsplit(":", 1)


def frame(text):
    """A text of a client: masked with zeros."""
    data = text.encode()
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


def connect():
    """A client that is let in: calls before may keep the plugin from being asked for a while."""
    until = time.monotonic() + 30
    while True:
        client = try_to_connect()
        # The handshake's answer, `{}`, or the refusal and the end.
        if b"{}" in client.recv(4096):
            return client
        if time.monotonic() > until:
            sys.exit("no client is let in")
        time.sleep(0.5)


def try_to_connect():
    request = urllib.request.Request(f"http://{address}/hubs/{hub}/negotiate?negotiateVersion=1", method="POST", data=b"")
    answer = json.load(urllib.request.urlopen(request, timeout=10))
    token = urllib.parse.quote(answer["accessToken"])
    path = answer["url"].split(address, 1)[1]
    client = socket.create_connection((host, int(port)), timeout=10)
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET {path}&access_token={token} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = client.recv(4096)
    assert b" 101 " in head.split(b"\r\n", 1)[0], head
    client.sendall(frame('{"protocol":"json","version":1}\x1e'))
    return client


call = frame(json.dumps({"type": 1, "target": method, "arguments": [], "invocationId": "1"}) + "\x1e")
sockets = [connect() for _ in range(int(clients))]
# For whoever waits for them.
open(os.path.join(os.path.dirname(ready), "calling"), "w").close()
pause = random.Random(1)
end = time.monotonic() + float(seconds)
ended = 0
# Those that call again, by when they do.
due = [(time.monotonic() + pause.uniform(0, 0.005), number) for number in range(len(sockets))]
heapq.heapify(due)
waiting = select.epoll()
for number, client in enumerate(sockets):
    waiting.register(client, select.EPOLLIN)
numbers = {client.fileno(): number for number, client in enumerate(sockets)}
while (now := time.monotonic()) < end:
    while due and due[0][0] <= now:
        sockets[heapq.heappop(due)[1]].sendall(call)
    for descriptor, _ in waiting.poll(max(0.0002, due[0][0] - now) if due else 0.1):
        number = numbers[descriptor]
        data = sockets[number].recv(65536)
        if not data:
            sys.exit("a client was closed")
        if b'"type":3' in data:
            ended += 1
            # As people do: not as fast as it goes, and not all at the same moment.
            heapq.heappush(due, (time.monotonic() + pause.uniform(0.0025, 0.0075), number))
print(ended)
