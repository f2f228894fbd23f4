#!/usr/bin/env python3
"""What consentry costs beside nginx, in one run.

usage: benches/peers/run.py [--binary target/release/consentry] [--only pass,page,fresh,...] [--json FILE]

An origin (nginx, static files) and the load (wrk) share one core, the proxy
under test has another. The proxies take turns, so that whatever else the
machine does hits all alike. Unless another unit is named, the figure is CPU
time of the proxy's process per request, from /proc/PID/stat: it moves least
where others use the machine, too. `sub_filter` is nginx taking as many literals
out of a page as it has tags of vendors; neither it nor Privoxy keeps a record.

Needs two cores and, from Debian: nginx wrk openssl python3. With privoxy
installed, it is measured, too.
"""
import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

from measure import (cpu_s, first_answer_ms, first_byte_ms, idle_kib, in_turns, memory_kib, read, thread_cpu_s, wrk)
from stage import ORIGIN, PORTS, VENDORS, Stage, fetch, granted, page

OURS, BARE, LARGE, SECURE, PAIR = 28180, 28181, 28182, 28183, 28184
GZIP = "Accept-Encoding: gzip"
PAGE, SEEN, FRESH = "100 KB page", "/page.html", "/fresh.html"


class Run:
    """One run: what runs, how long, and what was found."""

    def __init__(self, stage, options):
        self.stage, self.options, self.rows = stage, options, []
        self.ports = dict(PORTS, consentry=OURS, origin=ORIGIN)
        self.cookie = ""

    def begin(self):
        self.stage.origin()
        for name in ("nginx", "sub_filter", *(["Privoxy"] if shutil.which("privoxy") else [])):
            self.stage.start(name, self.stage.peer(name))
            fetch(PORTS[name], "/tiny.css")
        self.bring("consentry", OURS, self.stage.small)
        self.cookie = "Cookie: " + granted(OURS)
        check(OURS, self.cookie)

    def bring(self, name, port, lists=(), **more):
        self.ports[name] = port
        cores = "0,1" if more.get("workers", 1) > 1 else "0"
        self.stage.start(name, self.stage.ours(name, port, lists, **more), cores)
        if not more.get("tls"):
            fetch(port, "/tiny.css")
        time.sleep(1)

    def url(self, name, path):
        scheme = "https" if "TLS" in name else "http"
        return f"{scheme}://127.0.0.1:{self.ports[name]}{path}"

    def note(self, row, work, ours, peers, unit="us", at_most=None):
        """`peers` has for each name what it takes, and the ratio to reach."""
        found = {"row": row, "work": work, "unit": unit, "consentry": round(ours, 3), "at_most": at_most,
                 "peers": {name: {"takes": round(takes, 3), "ratio": round(ours / takes, 3) if takes else None,
                                  "at_most": limit} for name, (takes, limit) in peers.items()}}
        self.rows.append(found)
        show(found)

    def cpu_us(self, contenders, path, connections, fields=(), ours=()):
        """Microseconds of CPU per request, for each of them."""
        warm = set()

        def measure(name):
            pid, more = self.stage.pids[name], [*fields, *(ours if name == "consentry" else ())]
            if name not in warm:
                wrk(self.url(name, path), connections, more, 1)
                warm.add(name)
            before = cpu_s(pid)
            requests, _ = wrk(self.url(name, path), connections, more, self.options.seconds)
            return (cpu_s(pid) - before) / requests * 1e6

        return in_turns(contenders, self.options.rounds, measure)

    def beside(self, row, work, path, connections, limits, **more):
        """A row: consentry beside those that `limits` names."""
        limits = {name: limit for name, limit in limits.items() if name in self.stage.pids}
        found = self.cpu_us([*limits, "consentry"], path, connections, **more)
        self.note(row, work, found["consentry"], {name: (found[name], limits[name]) for name in limits})


def passing(run):
    run.beside(1, "1 KB style sheet", "/tiny.css", 64, {"nginx": 1.05, "Privoxy": None})
    run.beside(2, f"{PAGE}, all granted", SEEN, 32, {"nginx": 1.1}, ours=[run.cookie])
    run.beside(2, "1 MB image", "/image.jpg", 8, {"nginx": 0.75})


def pages(run):
    peers = {"nginx": 1.1, "sub_filter": 0.6, "Privoxy": 0.11}
    run.beside(3, f"{PAGE}, seen before", SEEN, 32, peers)
    run.beside(4, f"{PAGE}, seen before, gzip", SEEN, 32, {"nginx": 1.0, "sub_filter": 0.03}, fields=[GZIP])
    run.beside(5, f"{PAGE}, seen before, ETag", "/tagged.html", 32, {"nginx": 0.9})


def fresh(run):
    run.beside(6, f"{PAGE}, every one new", FRESH, 16, {"nginx": None, "sub_filter": 1.5})
    run.beside(6, f"{PAGE}, every one new, gzip", FRESH, 16, {"nginx": None, "sub_filter": 0.8}, fields=[GZIP])


def latency(run):
    for work, path, peer, limit in (("1 KB style sheet", "/tiny.css", "nginx", 1.1), (f"{PAGE}, seen", SEEN, "nginx", 1.1),
                                    (f"{PAGE}, new", FRESH, "sub_filter", 1.3)):
        found = in_turns(["origin", peer, "consentry"], run.options.rounds,
                         lambda name, path=path: wrk(run.url(name, path), 1, [], run.options.seconds)[1])
        added = {name: found[name] - found["origin"] for name in (peer, "consentry")}
        run.note(7, f"{work}: median wait added, one connection", added["consentry"], {peer: (added[peer], limit)})


def first_byte(run):
    ours, whole = first_byte_ms(OURS, page("slow"))
    run.note(8, f"first byte of a page that takes its origin {whole:.0f} ms", ours, {}, "ms", whole)


def memory(run):
    def rest_mib(name):
        time.sleep(3)
        return memory_kib(run.stage.pids[name]) / 1024
    run.bring("bare", BARE)
    run.note(9, "memory when idle, no lists", rest_mib("bare"), {}, "MiB", 12)
    hold, each = idle_kib(BARE, run.stage.pids["bare"], 9000)
    run.note(10, f"memory of an idle connection, {hold} of them", each, {}, "KiB", 2.5)
    run.stage.stop("bare")
    run.bring("large", LARGE, run.stage.large)
    run.note(9, "memory when idle, 100,000 rules", rest_mib("large"), {}, "MiB", 24)
    run.stage.stop("large")
    run.bring("large", LARGE, run.stage.large)
    run.note(9, "memory when idle, 100,000 rules, started again", rest_mib("large"), {}, "MiB", 24)
    run.stage.stop("large")


def start(run):
    run.stage.stop("nginx")
    nginx = run.stage.peer("nginx")
    ours = run.stage.ours("started", LARGE, run.stage.large)

    def begin(name):
        if name == "nginx":
            return first_answer_ms(nginx, PORTS["nginx"])
        if name == "text":
            shutil.rmtree(os.path.join(run.stage.at, "started"))
            os.mkdir(os.path.join(run.stage.at, "started"))
        return first_answer_ms(ours, LARGE)

    first = in_turns(["nginx", "text"], 5, begin)
    again = in_turns(["nginx", "again"], 11, begin)
    run.note(11, "start to first answer, 100,000 rules from text", first["text"], {"nginx": (first["nginx"], 5)}, "ms")
    run.note(11, "start to first answer, 100,000 rules, started again", again["again"], {"nginx": (again["nginx"], 1.0)}, "ms")
    run.stage.start("nginx", nginx)
    fetch(PORTS["nginx"], "/tiny.css")


def many_rules(run):
    run.bring("bare", BARE)
    run.bring("large", LARGE, run.stage.large)
    for work, path, limit in (("seen", SEEN, 1.0), ("new", FRESH, 1.05)):
        found = run.cpu_us(["bare", "large"], path, 16)
        run.note(12, f"{PAGE}, {work}: 100,000 rules", found["large"], {"no rules": (found["bare"], limit)})
    run.stage.stop("bare")
    run.stage.stop("large")


def tls(run):
    run.stage.start("nginx with TLS", run.stage.peer("nginx with TLS"))
    run.bring("consentry with TLS", SECURE, run.stage.small, tls=True)
    both = ["nginx with TLS", "consentry with TLS"]
    for work, path, fields in (("1 KB style sheet", "/tiny.css", []), (f"{PAGE}, seen", SEEN, []),
                               ("a handshake and 1 KB", "/tiny.css", ["Connection: close"])):
        found = run.cpu_us(both, path, 32, fields)
        run.note(14, f"TLS 1.3, {work}", found[both[1]], {both[0]: (found[both[0]], 1.1)})
    for name in both:
        run.stage.stop(name)


def ledger(run):
    pid = run.stage.pids["consentry"]
    for work, path in (("1 KB style sheet with a cookie", "/tiny.css"), (f"{PAGE}, seen", SEEN)):
        before, own = cpu_s(pid), thread_cpu_s(pid, "ledger")
        requests, _ = wrk(run.url("consentry", path), 32, [], run.options.seconds * 2)
        whole, own = cpu_s(pid) - before, thread_cpu_s(pid, "ledger") - own
        run.note(15, f"{work}: with what the ledger's thread does", whole / requests * 1e6,
                 {"without": ((whole - own) / requests * 1e6, 1.03)})


def cores(run):
    run.bring("one core", BARE, run.stage.small)
    run.bring("two cores", PAIR, run.stage.small, workers=2)
    found = run.cpu_us(["one core", "two cores"], FRESH, 32)
    run.note(16, f"{PAGE}, new: two workers", found["two cores"], {"one worker": (found["one core"], 2 / 1.8)})
    run.stage.stop("one core")
    run.stage.stop("two cores")


PARTS = {"pass": passing, "page": pages, "fresh": fresh, "wait": latency, "first": first_byte, "memory": memory,
         "start": start, "rules": many_rules, "tls": tls, "ledger": ledger, "cores": cores}


def check(port, cookie):
    """Whoever is fast and leaves the trackers in has not done the work."""
    for path in ("/page.html", "/tagged.html", "/fresh.html"):
        text = fetch(port, path).read().decode()
        left = [host for host in VENDORS if f' src="https://{host}"' in text]
        if left or "</html>" not in text:
            sys.exit(f"consentry left these in {path}: {', '.join(left)}")
    allowed = fetch(port, "/page.html", {"Cookie": cookie.split(": ", 1)[1]}).read().decode()
    if gone := [host for host in VENDORS if f' src="https://{host}"' not in allowed]:
        sys.exit(f"consentry withheld this from a visitor who agreed to everything: {', '.join(gone)}")
    if fetch(port, "/page.html", {"Accept-Encoding": "gzip"}).headers["Content-Encoding"] != "gzip":
        sys.exit("consentry did not compress")


def show(row):
    digits = 1 if row["consentry"] < 100 else 0
    line = f"{row['row']:>3}  {row['work']:60}{row['consentry']:9.{digits}f} {row['unit']:4}"
    if row["at_most"] is not None:
        line += f"  (at most {row['at_most']:g})"
    for name, peer in row["peers"].items():
        limit = "" if peer["at_most"] is None else f" (at most {peer['at_most']:.3g})"
        ratio = "-" if peer["ratio"] is None else f"{peer['ratio']:.3g}"
        line += f"  {ratio} of {name}'s {peer['takes']:.{0 if peer['takes'] >= 100 else 1}f}{limit}"
    print(line, flush=True)


def machine():
    model = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    return f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--binary", default="target/release/consentry")
    options.add_argument("--only", default=",".join(PARTS), help="some of: " + ",".join(PARTS))
    options.add_argument("--seconds", type=int, default=2)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--list", action="append", default=[], help="a filter list for the rows with 100,000 rules")
    options.add_argument("--json", help="where the figures are written")
    options = options.parse_args()
    for needed in ("nginx", "wrk", "taskset", "openssl"):
        if not shutil.which(needed):
            sys.exit(f"{needed} is missing, and nothing was measured: apt-get install nginx wrk util-linux openssl")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("this needs two cores: one for the proxy, one for origin and load")
    if not os.path.exists(options.binary):
        sys.exit(f"{options.binary} is missing, and nothing was measured: cargo build --release, or name it with --binary")
    wanted = options.only.split(",")
    if unknown := [name for name in wanted if name not in PARTS]:
        sys.exit(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    with Stage(options.binary, options.list) as stage:
        run = Run(stage, options)
        run.begin()
        for name in wanted:
            PARTS[name](run)
    if options.json:
        version = subprocess.run([options.binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        found = {"date": datetime.date.today().isoformat(), "machine": machine(), "version": version,
                 "rounds": options.rounds, "seconds": options.seconds, "rows": run.rows}
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
