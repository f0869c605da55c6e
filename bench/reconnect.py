#!/usr/bin/env python3
"""What stateful reconnect costs the gateway: processor time of a delivery, memory of a connection, and how long a cut lasts.

    bench/reconnect.py          some 60 s; ROUNDS, CLIENTS, ITEMS, CONNECTIONS and CUTS change what is done

Needs the built gateway (HUBGATE_BIN, or target/release/hubgate) and the guests (HUBGATE_GUESTS, or target/guests), and twice as many file
descriptors as CONNECTIONS.
"""

import json
import os
import pathlib
import resource
import socket
import statistics
import struct
import tempfile
import time
import urllib.request

from streams import CLIENTS, Client, Gateway, ITEMS, ROUNDS, fan_out

CONNECTIONS, CUTS = (int(os.environ.get(name, default)) for name, default in [("CONNECTIONS", 2_000), ("CUTS", 100)])
# A client comes back as often in a second at most, in the long run.
RESUMES_A_SECOND = 10


class Stateful(Client):
    """A client that may come back. It acknowledges when it is told to."""

    def __init__(self, gateway, hub):
        super().__init__(gateway, hub, stateful=True)

    def acknowledge(self, number):
        self.say(f'{{"type":8,"sequenceId":{number}}}')

    def cut(self):
        # Resets the connection.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def resume(self):
        self.open()
        self.say('{"type":9,"sequenceId":1}')


def resident(gateway):
    """In kB, once it has come to rest."""
    time.sleep(1.5)
    status = pathlib.Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def waiting(gateway):
    headers = {"Authorization": f"Bearer {gateway.ready['adminToken']}"}
    request = urllib.request.Request(f"http://{gateway.ready['admin']}/admin/hubs/kept", headers=headers)
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read())["waitingClients"]


def started(folder):
    return Gateway(pathlib.Path(folder), handlers=["plain", "kept"])


def one_by_one(clients):
    """One client says something to all, and again once all have it; gives how many deliveries that are."""
    return sum(fan_out(clients, 1, 1) for _ in range(ITEMS // 10))


def deliveries(work, items):
    """Processor time of a delivery without and with a log, in microseconds."""
    with tempfile.TemporaryDirectory() as folder, started(folder) as gateway:
        plain = [Client(gateway, "plain") for _ in range(CLIENTS)]
        kept = [Stateful(gateway, "kept") for _ in range(CLIENTS)]
        costs, sent = ([], []), 0
        for _ in range(ROUNDS + 1):
            for clients, each in zip((plain, kept), costs):
                begin, number = gateway.processor_time(), work(clients)
                if clients is kept:
                    sent += items
                    for client in kept:
                        client.acknowledge(sent)
                # What is on its way counts.
                time.sleep(0.1)
                each.append((gateway.processor_time() - begin) / number * 1e6)
        # The first round makes instances.
        return [statistics.median(each[1:]) for each in costs]


def memory():
    """kB of an idle connection, of one that may come back, and of one that is waited for."""
    found = []
    for kind, hub in [(Client, "plain"), (Stateful, "kept")]:
        with tempfile.TemporaryDirectory() as folder, started(folder) as gateway:
            first = [kind(gateway, hub) for _ in range(100)]
            before = resident(gateway)
            clients = [kind(gateway, hub) for _ in range(CONNECTIONS)]
            found.append((resident(gateway) - before) / CONNECTIONS)
            if kind is Stateful:
                for client in clients:
                    client.cut()
                found.append((resident(gateway) - before) / CONNECTIONS)
                assert waiting(gateway) == CONNECTIONS, "all are waited for"
            del first
    return found


def cuts():
    """Milliseconds from a cut to the first message that is sent again, and to the last of 500; and those that a new connection takes."""
    once, many, anew = [], [], []
    with tempfile.TemporaryDirectory() as folder, started(folder) as gateway:
        for kept, times in [(1, once), (500, many)]:
            client = Stateful(gateway, "kept")
            for _ in range(kept // 100 or 1):
                client.say(*['{"type":1,"target":"say","arguments":["hello"]}'] * min(kept, 100))
            client.until_got(b'"said"', kept)
            for _ in range(CUTS):
                begin = time.monotonic()
                client.cut()
                client.resume()
                client.until_got(b'"said"', kept)
                times.append(1e3 * (time.monotonic() - begin))
                time.sleep(1 / RESUMES_A_SECOND)
        for _ in range(CUTS):
            begin = time.monotonic()
            Client(gateway, "plain")
            anew.append(1e3 * (time.monotonic() - begin))
    return once, many, anew


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4 * CONNECTIONS + 1_000), most))
    print(f"{CLIENTS} clients, {ROUNDS} rounds, one shard, load {os.getloadavg()[0]:.1f}")
    for name, work, items in [("one by one", one_by_one, ITEMS // 10), ("in bursts of 100", fan_out, ITEMS)]:
        plain, kept = deliveries(work, items)
        print(f"a delivery, {items} {name}: {plain:.2f} us of processor time; kept until it is acknowledged {kept:.2f} us; ratio {kept / plain:.2f}")
    idle, stateful, away = memory()
    print(f"{CONNECTIONS} idle connections    {idle:.2f} kB each; that may come back {stateful:.2f}; that are waited for {away:.2f}")
    for name, times in zip(["first message after a cut", "500 messages after a cut", "a new connection"], cuts()):
        times.sort()
        print(f"{name:<26} {statistics.median(times):.2f} ms, p99 {times[len(times) * 99 // 100 - 1]:.2f} ms, {len(times)} times")


if __name__ == "__main__":
    main()
