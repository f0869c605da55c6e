#!/usr/bin/env python3
"""Medians over the rounds of bench/run.sh's results: a Markdown table, and with --plot FILE the growth as SVG."""

import collections
import json
import statistics
import sys


def rows(lines):
    rounds = collections.defaultdict(list)
    for line in lines:
        result = json.loads(line)
        names = ("target", "scenario", "clients", "burst", "groups", "stalled", "rate", "size", "silent", "mixed", "hubServers")
        key = tuple(result.get(name) for name in names)
        rounds[key].append(result)
    for key, results in rounds.items():
        def median(name):
            figures = [result[name] for result in results if result.get(name) is not None]
            return statistics.median(figures) if figures else None

        ratios = [result["floorRatio"] for result in results if result.get("floorRatio")]
        spread = (max(ratios) - min(ratios)) / 2 / statistics.median(ratios) if ratios else None
        yield key, median, spread, sum(result["lost"] + result["doubled"] + result["outOfOrder"] for result in results)


def figure(value, digits=2):
    return "–" if value is None else f"{value:.{digits}f}"


def table(lines):
    print("| target | work | ratio to floor | ± | µs CPU | floor µs | p50 µs | p99 µs | floor p99 µs | faults |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for (target, scenario, clients, burst, groups, stalled, rate, size, silent, mixed, hub_servers), median, spread, faults in rows(lines):
        work = f"{scenario} {clients}"
        work += f", bursts of {burst}" if burst > 1 else ""
        work += f", {groups} groups each" if scenario == "group" else ""
        work += f", {size} B" if size != 100 else ""
        work += f", {rate:g} a second" if rate else ""
        work += f", {stalled} stalled" if stalled else ""
        cost = median("cpuMicros") if scenario != "idle" else None
        cells = [figure(median("floorRatio")), figure(spread and 100 * spread, 0) + " %", figure(cost)]
        cells += [figure(median("floorMicros")), figure(median("p50Micros"), 0), figure(median("p99Micros"), 0)]
        cells += [figure(median("floorP99Micros"), 0), str(faults)]
        if size != 100:
            work += f" ({figure(median('peakKilobytes'), 0)} kB at most)"
        work += f", through {hub_servers} connections of a hub server" if hub_servers else ""
        work += ", silent" if silent else ""
        work += ", every second one in MessagePack" if mixed else ""
        if scenario == "idle":
            work += f" ({figure(median('kilobytes'))} kB each, {figure(median('cpuPercent'))} % of a core)"
        print(f"| {target} | {work} | {' | '.join(cells)} |")


def plot(lines, path):
    points = sorted(
        (key[2], median("floorRatio"))
        for key, median, _, _ in rows(lines)
        if key[0] == "shards-2" and key[1] == "broadcast" and key[3] == 1 and not key[5] and not key[6] and not key[9] and median("floorRatio")
    )
    width, height, left, bottom = 640, 320, 60, 50
    def x(clients):
        return left + (width - left - 20) * clients / 9000
    def y(ratio):
        return height - bottom - (height - bottom - 20) * ratio / 2
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">']
    parts.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for ratio in (0, 0.5, 1, 1.5, 2):
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(ratio):.0f}" y2="{y(ratio):.0f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y(ratio) + 4:.0f}" text-anchor="end">{ratio}</text>')
    for clients in (100, 1000, 3000, 5000, 9000):
        parts.append(f'<text x="{x(clients):.0f}" y="{height - bottom + 18}" text-anchor="middle">{clients}</text>')
    line = " ".join(f"{x(clients):.0f},{y(ratio):.0f}" for clients, ratio in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#4b4bd6" stroke-width="2"/>')
    parts += [f'<circle cx="{x(clients):.0f}" cy="{y(ratio):.0f}" r="3" fill="#4b4bd6"/>' for clients, ratio in points]
    parts.append(f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">receivers of a broadcast</text>')
    parts.append(f'<text x="{left}" y="14">CPU per delivery, ratio to the floor</text></svg>')
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(parts) + "\n")


if __name__ == "__main__":
    results = sys.stdin.readlines()
    table(results)
    if "--plot" in sys.argv:
        plot(results, sys.argv[sys.argv.index("--plot") + 1])
