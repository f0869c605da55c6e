#!/usr/bin/env python3
"""What several gateways as one cost: processor time of a delivery on the sender's node and on another one, with one, two and three nodes.

    bench/cluster.py            some two minutes; ROUNDS, CLIENTS and SENDS change what is done

Needs the built gateway (HUBGATE_BIN, or target/release/hubgate) and nats-server (HUBGATE_NATS_SERVER, or in PATH), and twice as many file
descriptors as CLIENTS.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROUNDS, CLIENTS, SENDS = (
    int(os.environ.get(name, default)) for name, default in [("ROUNDS", 5), ("CLIENTS", 1_000), ("SENDS", 100)]
)
HUBGATE = os.path.abspath(os.environ.get("HUBGATE_BIN", "target/release/hubgate"))
NATS = os.environ.get("HUBGATE_NATS_SERVER", "nats-server")
TICKS = os.sysconf("SC_CLK_TCK")
KEY = os.environ.get("HUBGATE_BENCH_KEY") or base64.b64encode(os.urandom(48)).decode()
HUB = "bench"
# How long nothing is sent after a send, in seconds.
PACES = {"one at a time": 0.03, "in a row": 0}


def until(what, condition):
    for _ in range(1_200):
        if result := condition():
            return result
        time.sleep(0.05)
    raise SystemExit(f"waited in vain for {what}")


def processor_time(process):
    """In seconds, of all threads."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Nats:
    def __init__(self, folder):
        command = [NATS, "--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ports = until("nats-server", lambda: list(folder.glob("*.ports")))
        self.url = json.loads(ports[0].read_text())["nats"][0]


class Node:
    def __init__(self, folder, nats):
        folder.mkdir()
        cluster = f"[cluster]\nservers = ['{nats.url}']\n" if nats else ""
        listen = "[server]\nlisten = '127.0.0.1:0'\nshards = 1\nlog = 'warn'\n[admin]\nlisten = '127.0.0.1:0'\n"
        (folder / "hubgate.toml").write_text(f"{listen}[hubs.{HUB}]\nmode = 'serverless'\n{cluster}")
        ready = folder / "ready.json"
        command = [HUBGATE, "serve", "--config", str(folder / "hubgate.toml"), "--ready-file", str(ready)]
        environment = {**os.environ, "HUBGATE_ACCESS_KEYS": KEY}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        until("the gateway", ready.exists)
        self.ready = json.loads(ready.read_text())
        self.rest = http.client.HTTPConnection(self.ready["listen"])
        until("the cluster to be joined", lambda: self.says("/readyz") == 200)

    def says(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.ready['listen']}{path}") as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def sent_out(self):
        """Messages to clients so far."""
        headers = {"Authorization": f"Bearer {self.ready['adminToken']}"}
        request = urllib.request.Request(f"http://{self.ready['admin']}/metrics", headers=headers)
        with urllib.request.urlopen(request) as answer:
            text = answer.read().decode()
        found = re.search(rf'hubgate_messages_total\{{hub="{HUB}",direction="out"\}} (\d+)', text)
        return int(found[1]) if found else 0

    def broadcast(self):
        path = f"/api/v1/hubs/{HUB}"
        audience = f"http://{self.ready['listen']}{path}"
        headers = {"Authorization": f"Bearer {token(audience)}", "Content-Type": "application/json"}
        self.rest.request("POST", path, json.dumps({"target": "said", "arguments": ["x" * 100]}), headers)
        answer = self.rest.getresponse()
        assert answer.status == 202, answer.read()
        answer.read()


def token(audience):
    claims = {"aud": audience, "exp": int(time.time()) + 600}
    encoded = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")
    text = b".".join(encoded(json.dumps(part).encode()) for part in [{"alg": "HS256", "typ": "JWT"}, claims])
    return (text + b"." + encoded(hmac.new(KEY.encode(), text, hashlib.sha256).digest())).decode()


def frame(text):
    """A masked text frame; the mask changes nothing."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode()


def listen(address):
    """Clients that only read, and ping, until the process is killed."""
    ready = selectors.DefaultSelector()
    path = f"/client/?hub={HUB}"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    head += f"Sec-WebSocket-Key: {'A' * 22}==\r\nAuthorization: Bearer {token(f'http://{address}{path}')}\r\n\r\n"
    clients = []
    for _ in range(CLIENTS):
        host, port = address.rsplit(":", 1)
        client = socket.create_connection((host, int(port)))
        client.sendall(head.encode())
        answer = client.recv(4_096)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        client.sendall(frame('{"protocol":"json","version":1}\x1e'))
        client.setblocking(False)
        ready.register(client, selectors.EVENT_READ)
        clients.append(client)
    pinged = time.monotonic()
    while True:
        for key, _ in ready.select(timeout=1):
            key.fileobj.recv(1 << 16)
        if time.monotonic() - pinged > 10:
            pinged = time.monotonic()
            for client in clients:
                client.send(frame('{"type":6}\x1e'))


def listeners(node):
    """Clients of a node, in a process of their own."""
    command = [sys.executable, __file__, node.ready["listen"]]
    return subprocess.Popen(command, env={**os.environ, "HUBGATE_BENCH_KEY": KEY})


def measure(sender, receiver, processes, pause):
    """Processor time of each process for a delivery, in microseconds, with a pause after each send, in seconds."""
    begin, count = [processor_time(process) for process in processes], receiver.sent_out()
    for _ in range(SENDS):
        sender.broadcast()
        time.sleep(pause)
    until("the deliveries", lambda: receiver.sent_out() - count >= SENDS * CLIENTS)
    return [(processor_time(process) - before) / (SENDS * CLIENTS) * 1e6 for process, before in zip(processes, begin)]


def main():
    ran = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            nats = Nats(folder)
            alone = Node(folder / "alone", None)
            nodes = [Node(folder / str(number), nats) for number in range(3)]
            ran = [nats.process, alone.process, *(node.process for node in nodes)]
            for receiver in [alone, nodes[0]]:
                ran.append(listeners(receiver))
            for receiver in [alone, nodes[0]]:
                until("the clients", lambda: connected(receiver))
            ways = {
                "one gateway that serves alone": (alone, alone),
                "a node of three, sent to at the clients' node": (nodes[0], nodes[0]),
                "a node of three, sent to at another node": (nodes[1], nodes[0]),
            }
            for title, pause in PACES.items():
                costs = {way: [] for way in ways}
                for turn in range(ROUNDS + 1):
                    for way, (sender, receiver) in ways.items():
                        processes = [receiver.process, sender.process, nats.process, nodes[2].process]
                        cost = measure(sender, receiver, processes, pause)
                        if sender is receiver:
                            cost[1] = 0.0
                        if turn:
                            costs[way].append(cost)
                table(title, costs)
        finally:
            for process in ran:
                process.kill()


def connected(node):
    headers = {"Authorization": f"Bearer {node.ready['adminToken']}"}
    request = urllib.request.Request(f"http://{node.ready['admin']}/admin/hubs/{HUB}", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())["clients"] >= CLIENTS


def table(title, costs):
    print(f"{CLIENTS} clients, {SENDS} sends {title}, {ROUNDS} rounds; processor time of a delivery, medians, in µs")
    print("| way | the clients' node | the sender's | NATS | a third node | all, of one alone |")
    print("|---|---|---|---|---|---|")
    base = None
    for way, rounds in costs.items():
        medians = [statistics.median(column) for column in zip(*rounds)]
        base = base or sum(medians[:3])
        print(f"| {way} | " + " | ".join(f"{value:.2f}" for value in medians) + f" | {sum(medians) / base:.2f} |")


if __name__ == "__main__":
    listen(sys.argv[1]) if sys.argv[1:] else main()
