#!/usr/bin/env python3
"""Upgrades a gateway behind a socket that outlives it, as systemd's socket activation does, and counts what becomes of
connects meanwhile.

    scripts/upgrade.py [--bin FILE] [--connects 10000] [--clients 500] [--closes 250]

CONNECTS requests are made, each on a connection of its own, 64 at a time; after a quarter of them the gateway is told to stop,
and a new one starts when it has ended. CLIENTS are connected all the while; they are sent away at the pace of CLOSES a second.
Prints one JSON object. Everything is on loopback; it ends within two minutes.
"""

import argparse
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

AT_ONCE = 64
TIMEOUT = 60
KEY = base64.b64encode(os.urandom(48)).decode()


def hold_socket():
    """A listening socket as descriptor 3."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(4096)
    address = listening.getsockname()
    if listening.fileno() != 3:
        os.dup2(listening.fileno(), 3)
    os.set_inheritable(3, True)
    return listening, address


class Gateway:
    def __init__(self, binary, folder, name):
        ready = os.path.join(folder, f"{name}.ready")
        self.log = open(os.path.join(folder, f"{name}.log"), "w")
        command = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'
        arguments = ["serve", "--config", os.path.join(folder, "hubgate.toml"), "--ready-file", ready]
        self.process = subprocess.Popen(
            ["sh", "-c", command, binary, *arguments], pass_fds=[3], stdin=subprocess.DEVNULL, stderr=self.log
        )
        deadline = time.monotonic() + TIMEOUT
        while not os.path.exists(ready):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"upgrade: the gateway does not start: {open(self.log.name).read()}")
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)


class Connects:
    """Requests, each on a connection of its own."""

    def __init__(self, address, total):
        self.address, self.total = address, total
        self.lock = threading.Lock()
        self.begun, self.answered, self.slowest = 0, 0, 0.0
        self.refused, self.lost = [], []
        self.threads = [threading.Thread(target=self.work) for _ in range(AT_ONCE)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while True:
            with self.lock:
                if self.begun >= self.total:
                    return
                self.begun += 1
            began = time.monotonic()
            failures = self.refused
            try:
                with socket.create_connection(self.address, TIMEOUT) as connection:
                    failures = self.lost
                    connection.sendall(negotiation(self.address))
                    answer = connection.recv(4096)
                    if not answer.startswith(b"HTTP/1.1 200 "):
                        raise ValueError(repr(answer[:100]))
            except (OSError, ValueError) as error:
                with self.lock:
                    failures.append(str(error))
                continue
            with self.lock:
                self.answered += 1
                self.slowest = max(self.slowest, time.monotonic() - began)

    def wait(self, count):
        while self.begun < count:
            time.sleep(0.001)

    def finish(self):
        for thread in self.threads:
            thread.join()


def negotiation(address):
    host = f"{address[0]}:{address[1]}"
    return f"POST /hubs/chat/negotiate HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode()


def read_until(connection, end):
    read = b""
    while end not in read:
        more = connection.recv(4096)
        if not more:
            return read
        read += more
    return read


def read_answer(connection):
    """The body of an answer that says how long it is."""
    head, _, body = read_until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
    length = int(re.search(rb"\ncontent-length: *(\d+)", head.lower())[1])
    while len(body) < length:
        more = connection.recv(4096)
        if not more:
            sys.exit("upgrade: an answer breaks off")
        body += more
    return body


def connect_client(address):
    """A client over WebSocket whose handshake is answered."""
    with socket.create_connection(address, TIMEOUT) as connection:
        connection.sendall(negotiation(address))
        answer = json.loads(read_answer(connection))
    connection = socket.create_connection(address, TIMEOUT)
    connection.sendall(
        f"GET /client/?hub=chat&access_token={answer['accessToken']} HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    if not read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 101 "):
        sys.exit("upgrade: a client is not let in")
    handshake = b'{"protocol":"json","version":1}\x1e'
    # A mask of zeros leaves the payload as it is.
    connection.sendall(bytes([0x81, 0x80 | len(handshake), 0, 0, 0, 0]) + handshake)
    read_until(connection, b"{}\x1e")
    return connection


class Clients:
    """Clients that are connected until they are sent away."""

    def __init__(self, address, count):
        self.left, self.told = [], 0
        self.lock = threading.Lock()
        connections = [connect_client(address) for _ in range(count)]
        self.threads = [threading.Thread(target=self.listen, args=(connection,)) for connection in connections]
        for thread in self.threads:
            thread.start()

    def listen(self, connection):
        with connection:
            told = b'"allowReconnect":true' in read_until(connection, b'"allowReconnect":true')
            with self.lock:
                self.left.append(time.monotonic())
                self.told += told

    def finish(self):
        for thread in self.threads:
            thread.join()

    def most_in_a_second(self):
        left = sorted(self.left)
        return max((sum(1 for other in left if at <= other < at + 1) for at in left), default=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=os.environ.get("HUBGATE_BIN", "target/release/hubgate"))
    parser.add_argument("--connects", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--closes", type=int, default=250)
    arguments = parser.parse_args()
    listening, address = hold_socket()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "hubgate.toml"), "w") as config:
            config.write(
                f'[server]\naccess-keys = ["{KEY}"]\ndrain-timeout = "30s"\ndrain-closes = {arguments.closes}\n'
                'data-dir = "data"\n'
                '[admin]\nlisten = "127.0.0.1:0"\n[hubs.chat]\nmode = "serverless"\nnegotiate = { anonymous = true }\n'
            )
        with Gateway(arguments.bin, folder, "old") as old:
            clients = Clients(address, arguments.clients)
            connects = Connects(address, arguments.connects)
            connects.wait(arguments.connects // 4)
            began = time.monotonic()
            exit_code = old.stop()
        with Gateway(arguments.bin, folder, "new") as new:
            gap = time.monotonic() - began
            connects.finish()
            clients.finish()
            new.stop()
    print(
        json.dumps(
            {
                "connects": arguments.connects,
                "answered": connects.answered,
                "refused": len(connects.refused),
                "lost": len(connects.lost),
                "firstFailure": next(iter(connects.refused + connects.lost), None),
                "slowestSeconds": round(connects.slowest, 3),
                "upgradeSeconds": round(gap, 3),
                "clients": arguments.clients,
                "clientsToldToComeBack": clients.told,
                "mostClosesInASecond": clients.most_in_a_second(),
                "exitCode": exit_code,
            }
        )
    )


if __name__ == "__main__":
    main()
