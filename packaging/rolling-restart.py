#!/usr/bin/env python3
"""Restarts all nodes of a cluster of gateways, one after the other, so that the others serve meanwhile.

    packaging/rolling-restart.py node-1 node-2 node-3

Each node is asked to stop, sends its clients away and is started again; the next one has its turn when all nodes know each other
again, and the load balancer has had time to notice (--pause). All nodes have to be named, and nothing is restarted unless all of
them have joined. When a node does not come back, those after it are left alone, and the exit code is 1.

NODE is the name of a machine that ssh knows, where the gateway is the service `hubgate` of systemd. Elsewhere, --restart and --status
say how a node is restarted, and how its status is read: commands for `sh`, in which the node's name is $NODE. For the three
gateways of examples/cluster, in the folder that run.sh prints:

    packaging/rolling-restart.py --restart 'kill "$(cat "$NODE/pid")"' \\
        --status 'hubgate cluster status --json --ready-file "$NODE/ready.json"' node-1 node-2 node-3
"""

import argparse
import json
import os
import subprocess
import sys
import time

RESTART = 'ssh "$NODE" sudo systemctl restart hubgate'
STATUS = 'ssh "$NODE" sudo hubgate cluster status --json --ready-file /run/hubgate/ready.json'
# How long a node may take to tell its status, and how often it is asked, in seconds.
LONGEST_ANSWER = 20
PERIOD = 0.5
# Nodes say something each second. One that was not heard for longer may be gone.
LONGEST_SILENCE = 5.0


class Failure(Exception):
    pass


class Node:
    def __init__(self, name, arguments):
        self.name, self.arguments = name, arguments

    def start(self, command, **options):
        environment = {**os.environ, "NODE": self.name}
        return subprocess.run(["sh", "-c", command], env=environment, stdin=subprocess.DEVNULL, **options)

    def restart(self):
        try:
            code = self.start(self.arguments.restart, timeout=self.arguments.timeout).returncode
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} was not restarted within {self.arguments.timeout:g} s (--timeout)") from None
        if code != 0:
            raise Failure(f"{self.name} was not restarted: exit code {code}")

    def status(self):
        """What it knows of its cluster, and an empty text; or nothing, and why. Its exit code only says whether it is degraded, as it is while
        an upgrade goes on."""
        try:
            answer = self.start(self.arguments.status, capture_output=True, text=True, timeout=LONGEST_ANSWER)
        except subprocess.TimeoutExpired:
            return None, f"{self.name} does not tell its status within {LONGEST_ANSWER} s"
        try:
            status = json.loads(answer.stdout)
            return View(status), ""
        except (ValueError, LookupError, TypeError):
            said = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
            return None, f"{self.name} does not tell its status: {said[-1] if said else 'it says nothing'}"


class View:
    """A node's view of the cluster."""

    def __init__(self, status):
        self.id = status["node"]
        self.has_joined = status["joined"]
        others = [node for node in status["nodes"] if node["node"] != self.id]
        heard = [node.get("heardSecondsAgo") for node in others]
        self.hears_all = all(ago is not None and ago <= LONGEST_SILENCE for ago in heard)
        self.nodes = {self.id, *(node["node"] for node in others)}


def look(nodes):
    """The id of each node by name, and why they are not whole, or an empty text."""
    views = {}
    for node in nodes:
        view, why = node.status()
        if view is None:
            return {}, why
        views[node.name] = view
    ids = {view.id for view in views.values()}
    if len(ids) < len(nodes):
        return {}, "two of the names are one node"
    for name, view in views.items():
        if not view.has_joined:
            return {}, f"{name} has not joined the cluster"
        if view.nodes != ids:
            return {}, f"{name} knows {len(view.nodes)} nodes, {len(nodes)} are named, and they are not the same"
        if not view.hears_all:
            return {}, f"{name} does not hear all others"
    return {name: view.id for name, view in views.items()}, ""


def wait_for_new(node, nodes, earlier, timeout):
    """Waits until the node is another process than before, and all know each other."""
    deadline = time.monotonic() + timeout
    while True:
        ids, why = look(nodes)
        if ids and ids[node.name] != earlier:
            return ids
        if time.monotonic() > deadline:
            raise Failure(
                f"{node.name} is not back after {timeout:g} s (--timeout): {why or 'it is the process that it was before'}"
            )
        time.sleep(PERIOD)


def restart_all(nodes, arguments):
    ids, why = look(nodes)
    if not ids:
        raise Failure(f"nothing is restarted: {why}")
    for turn, node in enumerate(nodes):
        if turn > 0:
            time.sleep(arguments.pause)
        print(f"{node.name}: restarts", flush=True)
        began = time.monotonic()
        try:
            node.restart()
            ids = wait_for_new(node, nodes, ids[node.name], arguments.timeout)
        except Failure as failure:
            left = ", ".join(other.name for other in nodes[turn + 1 :])
            raise Failure(f"{failure}; not restarted: {left}" if left else str(failure)) from None
        print(f"{node.name}: is back after {time.monotonic() - began:.1f} s; {len(nodes)} nodes, joined", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", metavar="NODE", nargs="+")
    parser.add_argument("--restart", metavar="COMMAND", default=RESTART, help=f"default: {RESTART}")
    parser.add_argument("--status", metavar="COMMAND", default=STATUS, help=f"default: {STATUS}")
    parser.add_argument("--pause", metavar="SECONDS", type=float, default=10, help="between two nodes (default: 10)")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=300, help="for a node to be back (default: 300)"
    )
    arguments = parser.parse_args()
    if len(set(arguments.nodes)) < len(arguments.nodes):
        parser.error("a node is named twice")
    try:
        restart_all([Node(name, arguments) for name in arguments.nodes], arguments)
    except Failure as failure:
        sys.exit(f"rolling-restart: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
