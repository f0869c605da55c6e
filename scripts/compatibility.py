#!/usr/bin/env python3
"""The tables of docs/compatibility.md about clients, made of what the tests have noted in the folder FACTS.

    scripts/compatibility.py FACTS            writes the tables
    scripts/compatibility.py FACTS --check    fails if the page says anything else than what was done

A client of which nothing was noted keeps its table: it was not at hand (the .NET rig is not everywhere).
"""

import collections
import pathlib
import re
import sys

BEGIN, END = "<!-- clients -->", "<!-- end of clients -->"
WAYS = [
    ("WebSockets", "json"),
    ("WebSockets", "messagepack"),
    ("ServerSentEvents", "json"),
    ("LongPolling", "json"),
    ("LongPolling", "messagepack"),
]


def tables(folder):
    facts = collections.defaultdict(lambda: collections.defaultdict(set))
    for file in folder.iterdir():
        client, transport, protocol, feature = file.name.replace("∕", "/").split(" | ")
        facts[client][feature].add((transport, protocol))
    for client, features in sorted(facts.items()):
        ways = [way for way in WAYS if any(way in done for done in features.values())]
        lines = [f"| {client} | " + " | ".join(f"{transport}, {protocol}" for transport, protocol in ways) + " |"]
        lines.append("|---|" + "---|" * len(ways))
        for feature, done in sorted(features.items()):
            lines.append(f"| {feature} | " + " | ".join("yes" if way in done else "–" for way in ways) + " |")
        yield client, "\n".join(lines)


def main():
    folder, check = pathlib.Path(sys.argv[1]), "--check" in sys.argv
    page = pathlib.Path(__file__).parent.parent / "docs/compatibility.md"
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    present, after = rest.split(END)
    kept = {re.match(r"\| (.*?) \|", table)[1]: table for table in present.strip().split("\n\n") if table}
    made = kept | dict(tables(folder))
    written = f"{before}{BEGIN}\n\n" + "\n\n".join(table for _, table in sorted(made.items())) + f"\n\n{END}{after}"
    if not check:
        page.write_text(written, encoding="utf-8")
    elif written != text:
        different = [client for client, table in made.items() if kept.get(client) != table]
        sys.exit(f"docs/compatibility.md does not say what was done with {', '.join(different)}: "
                 f"run scripts/compatibility.py {folder}")


if __name__ == "__main__":
    main()
