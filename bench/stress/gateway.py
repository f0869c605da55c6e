"""A gateway of any version, in a folder of its own, and clients of it."""

import base64
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

KEY = "a-key-for-the-bench-and-nothing-else"
SEPARATOR = "\x1e"
START = 30


class Dead(Exception):
    """The gateway is not there, or does not answer."""


class Gateway:
    """`hubgate serve`, in the folder where its files are."""

    def __init__(self, binary, folder, config, strict_start=True, wrap=()):
        self.binary, self.folder, self.wrap = binary, folder, list(wrap)
        config = config.replace("@", folder)
        with open(f"{folder}/hubgate.toml", "w") as file:
            file.write(config)
        self.start(strict_start)

    def start(self, strict=True):
        ready = f"{self.folder}/ready.json"
        if os.path.exists(ready):
            os.remove(ready)
        command = self.wrap + [self.binary, "serve", "--config", f"{self.folder}/hubgate.toml", "--ready-file", ready]
        with open(f"{self.folder}/log", "a") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        end = time.monotonic() + START
        while not os.path.exists(ready):
            if self.process.poll() is not None or time.monotonic() > end:
                if strict:
                    raise Dead(f"the gateway does not start: {self.said()[-400:]}")
                return
            time.sleep(0.01)
        self.ready = json.load(open(ready))
        host, port = self.ready["listen"].rsplit(":", 1)
        self.address = (host, int(port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def is_alive(self):
        return self.process.poll() is None

    def kill(self):
        if self.is_alive():
            self.process.kill()
        self.process.wait()

    def stop(self, within=60):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def said(self):
        return open(f"{self.folder}/log", errors="replace").read()

    def ask(self, path, admin=False, timeout=5, method="GET"):
        """The status and the body of an answer."""
        place = self.ready["admin"] if admin else self.ready["listen"]
        headers = {"Authorization": f"Bearer {self.ready['adminToken']}"} if admin else {}
        request = urllib.request.Request(f"http://{place}{path}", headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return None, str(error)

    def plugin(self, name):
        plugins = json.loads(self.ask("/admin/plugins", admin=True)[1])["plugins"]
        return next(plugin for plugin in plugins if plugin["name"] == name)

    def replace(self, name, content):
        """Puts a plugin's file into place all at once."""
        with open(f"{self.folder}/{name}.next", "wb") as file:
            file.write(content)
        os.rename(f"{self.folder}/{name}.next", f"{self.folder}/{name}.wasm")

    def reconfigure(self, text, replacement):
        with open(f"{self.folder}/hubgate.toml") as file:
            config = file.read()
        with open(f"{self.folder}/next.toml", "w") as file:
            file.write(config.replace(text, replacement))
        os.rename(f"{self.folder}/next.toml", f"{self.folder}/hubgate.toml")

    def status(self, name):
        """A line of /proc/PID/status, in kB."""
        with open(f"/proc/{self.process.pid}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def connection_string(self):
        return self.ready["connectionString"]


class Client:
    """A client over WebSocket. A mask of zeros leaves the payload as it is."""

    def __init__(self, gateway, hub, tls=False, receives=None):
        self.unread, self.messages, self.number = b"", [], 0
        answer, path = negotiate(gateway.address, hub, tls)
        self.socket = dial(gateway.address, tls, receives)
        self.socket.sendall(
            f"GET {path}&access_token={answer['accessToken']} HTTP/1.1\r\nHost: {host(gateway.address)}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode()
        )
        head = self.read_until(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise Dead(f"a client is not let in: {head[:200]!r}")
        self.send({"protocol": "json", "version": 1})
        shaken = self.message()
        if "error" in shaken:
            raise Dead(shaken["error"])

    def close(self):
        self.socket.close()

    def send(self, message):
        self.send_text(json.dumps(message) + SEPARATOR)

    def send_text(self, text):
        self.socket.sendall(frame(text.encode()))

    def call(self, method, *arguments, timeout=10):
        """The completion."""
        self.number += 1
        number = str(self.number)
        self.send({"type": 1, "target": method, "arguments": arguments, "invocationId": number})
        end = time.monotonic() + timeout
        while True:
            message = self.message(max(0.01, end - time.monotonic()))
            if message.get("type") == 3 and message["invocationId"] == number:
                return message
            if message.get("type") == 7:
                raise Dead(f"the client was closed: {message}")

    def message(self, timeout=10):
        self.socket.settimeout(timeout)
        while not self.messages:
            self.messages = [text for text in self.frame().decode().split(SEPARATOR) if text]
        return json.loads(self.messages.pop(0))

    def frame(self):
        """The payload of the next data frame."""
        while True:
            first, length = self.read(2)
            if length == 126:
                length = int.from_bytes(self.read(2), "big")
            elif length == 127:
                length = int.from_bytes(self.read(8), "big")
            payload = self.read(length)
            if first & 0x0F == 8:
                raise Dead(f"the client was closed: {payload[2:]!r}")
            if first & 0x0F in (0, 1, 2):
                return payload

    def read(self, count):
        while len(self.unread) < count:
            self.unread += received(self.socket)
        taken, self.unread = self.unread[:count], self.unread[count:]
        return taken

    def read_until(self, end):
        while end not in self.unread:
            self.unread += received(self.socket)
        head, self.unread = self.unread.split(end, 1)
        return head


def received(connection):
    more = connection.recv(1 << 16)
    if not more:
        raise Dead("the connection was cut")
    return more


def host(address):
    return f"{address[0]}:{address[1]}"


def dial(address, tls=False, receives=None):
    """A connection whose buffer for what it receives has so many bytes, if it is said."""
    plain = socket.socket()
    if receives:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    plain.settimeout(10)
    plain.connect(address)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ssl._create_unverified_context().wrap_socket(plain) if tls else plain


def negotiate(address, hub, tls=False):
    """The answer, and the path that it names."""
    with dial(address, tls) as connection:
        answer = post(connection, address, f"/hubs/{hub}/negotiate?negotiateVersion=1")
    return answer, "/" + answer["url"].split("/", 3)[3]


def post(connection, address, path, token=None):
    """The answer to a request, in JSON, on a connection that stays open."""
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: {host(address)}\r\n{bearer}Content-Length: 0\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += received(connection)
    head, body = answer.split(b"\r\n\r\n", 1)
    length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += received(connection)
    return json.loads(body)


def frame(payload, code=0x81):
    length = len(payload)
    if length < 126:
        head = bytes([code, 0x80 | length])
    elif length < 1 << 16:
        head = bytes([code, 0xFE]) + length.to_bytes(2, "big")
    else:
        head = bytes([code, 0xFF]) + length.to_bytes(8, "big")
    return head + bytes(4) + payload


def in_threads(count, work):
    """Runs `work(number)` so often at once; gives what came of each, errors as they are."""
    results = [None] * count

    def run(number):
        try:
            results[number] = work(number)
        except (Dead, OSError, ValueError) as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


def readable(sockets, timeout):
    return select.select(sockets, [], [], timeout)[0]
