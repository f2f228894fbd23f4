#!/usr/bin/env python3
"""Half an hour of everything at once, and whether consentry comes out of it as it went in.

    tests/soak/run.py                       30 minutes with target/release/consentry
    tests/soak/run.py --minutes 10 --binary target/debug/consentry

Pages in six states, assets, choices, WebSockets, uploads, slow readers and writers, and clients that leave halfway;
a reload every 30 seconds, every other one with a mistake in it; and an origin that restarts, fails, hangs and cuts
its answers. Whatever happens while the origin is in trouble may fail, but nothing may ever be mixed up. Exit code 1
when something was lost or mixed, when memory or file descriptors grew, or when the ledger does not verify.
"""

import argparse
import asyncio
import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

HOSTS = {"marketing": "ads.acme.example", "analytics": "stats.acme.example", "functional": "maps.acme.example"}
STATES = {
    "undecided": ([], set()),
    "refused": ([("none", [])], set()),
    "all": ([("all", [])], set(HOSTS)),
    "analytics only": ([("some", ["analytics"])], {"analytics"}),
    "gpc": ([], set()),
    "withdrawn": ([("all", []), ("none", [])], set()),
}
CATALOGUE = "".join(
    f'[[vendor]]\nid = "acme-{purpose}"\nname = "Acme {purpose}"\nowner = "Acme"\npurposes = ["{purpose}"]\n'
    f'about = "Made up."\nsource = "https://acme.example"\nhosts = ["{host}"]\n\n'
    for purpose, host in HOSTS.items()
)
# Longer than `response_head_s` and `response_body_s` below: what began in trouble has ended by then.
AFTERMATH_S = 6
FAULTS = ["restart", "error", "hang", "cut"]


class Lost(Exception):
    """The connection ended before the answer did."""


class Tally:
    """What came of it all."""

    def __init__(self):
        self.requests, self.excused = 0, 0
        self.kinds, self.lost, self.failed, self.mixed = {}, [], [], []
        self.troubles = []

    def in_trouble(self, began):
        now = time.monotonic()
        return any(start <= now and began <= end + AFTERMATH_S for start, end in self.troubles)

    def count(self, kind):
        self.requests += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def wrong(self, pile, began, what):
        if began is not None and self.in_trouble(began):
            self.excused += 1
        else:
            pile.append(what)


def asset(number):
    size = [900, 20_000, 150_000, 1_000_000][number % 4]
    return (b"%d asset " % number * (size // 8))[:size]


class Origin:
    """A shop with everything in it, and moods."""

    def __init__(self, tally):
        self.tally, self.mood, self.server, self.open = tally, "well", None, set()
        self.port = None

    async def up(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port or 0, limit=1 << 20)
        self.port = self.server.sockets[0].getsockname()[1]

    def down(self):
        self.server.close()
        for writer in list(self.open):
            writer.transport.abort()

    async def trouble(self, kind):
        start = time.monotonic()
        seconds = {"restart": 1.0, "error": 2.0, "hang": 3.0, "cut": 2.0}[kind]
        self.tally.troubles.append((start, start + seconds))
        if kind == "restart":
            self.down()
            await asyncio.sleep(seconds)
            await self.up()
        else:
            self.mood = kind
            await asyncio.sleep(seconds)
            self.mood = "well"

    async def serve(self, reader, writer):
        self.open.add(writer)
        try:
            while await self.answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def answer(self, reader, writer):
        head = await read_head(reader)
        if head is None:
            return False
        (method, path, _), fields = head
        if "upgrade" in fields:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            return False
        body = await read_body(reader, fields)
        if self.mood == "hang":
            await asyncio.sleep(8)
            return False
        if self.mood == "error":
            writer.write(b"HTTP/1.1 500 Oh no\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\noh no")
            return True
        status, kind, content, more = self.content(method, path, fields, body)
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(content)}\r\n\r\n".encode()
        )
        if self.mood == "cut" and len(content) > 100:
            writer.write(content[: len(content) // 2])
            await writer.drain()
            return False
        if method != "HEAD":
            writer.write(content)
        await writer.drain()
        return True

    def content(self, method, path, fields, body):
        if method == "POST":
            said = json.dumps({"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()})
            return "200 OK", "application/json", said.encode(), ""
        number = int(path.rsplit("/", 1)[-1]) if path.rsplit("/", 1)[-1].isdigit() else 0
        if path.startswith("/asset/"):
            return "200 OK", "image/png", asset(number), "Cache-Control: public, max-age=60\r\n"
        name = dict(pair.split("=", 1) for pair in fields.get("cookie", "").split("; ") if "=" in pair).get("name", "")
        tags = "".join(f"<script src=https://{host}/t.js></script>" for host in HOSTS.values())
        filler = f"<p>Number {number} of the catalogue.</p>" * (20 + number % 200)
        page = f"<!doctype html><title>{number}</title><body><b>for {name}</b>{filler}{tags}<i>end {number}</i></body>"
        return "200 OK", "text/html; charset=utf-8", page.encode(), 'ETag: "v1"\r\n'


async def read_head(reader):
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = raw.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        if line:
            name, value = line.split(":", 1)
            name, value = name.lower(), value.strip()
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    return first.split(" ", 2), fields


async def read_body(reader, fields, has_body=True, pause=0.0):
    if not has_body:
        return b""
    if fields.get("transfer-encoding") == "chunked":
        parts = []
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            data = (await reader.readexactly(size + 2))[:-2]
            if size == 0:
                return b"".join(parts)
            parts.append(data)
            if pause:
                await asyncio.sleep(pause)
    left, parts = int(fields.get("content-length", 0)), []
    while left:
        data = await reader.read(min(left, 32768))
        if not data:
            raise asyncio.IncompleteReadError(b"".join(parts), None)
        parts.append(data)
        left -= len(data)
        if pause:
            await asyncio.sleep(pause)
    return b"".join(parts)


class Client:
    """Somebody with one connection at a time, and cookies."""

    def __init__(self, address, tally, name, gpc=False):
        self.address, self.tally, self.gpc = address, tally, gpc
        self.cookies, self.pipe = {"name": name}, None

    def close(self):
        if self.pipe:
            self.pipe[1].transport.abort()
        self.pipe = None

    async def ask(self, kind, method, path, body=b"", fields=(), pause=0.0, drip=0.0):
        """Status, fields and body; `began` for whoever judges it."""
        self.tally.count(kind)
        began = time.monotonic()
        try:
            if self.pipe is None:
                self.pipe = await asyncio.open_connection(*self.address, limit=1 << 20)
            reader, writer = self.pipe
            head = [f"{method} {path} HTTP/1.1", "Host: shop.example", "Accept: text/html,*/*", *fields]
            head.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
            if self.gpc:
                head.append("Sec-GPC: 1")
            if method == "POST":
                head.append(f"Content-Length: {len(body)}")
            writer.write("\r\n".join([*head, "", ""]).encode())
            step = max(len(body) // 10, 1) if drip else max(len(body), 1)
            for start in range(0, len(body), step):
                writer.write(body[start : start + step])
                await writer.drain()
                if drip:
                    await asyncio.sleep(drip)
            answer = await asyncio.wait_for(read_head(reader), 60)
            if answer is None:
                raise Lost("no answer")
            (_, status, *_), got = answer
            has_body = method != "HEAD" and status not in ("204", "304")
            content = await asyncio.wait_for(read_body(reader, got, has_body, pause), 90)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, Lost) as error:
            self.close()
            self.tally.wrong(self.tally.lost, began, f"{kind} {method} {path}: {error!r}")
            return None, {}, b"", began
        if "close" in got.get("connection", "").lower():
            self.close()
        for line in got.get("set-cookie", "").split("\n"):
            pair, _, rest = line.partition(";")
            if "=" in pair:
                name, value = pair.split("=", 1)
                if "max-age=0" in rest.lower():
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = value
        return int(status), got, content, began

    async def choose(self, choice, purposes):
        form = "&".join([f"choice={choice}", "return_to=%2F", *(f"purpose={purpose}" for purpose in purposes)])
        fields = ["Origin: http://shop.example", "Content-Type: application/x-www-form-urlencoded"]
        status, *_ = await self.ask("choice", "POST", "/.consentry/choices", form.encode(), fields)
        # consentry answers by itself: the origin's troubles are no excuse.
        if status is not None and status != 303:
            self.tally.failed.append(f"choice {choice}: {status}")


class Soak:
    def __init__(self, options, directory):
        self.options, self.directory, self.tally = options, directory, Tally()
        self.origin, self.ends = Origin(self.tally), 0.0
        self.samples, self.reloads = [], {"good": 0, "bad": 0}

    def going(self):
        return time.monotonic() < self.ends

    def configure(self, text=""):
        config = (
            f'[catalogue]\nfiles = ["{self.directory}/vendors.toml"]\n'
            "[limits]\nrequests_per_second = 0\nmemo_bytes = 16777216\n"
            "[timeouts]\nresponse_head_s = 4\nresponse_body_s = 4\ndrain_s = 10\n"
            '[self_check]\nhost = "shop.example"\ninterval_s = 30\n[reload]\nwatch = false\n'
            f'[[site]]\nname = "shop"\norigin = "http://127.0.0.1:{self.origin.port}"\n{text}\n'
        )
        (self.directory / "consentry.toml").write_text(config)

    def start(self):
        def free():
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                return probe.getsockname()[1]

        (self.directory / "vendors.toml").write_text(CATALOGUE)
        self.configure()
        self.address, self.log = ("127.0.0.1", free()), self.directory / "log"
        words = ["serve", "--config", self.directory / "consentry.toml", "--ledger", self.directory / "ledger.db"]
        words += ["--listen", f"127.0.0.1:{self.address[1]}", "--admin", f"127.0.0.1:{free()}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSENTRY_")}
        with self.log.open("wb") as log:
            self.program = subprocess.Popen(
                [self.options.binary, *map(str, words)], stdout=log, stderr=log, env=environment
            )

    async def is_up(self):
        for _ in range(300):
            if '"serving"' in self.log.read_text():
                return
            if self.program.poll() is not None:
                sys.exit(f"it does not start:\n{self.log.read_text()}")
            await asyncio.sleep(0.1)
        sys.exit("it does not start in 30 seconds")

    def look(self):
        base = pathlib.Path(f"/proc/{self.program.pid}")
        status = dict(line.split(":", 1) for line in (base / "status").read_text().splitlines() if ":" in line)
        return int(status["VmRSS"].split()[0]) / 1024, len(list((base / "fd").iterdir()))

    async def sampling(self):
        while self.going():
            self.samples.append((time.monotonic(), *self.look()))
            await asyncio.sleep(2)

    async def reloading(self):
        turn = 0
        while self.going():
            await asyncio.sleep(30)
            good = turn % 2 == 0
            self.configure(f'operator = "Shop {turn}"' if good else 'operatr = "Shop"')
            said = "configuration reloaded" if good else "configuration not reloaded"
            before = self.log.read_text().count(said)
            self.program.send_signal(signal.SIGHUP)
            for _ in range(100):
                if self.log.read_text().count(said) > before:
                    self.reloads["good" if good else "bad"] += 1
                    break
                await asyncio.sleep(0.1)
            else:
                self.tally.failed.append(f"a reload was not answered with `{said}`")
            turn += 1

    async def troubling(self):
        turn = 0
        while self.going():
            await asyncio.sleep(17)
            if self.ends - time.monotonic() > 12:
                await self.origin.trouble(FAULTS[turn % len(FAULTS)])
                turn += 1

    async def reading_pages(self, state, number):
        name = f"{state.replace(' ', '-')}-{number}"
        while self.going():
            choices, granted = STATES[state]
            client = Client(self.address, self.tally, name, gpc=state == "gpc")
            for choice in choices:
                await client.choose(*choice)
            for _ in range(40):
                if not self.going():
                    break
                page = random.randrange(400) if random.random() < 0.3 else random.randrange(5)
                status, _, body, began = await client.ask("page", "GET", f"/page/{page}")
                if status == 200:
                    self.judge(body.decode(), f"{name} /page/{page}", granted, name, page)
                elif status is not None:
                    self.tally.wrong(self.tally.failed, began, f"page {page}: {status}")
                await asyncio.sleep(random.random() * self.options.pace)
            client.close()

    def judge(self, body, where, granted, name, number):
        for purpose, host in HOSTS.items():
            if (f"src=https://{host}" in body) != (purpose in granted):
                self.tally.mixed.append(f"{where}: {purpose} is {purpose not in granted}")
        if f"for {name}<" not in body or f"end {number}<" not in body:
            self.tally.mixed.append(f"{where}: not the page of that visitor, or not all of it")

    async def loading_assets(self, pause):
        client = Client(self.address, self.tally, "asset")
        while self.going():
            number = 3 if pause else random.randrange(40)
            kind = "slow reader" if pause else "asset"
            status, _, body, began = await client.ask(kind, "GET", f"/asset/{number}", pause=pause)
            if status == 200 and body != asset(number):
                self.tally.mixed.append(f"asset {number} is another one")
            elif status not in (200, None):
                self.tally.wrong(self.tally.failed, began, f"asset {number}: {status}")
            await asyncio.sleep(random.random() * self.options.pace)

    async def uploading(self, drip):
        client = Client(self.address, self.tally, "upload")
        while self.going():
            body = random.randbytes(random.choice([10, 30_000, 300_000]))
            kind = "slow upload" if drip else "upload"
            status, _, said, began = await client.ask(kind, "POST", "/upload", body, drip=drip)
            if status == 200 and json.loads(said)["sha256"] != hashlib.sha256(body).hexdigest():
                self.tally.mixed.append("an upload arrived as another one")
            elif status not in (200, None):
                self.tally.wrong(self.tally.failed, began, f"upload: {status}")
            await asyncio.sleep(random.random() * 5 * self.options.pace)

    async def talking(self):
        while self.going():
            self.tally.count("websocket")
            began = time.monotonic()
            try:
                reader, writer = await asyncio.open_connection(*self.address)
                writer.write(
                    b"GET /socket HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                (_, status, *_), _ = await asyncio.wait_for(read_head(reader), 30) or (("", "none"), {})
                if status != "101":
                    raise Lost(f"status {status}")
                for turn in range(20):
                    word = random.randbytes(1 + turn * 500)
                    writer.write(word)
                    if await asyncio.wait_for(reader.readexactly(len(word)), 30) != word:
                        self.tally.mixed.append("a WebSocket said something else")
                    await asyncio.sleep(0.1)
                writer.close()
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, Lost) as error:
                self.tally.wrong(self.tally.lost, began, f"websocket: {error!r}")
            await asyncio.sleep(random.random())

    async def leaving_halfway(self):
        starts = [
            b"GET /asset/3 HTTP/1.1\r\nHost: shop.example\r\n\r\n",
            b"GET /page/7 HTTP/1.1\r\nHost: shop.exa",
            b"POST /upload HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 90000\r\n\r\n" + b"x" * 20_000,
            b"GET /page/9 HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        ]
        while self.going():
            self.tally.count("left halfway")
            try:
                reader, writer = await asyncio.open_connection(*self.address)
                writer.write(random.choice(starts))
                await writer.drain()
                await asyncio.sleep(random.random() / 5)
                writer.transport.abort()
            except OSError:
                pass
            await asyncio.sleep(random.random() / 2)

    async def run(self):
        await self.origin.up()
        self.start()
        await self.is_up()
        fds = self.look()[1]
        self.ends = time.monotonic() + self.options.minutes * 60
        work = [self.reading_pages(state, number) for state in STATES for number in range(4)]
        work += [self.loading_assets(0) for _ in range(4)] + [self.loading_assets(0.05) for _ in range(2)]
        work += [self.uploading(0), self.uploading(0.2), self.talking(), self.talking(), self.leaving_halfway()]
        work += [self.sampling(), self.reloading(), self.troubling()]
        await asyncio.gather(*work)
        await asyncio.sleep(3)
        after = self.look()
        self.program.terminate()
        code = await asyncio.to_thread(self.program.wait, 60)
        return self.summary(fds, after, code)

    def summary(self, fds, after, code):
        tally = self.tally
        third = max(len(self.samples) // 3, 1)
        memory = [memory for _, memory, _ in self.samples]
        early, middle, late = memory[third // 2 : third], memory[third : 2 * third], memory[2 * third :]
        mean = lambda values: sum(values) / max(len(values), 1)
        grown = mean(late) - mean(middle)
        flat = grown <= max(0.05 * mean(middle), 8)
        verify = subprocess.run(
            [self.options.binary, "verify", "--ledger", str(self.directory / "ledger.db")],
            capture_output=True, text=True, check=False,
        )
        panics = self.log.read_text().count("panicked")
        print(f"{self.options.minutes} minutes, {tally.requests} requests: {tally.kinds}")
        print(f"reloads: {self.reloads}; troubles of the origin: {len(tally.troubles)}; failed in them: {tally.excused}")
        print(f"lost {len(tally.lost)}, failed {len(tally.failed)}, mixed {len(tally.mixed)}, panics {panics}")
        print(f"memory, MiB: {mean(early):.1f} early, {mean(middle):.1f} middle, {mean(late):.1f} late; "
              f"highest {max(memory):.1f}, afterwards {after[0]:.1f}; {'flat' if flat else 'NOT FLAT'}")
        print(f"file descriptors: {fds} before, {max(files for _, _, files in self.samples)} at most, {after[1]} afterwards")
        print(f"it ended with {code}; the ledger verifies: {verify.returncode == 0}")
        for pile in (tally.lost, tally.failed, tally.mixed):
            for what in pile[:5]:
                print(f"  {what}")
        if verify.returncode:
            print(verify.stdout, verify.stderr)
        wrong = tally.lost or tally.failed or tally.mixed or panics or code or verify.returncode
        return 1 if wrong or not flat or after[1] > fds + 20 else 0


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--binary", default=root / "target/release/consentry")
    parser.add_argument("--pace", type=float, default=0.3, help="seconds between two requests of one client, at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="consentry-soak-") as directory:
        soak = Soak(options, pathlib.Path(directory))
        try:
            sys.exit(asyncio.run(soak.run()))
        finally:
            if getattr(soak, "program", None) and soak.program.poll() is None:
                soak.program.kill()


if __name__ == "__main__":
    main()
