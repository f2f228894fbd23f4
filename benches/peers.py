#!/usr/bin/env python3
"""What consentry costs beside nginx, in one run.

usage: benches/peers.py [--seconds 2] [--rounds 3] [--binary target/release/consentry]

An origin (nginx, static files) and the load (wrk) share one core, the proxy
under test has another. The proxies take turns within each round, so that
whatever else the machine does hits all alike. The figure is CPU time per 1000
requests of the proxy's process, from /proc/PID/stat, as a ratio to an nginx
that only passes on; `nginx filter` takes as many literals out of the page as
the page has tags of vendors, and records nothing.

Needs two cores and, from Debian: nginx wrk python3.
"""
import argparse
import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ORIGIN, NGINX, FILTER, OURS, ADMIN = 28080, 28081, 28082, 28083, 28084
VENDORS = [
    "www.googletagmanager.com/gtm.js?id=GTM-ABC123", "www.google-analytics.com/analytics.js",
    "connect.facebook.net/en_US/fbevents.js", "static.hotjar.com/c/hotjar-1.js",
    "snap.licdn.com/li.lms-analytics/insight.min.js", "analytics.tiktok.com/i18n/pixel/events.js",
    "bat.bing.com/bat.js", "www.clarity.ms/tag/abc", "static.klaviyo.com/onsite/js/klaviyo.js",
    "cdn.segment.com/analytics.js/v1/x/analytics.min.js", "s.pinimg.com/ct/core.js",
    "dynamic.criteo.com/js/ld/ld.js",
]
# name: path, connections, header fields, what is measured
SCENARIOS = {
    "1 KB style sheet": ("/tiny.css", 64, []),
    "100 KB page": ("/page.html", 32, []),
    "100 KB page, gzip": ("/page.html", 32, ["Accept-Encoding: gzip"]),
    "100 KB page, all granted": ("/page.html", 32, []),
    "1 MB image": ("/image.jpg", 8, []),
}


def site(directory):
    """A page with vendors' tags among a shop's markup, a file and a picture."""
    rows = "".join(
        f'<article class="card"><a href="/p/{n}"><img src="/i/{n}.jpg" alt="Tea {n}" width="320" height="240">'
        f"<h3>Tea number {n}</h3><p>Leaves from a garden in the hills, picked by hand and dried in the shade. "
        f'</p><span data-price="{n}.90">{n}.90</span></a></article>\n' for n in range(360))
    tags = "".join(f'<script async src="https://{host}"></script>\n' for host in VENDORS)
    page = f'<!doctype html><html lang="en"><head><title>Tea</title>\n{tags}</head><body>\n{rows}</body></html>\n'
    files = {"page.html": page.encode(), "tiny.css": b"a{color:#123}" * 80, "image.jpg": os.urandom(1 << 20)}
    for name, data in files.items():
        with open(os.path.join(directory, name), "wb") as file:
            file.write(data)
    with open(os.path.join(directory, "page.html.gz"), "wb") as file:
        file.write(gzip.compress(files["page.html"], 6, mtime=0))
    return len(page)


def nginx(directory, name, server):
    path = os.path.join(directory, f"{name}.conf")
    temp = "".join(f"{kind}_temp_path {directory}/{name}_{kind};" for kind in
                   ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(path, "w") as file:
        file.write(f"""daemon off; worker_processes 1; pid {directory}/{name}.pid; error_log {directory}/{name}.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on; {temp}
types {{ text/html html; text/css css; image/jpeg jpg; }}
{server} }}""")
    return ["nginx", "-c", path]


def passing(port, more=""):
    return f"""upstream origin {{ server 127.0.0.1:{ORIGIN}; keepalive 256; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
proxy_buffers 20 64k; proxy_buffer_size 16k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;
location / {{ proxy_pass http://origin; {more} }} }}"""


def cpu_s(pid):
    """CPU seconds of a process and its children."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    total = 0
    for one in [str(pid), *children]:
        with open(f"/proc/{one}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def wrk(port, path, connections, fields, seconds):
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}"]
    for field in fields:
        command += ["-H", field]
    out = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        sys.exit(f"port {port} answers {path} with errors:\n{out}")
    return int(next(line for line in out.splitlines() if "requests in" in line).split()[0])


def granted(port):
    """The cookie of a visitor who agreed to everything."""
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None
    request = urllib.request.Request(f"http://127.0.0.1:{port}/.consentry/choices", b"choice=all&return_to=/",
                                     {"Origin": f"http://127.0.0.1:{port}"})
    try:
        urllib.request.build_opener(Stay).open(request)
    except urllib.error.HTTPError as answer:
        return "Cookie: " + answer.headers["Set-Cookie"].split(";")[0]
    sys.exit("the choice was not taken")


def reachable(port):
    for _ in range(200):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/tiny.css", timeout=1).read()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing answers on port {port}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=int, default=2)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--binary", default="target/release/consentry")
    options = options.parse_args()
    for needed in ("nginx", "wrk", "taskset"):
        shutil.which(needed) or sys.exit(f"{needed} is missing; apt-get install nginx wrk util-linux")
    os.path.exists(options.binary) or sys.exit(f"{options.binary} is missing; cargo build --release")
    directory, running = tempfile.mkdtemp(prefix="peers-"), []

    def start(command, core):
        running.append(subprocess.Popen(["taskset", "-c", core, *command], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        return running[-1].pid

    try:
        size = site(directory)
        start(nginx(directory, "origin", f"server {{ listen 127.0.0.1:{ORIGIN}; root {directory}; gzip_static on; etag on; sendfile on; }}"), "1")
        literals = "".join(f'sub_filter "https://{host}" "";' for host in VENDORS)
        literals += 'sub_filter_once off; proxy_set_header Accept-Encoding "";'
        with open(os.path.join(directory, "ours.toml"), "w") as file:
            file.write(f"""[listener]\naddress = "127.0.0.1:{OURS}"\nworkers = 1\n[admin]\naddress = "127.0.0.1:{ADMIN}"
[ledger]\nfile = "{directory}/ledger.db"\n[[site]]\norigin = "http://127.0.0.1:{ORIGIN}"\n""")
        peers = {
            "nginx": (NGINX, start(nginx(directory, "nginx", passing(NGINX)), "0")),
            "nginx filter": (FILTER, start(nginx(directory, "filter", passing(FILTER, literals)), "0")),
            "consentry": (OURS, start([options.binary, "serve", "--config", os.path.join(directory, "ours.toml")], "0")),
        }
        for port in (ORIGIN, NGINX, FILTER, OURS):
            reachable(port)
        cookie = granted(OURS)
        print(f"CPU per 1000 requests, in ms and as a ratio to nginx; page of {size // 1000} KB, "
              f"{options.rounds} rounds of {options.seconds} s\n")
        print(f"{'':28}" + "".join(f"{name:>22}" for name in peers))
        for scenario, (path, connections, fields) in SCENARIOS.items():
            spent = {name: [] for name in peers}
            for turn in range(options.rounds):
                names = list(peers)
                for name in names[turn % 3:] + names[:turn % 3]:
                    port, pid = peers[name]
                    more = [cookie] if name == "consentry" and "granted" in scenario else []
                    wrk(port, path, connections, fields + more, 1)
                    before = cpu_s(pid)
                    requests = wrk(port, path, connections, fields + more, options.seconds)
                    spent[name].append((cpu_s(pid) - before) / requests * 1e6)
            middle = {name: sorted(all)[len(all) // 2] for name, all in spent.items()}
            print(f"{scenario:28}" + "".join(f"{middle[name]:12.1f} {middle[name] / middle['nginx']:8.2f}x" for name in peers), flush=True)
    finally:
        for one in running:
            one.send_signal(signal.SIGTERM)
        for one in running:
            one.wait()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
