#!/usr/bin/env python3
"""Stresses a gateway, beside another version of it if one is named, and prints a Markdown table: loads whose messages must all
arrive, and faults that must stay with whoever causes them.

    scripts/stress.py [--binary FILE] [--before FILE] [--quick] [NAME…]

FILE is a gateway: HUBGATE_BIN or the one in cargo's target folder unless said; `--before` is the other version, with a column of its own.
The guests are in HUBGATE_GUESTS, or in `guests` in cargo's target folder. `--quick` takes a tenth of the time, which shows that it runs.
Everything is on loopback, in some six minutes for each gateway; freezing a thread and mounting a small disk need root. A NAME that does not
exist prints those that do.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# No folders of compiled files among the sources.
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench" / "stress"))

from faults import FAULTS  # noqa: E402
from gateway import Dead  # noqa: E402
from loads import LOADS, PROBE, written  # noqa: E402


class Rig:
    """A binary under stress, and what it needs."""

    def __init__(self, binary, loader, guests, work, is_quick):
        self.binary, self.loader, self.guests = str(binary), str(loader), Path(guests)
        self.work, self.is_quick = work, is_quick

    def folder(self):
        return tempfile.mkdtemp(dir=self.work)

    def guest(self, name):
        return (self.guests / f"{name}.wasm").read_bytes()

    def seconds(self, count):
        return max(2, count // 10) if self.is_quick else count

    def times(self, count):
        return max(2, count // 10) if self.is_quick else count

    def if_taken(self, config):
        """These keys, if this version knows them."""
        folder = self.folder()
        shutil.copy(self.guests / "probe.wasm", folder)
        file = Path(folder) / "hubgate.toml"
        file.write_text(written({**PROBE, **config}).replace("@", folder))
        command = [self.binary, "config", "check", "--config", str(file)]
        return config if subprocess.run(command, capture_output=True, timeout=30).returncode == 0 else {}


def outcome(stress, rig):
    try:
        return stress(rig)
    except (Dead, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        return f"**{type(error).__name__}**: {' '.join(str(error).split())[-200:]}"


def cargo_target():
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    return Path(told.split('"target_directory":"', 1)[1].split('"', 1)[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=Path, default=os.environ.get("HUBGATE_BIN"))
    parser.add_argument("--before", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    known = {each.__name__: each for each in LOADS + FAULTS}
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        lines = "\n".join(f"  {name:16} {each.__doc__}" for name, each in known.items())
        sys.exit(f"stress: there is no {unknown[0]!r}. There are:\n{lines}")
    binary = Path(arguments.binary or cargo_target() / "release" / "hubgate").resolve()
    guests = os.environ.get("HUBGATE_GUESTS") or cargo_target() / "guests"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as work:
        binaries = ([arguments.before.resolve()] if arguments.before else []) + [binary]
        rigs = [Rig(each, binary, guests, work, arguments.quick) for each in binaries]
        print("| what | before | now |\n|---|---|---|" if arguments.before else "| what | now |\n|---|---|", flush=True)
        for name in arguments.names or known:
            began = time.monotonic()
            cells = [outcome(known[name], rig) for rig in rigs]
            print(f"| {known[name].__doc__} | {' | '.join(cells)} |", flush=True)
            print(f"stress: {name}, {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
