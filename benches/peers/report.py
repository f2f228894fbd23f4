#!/usr/bin/env python3
"""Turns what `run.py --json FILE` found into a table and a chart.

usage: benches/peers/report.py FILE [--page docs/performance.md] [--chart docs/performance.svg]

The table goes between two marks in the page. The chart shows for each work how
many times the CPU time of an nginx that filters nothing is spent.
"""
import argparse
import html
import json
import math
import re
import sys

MARKS = "<!-- measured -->", "<!-- /measured -->"
LEFT, RIGHT, TOP, STEP, WIDTH = 292, 28, 84, 38, 860
# For each peer: its class, and how it is called in the legend.
DOTS = {"consentry": "consentry, which filters and records", "sub_filter": "nginx sub_filter, 16 literals",
        "Privoxy": "Privoxy, 16 rules"}
# Colours that differ in lightness, too, on either ground.
STYLE = """text{font:14px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-size:17px;font-weight:600}.quiet{fill:#59636e;font-size:12.5px}.grid{stroke:#d1d9e0}
.nginx{stroke:#1f2328;stroke-width:1.5}.span{stroke:#d1d9e0;stroke-width:2}
.consentry{fill:#0b62c4}.value{fill:#0b62c4;font-weight:600;font-size:13px}.sub_filter{fill:#bf6a02}.Privoxy{fill:#8b949e}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9aa4af}.grid,.span{stroke:#3d444d}
.nginx{stroke:#e6edf3}.consentry,.value{fill:#6cb2ff}.sub_filter{fill:#f0a13a}.Privoxy{fill:#7d8590}}"""


def number(value):
    """Three digits, and no more zeros than it needs."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2}f}"


def ratio(value):
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3}f}"


def unit(row):
    return {"us": "µs"}.get(row["unit"], row["unit"])


def table(found):
    lines = ["| # | work | consentry | to | ratio | wanted |", "|---|---|---|---|---|---|"]
    for row in sorted(found["rows"], key=lambda row: row["row"]):
        begin = f"| {row['row']} | {row['work']} | {number(row['consentry'])} {unit(row)} "
        if not row["peers"]:
            lines.append(f"{begin}| | | {number(row['at_most'])} {unit(row)} |")
        for name, peer in row["peers"].items():
            wanted = "" if peer["at_most"] is None else ratio(peer["at_most"])
            against = "" if peer["ratio"] is None else ratio(peer["ratio"])
            lines.append(f"{begin}| {name}: {number(peer['takes'])} | {against} | {wanted} |")
            begin = "| | | "
    said = (f"{found['date']}, {found['version']}, {found['machine']}; median of {found['rounds']} rounds of "
            f"{found['seconds']} s. µs are CPU time a request, and waiting in row 7.")
    return f"{MARKS[0]}\n{said}\n\n" + "\n".join(lines) + f"\n{MARKS[1]}"


def bars(found):
    """For each work what each contender takes, as a multiple of nginx."""
    for row in found["rows"]:
        nginx = row["peers"].get("nginx", {}).get("takes")
        if row["row"] > 6 or not nginx:
            continue
        dots = {name: peer["takes"] / nginx for name, peer in row["peers"].items() if name in DOTS}
        yield row["work"], {**dots, "consentry": row["consentry"] / nginx}


def chart(found):
    rows = list(bars(found))
    highest = max(max(dots.values()) for _, dots in rows)
    lowest = min(min(dots.values()) for _, dots in rows)
    begin, end = math.log(min(0.5, lowest * 0.9)), math.log(highest * 1.25)
    height = TOP + STEP * len(rows) + 62

    def x(value):
        return LEFT + (math.log(value) - begin) / (end - begin) * (WIDTH - LEFT - RIGHT)

    bottom = TOP + STEP * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
           "<title>CPU time a request, as a multiple of an nginx that filters nothing</title>", f"<style>{STYLE}</style>",
           '<text class="title" x="8" y="24">CPU time a request, as a multiple of an nginx that filters nothing</text>']
    at = 8
    for name, words in DOTS.items():
        if any(name in dots for _, dots in rows):
            out.append(f'<circle class="{name}" cx="{at + 6}" cy="46" r="6"/><text class="quiet" x="{at + 18}" y="50">{words}</text>')
            at += 44 + 7 * len(words)
    for tick in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100):
        if begin <= math.log(tick) <= end:
            style = "nginx" if tick == 1 else "grid"
            word = "nginx = 1" if tick == 1 else f"{tick:g}"
            out.append(f'<line class="{style}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 12}" y2="{bottom}"/>'
                       f'<text class="quiet" x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{word}</text>')
    for index, (work, dots) in enumerate(rows):
        y = TOP + STEP * index + STEP // 2
        out.append(f'<text x="8" y="{y + 5}">{html.escape(work)}</text>')
        if len(dots) > 1:
            out.append(f'<line class="span" x1="{x(min(dots.values())):.1f}" x2="{x(max(dots.values())):.1f}" y1="{y}" y2="{y}"/>')
        for name in sorted(dots, key=lambda name: name == "consentry"):
            out.append(f'<circle class="{name}" cx="{x(dots[name]):.1f}" cy="{y}" r="6"/>')
        out.append(f'<text class="value" x="{x(dots["consentry"]):.1f}" y="{y - 9}" text-anchor="middle">{ratio(dots["consentry"])}</text>')
    out.append(f'<text class="quiet" x="8" y="{height - 14}">{html.escape(found["date"])}, one core, {found["rounds"]} rounds; '
               "logarithmic, further left is cheaper</text></svg>\n")
    return "\n".join(out)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file")
    options.add_argument("--page", default="docs/performance.md")
    options.add_argument("--chart", default="docs/performance.svg")
    options = options.parse_args()
    with open(options.file, encoding="utf-8") as file:
        found = json.load(file)
    with open(options.page, encoding="utf-8") as file:
        text = file.read()
    if any(mark not in text for mark in MARKS):
        sys.exit(f"{options.page} has no place for the table: it wants {MARKS[0]} and {MARKS[1]}")
    with open(options.page, "w", encoding="utf-8") as file:
        file.write(re.sub(f"{MARKS[0]}.*{MARKS[1]}", lambda _: table(found), text, flags=re.S))
    with open(options.chart, "w", encoding="utf-8") as file:
        file.write(chart(found))


if __name__ == "__main__":
    main()
