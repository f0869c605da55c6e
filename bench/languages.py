#!/usr/bin/env python3
"""What a handler costs in each language: writes the table of docs/languages.md to standard output.

    bench/languages.py              measures the handlers of tests/guests/conformance
    bench/languages.py rust python  these languages alone

Needs the built gateway (HUBGATE_BIN, or target/release/hubgate) and the tools of the languages in PATH, as scripts/test.sh installs them.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
HUBGATE = os.environ.get("HUBGATE_BIN", str(ROOT / "target/release/hubgate"))
LANGUAGES = {"rust": "Rust", "js": "JavaScript", "ts": "TypeScript", "python": "Python", "go": "Go", "c": "C"}
TITLES = ["build", "component", "compiling", "an instance", "a start", "first call", "a call", "a swap"]


def seconds_of(action):
    begin = time.monotonic()
    result = action()
    return time.monotonic() - begin, result


def run(*command):
    return subprocess.run([HUBGATE, *command], check=True, capture_output=True, text=True).stdout


def wait_for(condition):
    while not (found := condition()):
        time.sleep(0.005)
    return found


class Gateway:
    """Serves a component; knows when it is ready."""

    def __init__(self, folder, component):
        (folder / "hubgate.toml").write_text(
            f"""
            server = {{ listen = "127.0.0.1:0", access-keys = ["a-key-for-the-bench-and-nothing-else"], data-dir = '{folder / "data"}', shards = 1 }}
            admin = {{ listen = "127.0.0.1:0" }}
            hubs.bench = {{ mode = "serverless", negotiate = {{ anonymous = true }} }}
            upstream = [{{ plugin = "bench" }}]
            plugins.bench = {{ path = '{component}', call-time = "30s", allow-http = ["http://127.0.0.1:1"] }}
            """
        )
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [HUBGATE, "--log", "error", "serve", "--config", folder / "hubgate.toml", "--ready-file", ready]
        self.process = subprocess.Popen(command)
        wait_for(ready.exists)
        self.ready = json.loads(ready.read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def admin(self, path):
        headers = {"authorization": f"Bearer {self.ready['adminToken']}"}
        request = urllib.request.Request(f"http://{self.ready['admin']}{path}", headers=headers)
        return urllib.request.urlopen(request).read().decode()

    def calls(self):
        """The time that all calls took so far, in seconds, and their number."""
        metrics = self.admin("/metrics")
        found = [re.search(rf"^hubgate_plugin_call_seconds_{name}{{.*}} (\S+)$", metrics, re.M) for name in ("sum", "count")]
        return tuple(float(each[1]) if each else 0.0 for each in found)

    def generation(self):
        return json.loads(self.admin("/admin/plugins"))["plugins"][0]["generation"]

    def echo(self):
        origin = ["--connection-string", self.ready["connectionString"], "--hub", "bench"]
        run("bench", "echo", *origin, "--clients", "1", "--time", "1s", "--rounds", "1", "--no-floor")

    def swap(self, component):
        """Waits until another content of the file serves."""
        generation = self.generation()
        # A custom section of its own makes it one that was never compiled.
        new = component.with_suffix(".new")
        new.write_bytes(component.read_bytes() + b"\0\6\1n0001")
        new.rename(component)
        wait_for(lambda: self.generation() > generation)

    def first_call(self):
        """A client comes by long polling: the handler hears of it in a new instance. Gives how long that took."""
        origin = f"http://{self.ready['listen']}/client"
        token = run("token", "client", "--hub", "bench", "--connection-string", self.ready["connectionString"]).strip()

        def send(path, body=None):
            request = urllib.request.Request(f"{origin}{path}", data=body, headers={"authorization": f"Bearer {token}"})
            return urllib.request.urlopen(request).read()

        negotiated = json.loads(send("/negotiate?hub=bench&negotiateVersion=1", b""))
        path = f"/?hub=bench&id={negotiated['connectionToken']}"
        send(path)
        send(path, b'{"protocol":"json","version":1}\x1e')
        send(path)
        seconds, number = self.calls()
        assert number == 1, number
        return seconds


def measure(language):
    project = ROOT / "tests/guests/conformance" / language / "handler"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        component = folder / "handler.wasm"
        for source in project.rglob("*.rs"):
            # What cargo has built already is not what a change costs.
            source.touch()
        build, _ = seconds_of(lambda: run("plugin", "build", str(project), "-o", str(component)))
        instance = json.loads(run("plugin", "check", "--json", str(component)))["memoryBytes"]
        cold, gateway = seconds_of(lambda: Gateway(folder, component))
        gateway.stop()
        warm, gateway = seconds_of(lambda: Gateway(folder, component))
        first = gateway.first_call()
        before = gateway.calls()
        gateway.echo()
        after = gateway.calls()
        call = (after[0] - before[0]) / (after[1] - before[1])
        swapped, _ = seconds_of(lambda: gateway.swap(component))
        gateway.stop()
        size = component.stat().st_size
    cells = [
        f"{build:.1f} s",
        f"{size / 1e6:.2f} MB",
        f"{max(cold - warm, 0):.2f} s",
        f"{instance / 1e6:.1f} MB",
        f"{warm * 1e3:.0f} ms",
        f"{first * 1e6:.0f} µs",
        f"{call * 1e6:.1f} µs",
        f"{swapped:.1f} s",
    ]
    return f"| {LANGUAGES[language]} | {' | '.join(cells)} |"


def main():
    print(f"| | {' | '.join(TITLES)} |\n|---|{'---|' * len(TITLES)}")
    for language in sys.argv[1:] or LANGUAGES:
        print(measure(language), flush=True)


if __name__ == "__main__":
    main()
