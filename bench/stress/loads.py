"""The loads: what is counted must all arrive, once and in order."""

import hashlib
import json
import random
import subprocess
import threading
import time

from gateway import KEY, Client, Dead, Gateway, frame, in_threads, readable

PROBE = {
    "server.listen": "'127.0.0.1:0'",
    "server.access-keys": f"['{KEY}']",
    "server.data-dir": "'@/data'",
    "server.shards": "2",
    "admin.listen": "'127.0.0.1:0'",
    'hubs."*"': "{ mode = 'serverless', negotiate = { anonymous = true } }",
    "upstream": "[{ plugin = 'probe' }]",
    "plugins.probe": "{ path = '@/probe.wasm' }",
}


def probe(rig, config=None, files=None, folder=None, **options):
    """A gateway whose hubs are answered by the probe, unless `config` says otherwise. It finds `files` beside it, by name."""
    folder = folder or rig.folder()
    for name, content in {"probe": rig.guest("probe"), **(files or {})}.items():
        with open(f"{folder}/{name}.wasm", "wb") as file:
            file.write(content)
    return Gateway(rig.binary, folder, written({**PROBE, **(config or {})}), **options)


def written(config):
    return "".join(f"{key} = {value}\n" for key, value in config.items())


def bench(rig, gateway, scenario, *options, seconds):
    """What `hubgate bench` measures, and an error where a message is lost, doubled or out of order."""
    command = [rig.loader, "bench", scenario, *options, "--time", f"{seconds}s", "--rounds", "1", "--no-floor", "--json"]
    command += ["--connection-string", gateway.connection_string(), "--hub", "bench"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if not done.stdout:
        raise Dead(done.stderr.strip()[-300:])
    return json.loads(done.stdout.splitlines()[-1])


def tale(result, seconds, what):
    wrong = {name: result[name] for name in ("lost", "doubled", "outOfOrder") if result[name]}
    return f"{round(result['perSecond'] * seconds):,} {what}, {wrong or 'none lost, doubled or out of order'}"


def deliveries(rig):
    """numbered messages, in bursts of 10 to 1,000 clients"""
    with probe(rig) as gateway:
        seconds = rig.seconds(20)
        result = bench(rig, gateway, "broadcast", "--clients", "1000", "--burst", "10", seconds=seconds)
        return tale(result, seconds, "deliveries")


def swaps(rig):
    """calls while their component is replaced, over and over"""
    versions = [rig.guest("probe-2"), rig.guest("probe")]
    with probe(rig) as gateway:
        seconds, stop = rig.seconds(30), threading.Event()

        def swap():
            generation = 1
            while not stop.is_set():
                gateway.replace("probe", versions[(generation + 1) % 2])
                generation += 1
                while gateway.plugin("probe")["generation"] < generation and not stop.wait(0.005):
                    pass

        swapper = threading.Thread(target=swap)
        swapper.start()
        try:
            result = bench(rig, gateway, "echo", "--clients", "50", seconds=seconds)
        finally:
            stop.set()
            swapper.join()
        return f"{tale(result, seconds, 'calls')}; {gateway.plugin('probe')['generation'] - 1} swaps"


def writes(rig):
    """acknowledged writes of a component's state, while the gateway is killed over and over"""
    kills, acknowledged, lost = rig.times(30), 0, 0
    with probe(rig) as gateway:
        before = [0] * 8
        for _ in range(kills):
            clients = [Client(gateway, "writes") for _ in before]
            killer = threading.Timer(random.uniform(0.2, 0.6), gateway.kill)
            killer.start()

            def write(number):
                try:
                    while True:
                        answer = clients[number].call("count", f"key{number}")
                        before[number] = max(before[number], answer["result"])
                except (Dead, OSError):
                    clients[number].close()

            start = sum(before)
            in_threads(len(before), write)
            killer.join()
            acknowledged += sum(before) - start
            gateway.start()
            reader = Client(gateway, "writes")
            for number, count in enumerate(before):
                found = reader.call("count", f"key{number}")["result"]
                lost += max(0, count + 1 - found)
                before[number] = found
            reader.close()
    return f"{acknowledged:,} writes over {kills} kills, {lost} lost"


def connects(rig):
    """clients that come and go, beside echoes"""
    with probe(rig) as gateway:
        seconds = rig.seconds(25)
        echoes = ["echo", "--clients", "50", "--rate", "500"]
        beside = threading.Thread(target=lambda: bench(rig, gateway, *echoes, seconds=seconds))
        beside.start()
        resident = gateway.status("VmRSS")
        result = bench(rig, gateway, "connect", "--clients", "20", seconds=seconds)
        beside.join()
        kilobytes = gateway.status("VmRSS") - resident
        return f"{tale(result, seconds, 'connects')}; memory {kilobytes:+,} kB"


SEEDS = [
    '{"type":1,"target":"echo","arguments":[{"a":[1,2.5,"\\u00fc",null]}],"invocationId":"7"}',
    '{"type":1,"target":"echo","arguments":[9007199254740993]}',
    '{"type":6}',
    '{"type":4,"target":"numbers","arguments":[3],"invocationId":"8"}',
    '{"type":5,"invocationId":"8"}',
    '{"type":2,"invocationId":"9","item":"x"}',
    '{"type":7,"error":"bye","allowReconnect":true}',
    '{"type":3,"invocationId":"1","result":{}}',
]


def mutated(rig):
    """messages with bytes changed, added and left out, also of their frames"""
    chance, sent, each = random.Random(18), 0, 50
    end = time.monotonic() + rig.seconds(40)
    with probe(rig) as gateway:
        while time.monotonic() < end:
            client = Client(gateway, "mutated")
            messages = b"".join(mutate(chance, chance.choice(SEEDS).encode()) for _ in range(each))
            sent += each
            try:
                client.socket.sendall(messages)
                while readable([client.socket], 0.005) and client.socket.recv(1 << 16):
                    pass
            except OSError:
                pass
            client.close()
        fine = Client(gateway, "fine").call("echo", 1).get("result") == 1
        panics = gateway.said().count("panicked")
        return f"{sent:,} messages, {panics} panics, the next call is {'answered' if fine else 'LOST'}"


def mutate(chance, message):
    data = bytearray(message + b"\x1e")
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(3):
            case 0 if data:
                data[at] = chance.randrange(256)
            case 1:
                data.insert(at, chance.choice(b'"{}[],:\\0\x1e\xff'))
            case _ if data:
                del data[at]
    framed = bytearray(frame(bytes(data)))
    if chance.random() < 0.05:
        framed[chance.randrange(min(2, len(framed)))] ^= 1 << chance.randrange(8)
    return bytes(framed)


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


LOADS = [deliveries, swaps, writes, connects, mutated]
