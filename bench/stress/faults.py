"""The faults: each must stay with whoever causes it."""

import base64
import ctypes
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from gateway import Client, Dead, dial, in_threads, negotiate, post
from loads import bench, digest, probe

ROOT = Path(__file__).resolve().parent.parent.parent


def tls(rig):
    """clients over TLS that send messages of 16 KiB and 2,000 bytes back to back"""
    folder = rig.folder()
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command += f" -keyout {folder}/key.pem -out {folder}/certificate.pem"
    subprocess.run(command.split(), check=True, capture_output=True)
    files = f"{{ certificate = '{folder}/certificate.pem', key = '{folder}/key.pem' }}"
    with probe(rig, {"server.tls": files}) as gateway:

        def work(_):
            client, calls = Client(gateway, "tls", tls=True), 40
            for number in range(calls):
                arguments = ["x" * (16_384 + 1_900)]
                client.send({"type": 1, "target": "version", "arguments": arguments, "invocationId": str(number)})
            return sum(client.message().get("type") == 3 for _ in range(calls)) == calls

        served = [outcome for outcome in in_threads(10, work) if outcome is True]
        return f"{10 - len(served)} of 10 cut"


OTHER = {"plugins.other": "{ path = '@/other.wasm' }"}


def bad_restart(rig):
    """a restart with a file that is no component, beside a good one"""
    with probe(rig, OTHER, files={"other": rig.guest("probe-2")}) as gateway:
        gateway.stop()
        gateway.replace("other", b"nonsense")
        gateway.start(strict=False)
        if not gateway.is_alive():
            return f"exit code {gateway.process.returncode}: all hubs are down"
        answer = Client(gateway, "chat").call("version").get("result")
        other = gateway.plugin("other")
        return f"version {answer} of the good one answers; the other is {other['state']}, generation {other['generation']}"


def cache_hole(rig):
    """a hole of zeros in a cached file, as a power cut leaves it"""
    with probe(rig) as gateway:
        gateway.stop()
        files = [file for file in Path(gateway.folder, "data").rglob("*") if file.is_file()]
        largest = max(files, key=lambda file: file.stat().st_size)
        with open(largest, "r+b") as file:
            size = largest.stat().st_size
            file.seek(size // 4)
            file.write(bytes(size // 2))
        gateway.start(strict=False)
        try:
            answer = Client(gateway, "chat").call("version")
            return f"serves ({answer.get('result')})"
        except (Dead, OSError, AttributeError):
            time.sleep(0.2)
            return f"does not serve; exit code {gateway.process.poll()}"


def greedy(rig):
    """40 calls at once that eat memory until they are stopped"""
    bound = rig.if_taken({"server.limits.plugin-memory": "'256MiB'"})
    with probe(rig, bound) as gateway:
        before = gateway.status("VmRSS")
        clients = [Client(gateway, "chat") for _ in range(40)]
        good = Client(gateway, "chat")
        in_threads(len(clients), lambda number: clients[number].call("grow"))
        peak = (gateway.status("VmHWM") - before) // 1024
        bounded = ", of 256 MiB that all plugins may have" if bound else ""
        return f"{peak:,} MiB more{bounded}; another call is {answered(good)}"


def answered(client):
    return "answered" if client.call("echo", 1).get("result") == 1 else "NOT answered"


def swapped(rig, gateway):
    gateway.replace("probe", rig.guest("probe-2"))
    client = Client(gateway, "chat")
    end = time.monotonic() + 20
    while client.call("version").get("result") != "2":
        if time.monotonic() > end:
            raise Dead("the new version does not serve")
        time.sleep(0.05)
    return client


def traps(rig):
    """a new version that traps on every call of its clients"""
    with probe(rig) as gateway:
        client = swapped(rig, gateway)
        for _ in range(40):
            client.call("trap")
        return f"version {client.call('version').get('result')} serves after 40 traps (the one before is 1)"


def one_traps(rig):
    """one client of four whose calls trap in any version"""
    with probe(rig) as gateway:
        good = [swapped(rig, gateway)] + [Client(gateway, "chat") for _ in range(2)]
        bad = Client(gateway, "chat")
        for _ in range(60):
            bad.call("trap")
        return f"version {good[0].call('version').get('result')} serves the others (the new one is 2)"


def hangs(rig):
    """p99 of 500 echoes a second, beside 32 clients of another hub whose plugin never ends a call"""
    upstream = "[{ hubs = ['bench'], plugin = 'probe' }, { hubs = ['other'], plugin = 'other' }]"
    config = {"server.shards": "1", "upstream": upstream, **OTHER}
    with probe(rig, config, files={"other": rig.guest("probe")}) as gateway:
        seconds = rig.seconds(8)

        def measure():
            return bench(rig, gateway, "echo", "--clients", "50", "--rate", "500", seconds=seconds)["p99Micros"]

        alone = measure()
        callers = [sys.executable, f"{ROOT}/bench/callers.py", f"{gateway.folder}/ready.json"]
        callers += ["other", "spin", "32", str(seconds + 6)]
        with subprocess.Popen(callers, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as calling:
            # Until enough of them were in vain.
            time.sleep(4)
            beside = measure()
            calling.kill()
        return f"{beside / 1000:.2f} ms; alone {alone / 1000:.2f} ms: {beside / alone:.1f} times"


def noisy(rig):
    """p99 of a quiet hub's echoes, beside 50 clients of another hub that call without a pause"""
    one = {"server.shards": "1"}
    with probe(rig, one) as gateway, probe(rig, one) as other:
        seconds, found = rig.seconds(6), []
        for place in (other, gateway):
            command = [rig.loader, "bench", "echo", "--clients", "50", "--burst", "500", "--time", f"{seconds + 3}s"]
            command += ["--rounds", "1", "--no-floor", "--connection-string", place.connection_string(), "--hub", "noise"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as noise:
                time.sleep(1)
                quiet = bench(rig, gateway, "echo", "--clients", "10", "--rate", "500", seconds=seconds)
                found.append(quiet["p99Micros"])
                noise.kill()
        apart, same = found
        return f"{same / 1000:.1f} ms; with the noise on another gateway {apart / 1000:.1f} ms: {same / apart:.1f} times"


SEIZE, INTERRUPT, ALL_CHILDREN = 0x4206, 0x4207, 0x40000000


def stuck(rig):
    """a worker thread that stands still"""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    with probe(rig) as gateway:
        Client(gateway, "chat").close()
        tasks = Path(f"/proc/{gateway.process.pid}/task").iterdir()
        thread = next((int(task.name) for task in tasks if "shard" in (task / "comm").read_text()), None)
        if thread is None:
            raise Dead("no worker thread is found")
        for request in (SEIZE, INTERRUPT):
            if libc.ptrace(request, thread, None, None):
                raise Dead(f"a thread cannot be stopped: {os.strerror(ctypes.get_errno())}")
        os.waitpid(thread, ALL_CHILDREN)
        try:
            return without_a_thread(gateway, thread)
        finally:
            gateway.process.kill()
            while not has_ended(thread):
                time.sleep(0.01)


def has_ended(thread):
    """A process does not end before whoever has stopped a thread of it has heard of its end."""
    try:
        found, status = os.waitpid(thread, ALL_CHILDREN | os.WNOHANG)
    except ChildProcessError:
        return True
    return found == thread and not os.WIFSTOPPED(status)


def without_a_thread(gateway, thread):
    began, unready = time.monotonic(), None
    while time.monotonic() < began + 25:
        if has_ended(thread) or not gateway.is_alive():
            return f"unready after {unready or 0:.0f} s, the process ends after {time.monotonic() - began:.0f} s"
        if unready is None:
            asked = [gateway.ask("/readyz", timeout=0.5)[0] for _ in range(4)]
            if all(status in (None, 503) for status in asked):
                unready = time.monotonic() - began
        time.sleep(0.3)
    return f"{'unready' if unready else 'said to be ready'}, and the process goes on after 25 s"


def stale(rig):
    """a component that compiles for long; a reload of the configuration, and another component, before it has"""
    with probe(rig) as gateway:
        # A custom section of its own makes it one that was never compiled.
        gateway.replace("probe", rig.guest("chat-js") + b"\0\6\1n" + b"%04d" % random.randrange(10_000))
        time.sleep(0.3)
        gateway.reconfigure("server.shards", "server.limits.connections = 4000\nserver.shards")
        time.sleep(0.3)
        last = rig.guest("probe-2")
        gateway.replace("probe", last)
        time.sleep(10)
        return "the last one serves" if gateway.plugin("probe")["digest"] == digest(last) else "the first one serves, for good"


def compiler_killed(rig):
    """the compiler is killed once while a good file is compiled"""
    with probe(rig) as gateway:
        content = rig.guest("chat-js") + b"\0\6\1n" + b"%04d" % random.randrange(10_000)
        gateway.replace("probe", content)
        killed = kill_child(gateway.process.pid)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if gateway.plugin("probe")["digest"] == digest(content):
                return f"it serves after all{'' if killed else ' (nothing was killed)'}"
            time.sleep(0.2)
        return "it is refused for good"


def kill_child(parent):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        for task in Path(f"/proc/{parent}/task").iterdir():
            for child in (task / "children").read_text().split():
                os.kill(int(child), 9)
                return True
        time.sleep(0.005)
    return False


def full_disk(rig):
    """a start with a full disk below the data folder"""
    script = 'mount -t tmpfs -o size=256k none "$1" && { head -c 300k /dev/zero >"$1/full" 2>/dev/null; shift; exec "$@"; }'
    folder = rig.folder()
    os.mkdir(f"{folder}/data")
    wrap = ["unshare", "-m", "sh", "-c", script, "sh", f"{folder}/data"]
    with probe(rig, folder=folder, wrap=wrap, strict_start=False) as gateway:
        if not gateway.is_alive():
            return f"exit code {gateway.process.returncode}"
        client = Client(gateway, "chat")
        written = client.call("count", "x")
        return f"serves: a call is {answered(client)}, a write is {'done' if 'result' in written else 'refused'}"


def upgrade(rig):
    """connects while one gateway follows another"""
    count = str(rig.times(4_000))
    if rig.if_taken({"server.drain-closes": "1"}):
        command = [sys.executable, f"{ROOT}/scripts/upgrade.py", "--bin", rig.binary, "--connects", count]
        command += ["--clients", "100", "--closes", "50"]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)
        most = told["mostClosesInASecond"]
        return f"{told['refused']} refused and {told['lost']} lost of {count}; {most} of 100 clients leave in a second at most"
    port = free_port()
    with probe(rig, {"server.listen": f"'127.0.0.1:{port}'"}) as gateway:
        refused, done, total = [0], threading.Event(), [0]

        def connect():
            while not done.is_set():
                total[0] += 1
                try:
                    socket.create_connection(gateway.address, 5).close()
                except OSError:
                    refused[0] += 1
                time.sleep(0.001)

        connecting = threading.Thread(target=connect)
        connecting.start()
        time.sleep(1)
        gateway.stop()
        gateway.start()
        time.sleep(1)
        done.set()
        connecting.join()
        return f"{refused[0]} refused of {total[0]:,} (no socket outlives this version)"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def slow_consumers(rig):
    """40 clients that do not read the 8 MB that are sent to each"""
    with probe(rig, rig.if_taken({"server.limits.outboxes": "'64MiB'", "server.timeouts.outbox": "'5s'"})) as gateway:
        slow = [Client(gateway, "chat", receives=4096) for _ in range(40)]
        good, resident, worst = Client(gateway, "chat"), gateway.status("VmRSS"), 0
        for _ in range(rig.times(270)):
            began = time.monotonic()
            good.call("say", "x" * 30_000)
            worst = max(worst, time.monotonic() - began)
        peak = (gateway.status("VmHWM") - resident) // 1024
        time.sleep(15)
        clients = json.loads(gateway.ask("/admin/hubs/chat", admin=True)[1])["clients"] - 1
        del slow
        return f"{peak:,} MiB more, {clients} of 40 are kept 15 s later; the sender waits {worst * 1000:.0f} ms at most"


def kept_connection(rig):
    """20 clients that negotiate over one connection, as behind a proxy"""
    with probe(rig) as gateway:
        answer, _ = negotiate(gateway.address, "chat")
        connection, shards = dial(gateway.address), []
        for _ in range(20):
            path = "/client/negotiate?hub=chat&negotiateVersion=1"
            token = post(connection, gateway.address, path, answer["accessToken"])["connectionToken"]
            # An id's last bytes say whose it is.
            shards.append(base64.urlsafe_b64decode(token)[-1])
        return " and ".join(str(shards.count(shard)) for shard in range(2)) + " on the two worker threads"


FAULTS = [
    tls,
    bad_restart,
    cache_hole,
    greedy,
    traps,
    one_traps,
    hangs,
    noisy,
    stuck,
    stale,
    compiler_killed,
    full_disk,
    upgrade,
    slow_consumers,
    kept_connection,
]
