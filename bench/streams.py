#!/usr/bin/env python3
"""What an item of a stream costs beside a delivery of a fan-out: processor time of the gateway, in the same run.

    bench/streams.py            5 rounds; ROUNDS, CLIENTS and ITEMS change what is done

Needs the built gateway (HUBGATE_BIN, or target/release/hubgate) and the guests (HUBGATE_GUESTS, or target/guests).
"""

import base64
import json
import os
import pathlib
import selectors
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
HUBGATE = os.environ.get("HUBGATE_BIN", str(ROOT / "target/release/hubgate"))
GUESTS = pathlib.Path(os.environ.get("HUBGATE_GUESTS", ROOT / "target/guests"))
ROUNDS, CLIENTS, ITEMS = (int(os.environ.get(name, default)) for name, default in [("ROUNDS", 5), ("CLIENTS", 50), ("ITEMS", 2_000)])
END = "\x1e"


class Gateway:
    """Serves the probe of handlers as these hubs and the probe of whole hubs as hub `whole`."""

    def __init__(self, folder, handlers=("handler",)):
        config = f"""
            server = {{ listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-and-nothing-else"], data-dir = '{folder / "data"}', shards = 1 }}
            hubs."*" = {{ mode = "serverless", negotiate = {{ anonymous = true }} }}
            admin = {{ listen = "127.0.0.1:0" }}
            upstream = [{{ hubs = {json.dumps(handlers)}, plugin = "probe" }}, {{ hubs = ["whole"], plugin = "probe-hub" }}]
            plugins.probe.path = '{GUESTS / "probe.wasm"}'
            plugins.probe-hub.path = '{GUESTS / "probe-hub.wasm"}'
            """
        (folder / "hubgate.toml").write_text(config)
        ready = folder / "ready.json"
        command = [HUBGATE, "--log", "error", "serve", "--config", folder / "hubgate.toml", "--ready-file", ready]
        self.process = subprocess.Popen(command)
        while not ready.exists():
            time.sleep(0.01)
        self.ready = json.loads(ready.read_text())
        self.address = self.ready["listen"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def processor_time(self):
        """In seconds, of all threads."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


class Client:
    """A JSON client that counts what it gets and reads nothing of it."""

    def __init__(self, gateway, hub, stateful=False):
        query = "negotiateVersion=1&useStatefulReconnect=true" if stateful else "negotiateVersion=1"
        token = posted(f"http://{gateway.address}/hubs/{hub}/negotiate?{query}")["accessToken"]
        self.address, self.path = gateway.address, f"/client/?hub={hub}&access_token={token}"
        if stateful:
            # Who is to be known again negotiates where it connects.
            answer = posted(f"http://{gateway.address}/client/negotiate?hub={hub}&access_token={token}&{query}")
            self.path += f"&id={answer['connectionToken']}"
        self.tail = b""
        self.open()
        self.say(f'{{"protocol":"json","version":{2 if stateful else 1}}}')
        self.until_got(b"{}\x1e")

    def open(self):
        """Opens a WebSocket."""
        host, port = self.address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET {self.path} HTTP/1.1\r\nHost: {self.address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.socket.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())

    def until_got(self, marker, number=1):
        """Reads until it has got so many markers."""
        got = b""
        while got.count(marker) < number:
            data = self.socket.recv(1 << 18)
            assert data, f"the connection ended: {got[-300:]}"
            got += data

    def say(self, *messages):
        payload = "".join(message + END for message in messages).encode()
        # A mask of zeros masks nothing.
        head = bytes([0x81, 0x80 | 126]) + len(payload).to_bytes(2, "big") + bytes(4)
        self.socket.sendall(head + payload)

    def count(self, marker):
        """How often `marker` is in what has come now."""
        data = self.tail + self.socket.recv(1 << 18)
        self.tail = data[-(len(marker) - 1) :]
        return data.count(marker)


def posted(url):
    with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as response:
        return json.loads(response.read())


def until_all_have(clients, marker, number):
    """Reads until each client has got `number` markers."""
    left = {client: number for client in clients}
    with selectors.DefaultSelector() as selector:
        for client in clients:
            client.tail = b""
            selector.register(client.socket, selectors.EVENT_READ, client)
        while left:
            for key, _ in selector.select(60):
                client = key.data
                left[client] -= client.count(marker)
                if left[client] <= 0:
                    selector.unregister(client.socket)
                    del left[client]


def stream(clients):
    """Each client streams ITEMS numbers; gives how many items that are."""
    for client in clients:
        client.say(f'{{"type":4,"invocationId":"1","target":"numbers","arguments":[{ITEMS},0]}}')
    until_all_have(clients, b'"type":3', 1)
    return len(clients) * ITEMS


def fan_out(clients, items=ITEMS, burst=100):
    """One client says something to all, so many times; gives how many deliveries that are."""
    for begin in range(0, items, burst):
        clients[0].say(*[f'{{"type":1,"target":"say","arguments":[{begin + index}]}}' for index in range(burst)])
    until_all_have(clients, b'"target":"said"', items)
    return len(clients) * items


def main():
    with tempfile.TemporaryDirectory() as folder:
        with Gateway(pathlib.Path(folder)) as gateway:
            whole = [Client(gateway, "whole") for _ in range(CLIENTS)]
            handler = [Client(gateway, "handler") for _ in range(CLIENTS)]
            costs = {"an item": [], "a delivery": []}
            for _ in range(ROUNDS + 1):
                for name, work, clients in [("an item", stream, whole), ("a delivery", fan_out, handler)]:
                    begin = gateway.processor_time()
                    number = work(clients)
                    costs[name].append((gateway.processor_time() - begin) / number * 1e6)
            # The first round makes instances.
            item, delivery = (statistics.median(each[1:]) for each in costs.values())
            print(f"{CLIENTS} clients, {ITEMS} items each, {ROUNDS} rounds, one shard")
            print(f"an item of a stream      {item:.2f} us of processor time")
            print(f"a delivery of a fan-out  {delivery:.2f} us")
            print(f"ratio                    {item / delivery:.1f}")


if __name__ == "__main__":
    main()
