"""How it is measured: CPU time and memory from /proc, load by wrk."""
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

from stage import HOST, LOAD, PROXY, SLOW

UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def family(pid):
    """A process and all that descend from it."""
    parents = {}
    for one in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(one)] = int(read(f"/proc/{one}/stat").rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_s(pid):
    """CPU seconds of a process and its children."""
    total = 0
    for one in family(pid):
        fields = read(f"/proc/{one}/stat").rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def thread_cpu_s(pid, name):
    """CPU seconds of its threads of that name."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        if read(f"/proc/{pid}/task/{task}/comm").strip() == name:
            total += int(read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
    return total / 1e9


def memory_kib(pid):
    """What a process and its children hold: whole, since others of the same
    program run beside it."""
    texts = (read(f"/proc/{one}/smaps_rollup") for one in family(pid))
    return sum(int(re.search(r"^Rss:\s+(\d+)", text, re.M).group(1)) for text in texts)


def wrk(url, connections, fields, seconds):
    """Requests answered, and the median latency in microseconds."""
    command = ["taskset", "-c", LOAD, "wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "10"]
    for field in [f"Host: {HOST}", *fields]:
        command += ["-H", field]
    out = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        sys.exit(f"{url} answers with errors:\n{out}")
    middle = re.search(r"50%\s+([\d.]+)(us|ms|s|m)", out)
    return int(re.search(r"(\d+) requests in", out).group(1)), float(middle.group(1)) * UNITS[middle.group(2)]


def in_turns(contenders, rounds, measure):
    """The median for each contender; who begins changes with every round."""
    found = {name: [] for name in contenders}
    for turn in range(rounds):
        names = list(contenders)
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            found[name].append(measure(name))
    return {name: statistics.median(values) for name, values in found.items()}


def idle_kib(port, pid, most):
    """How many connections were held, and what each costs."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    request, held = f"GET /tiny.css HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(), []
    before = memory_kib(pid)
    for _ in range(min(most, hard // 2 - 500)):
        one = socket.create_connection(("127.0.0.1", port), timeout=5)
        one.sendall(request)
        answer = b""
        while not answer.endswith(b"a{color:#123456}"):
            answer += one.recv(65536)
        held.append(one)
    time.sleep(2)
    cost = (memory_kib(pid) - before) / len(held)
    for one in held:
        one.close()
    return len(held), cost


def first_answer_ms(command, port):
    """From the start of a program to the first answer it passes on."""
    begun = time.perf_counter()
    one = subprocess.Popen(["taskset", "-c", PROXY, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    request = f"GET /tiny.css HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
    try:
        while time.perf_counter() - begun < 20:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as visit:
                    visit.sendall(request)
                    if visit.recv(64).startswith(b"HTTP/1.1 200"):
                        return (time.perf_counter() - begun) * 1e3
            except OSError:
                time.sleep(0.0002)
        sys.exit(f"{command[0]} gave no answer within 20 seconds")
    finally:
        one.send_signal(signal.SIGTERM)
        one.wait()


def first_byte_ms(port, page, pause_s=0.5):
    """When a page's first byte arrives whose origin rests in the middle."""
    begin, rest = page[:20_000], page[20_000:]

    def serve(listener):
        visit, _ = listener.accept()
        visit.recv(65536)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
        visit.sendall(head.encode() + begin)
        time.sleep(pause_s)
        visit.sendall(rest)
        visit.close()

    with socket.create_server(("127.0.0.1", SLOW)) as listener:
        origin = threading.Thread(target=serve, args=(listener,))
        origin.start()
        begun = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as visit:
            visit.sendall(f"GET /slow.html HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            answer = visit.recv(65536)
            while b"\r\n\r\n" not in answer or not answer.split(b"\r\n\r\n", 1)[1]:
                answer += visit.recv(65536)
            first = time.perf_counter() - begun
            while visit.recv(65536):
                pass
        origin.join()
    return first * 1e3, pause_s * 1e3
