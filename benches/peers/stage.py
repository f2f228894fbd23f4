"""What runs: a site and its origin, the proxies beside it, and consentry.

Everything listens on 127.0.0.1 and lives in one directory that goes away.
"""
import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ORIGIN, SLOW = 28080, 28090
PORTS = {"nginx": 28081, "sub_filter": 28082, "Privoxy": 28083, "nginx with TLS": 28084}
# What everybody is asked for: Privoxy goes where this says.
HOST = f"127.0.0.1:{ORIGIN}"
# The cores: one for the proxy under test, one for origin and load.
PROXY, LOAD = "0", "1"

VENDORS = [
    "www.googletagmanager.com/gtag/js?id=G-4XK2T9", "www.google-analytics.com/analytics.js",
    "connect.facebook.net/en_US/fbevents.js", "static.hotjar.com/c/hotjar-1.js",
    "snap.licdn.com/li.lms-analytics/insight.min.js", "analytics.tiktok.com/i18n/pixel/events.js",
    "bat.bing.com/bat.js", "www.clarity.ms/tag/abc", "static.klaviyo.com/onsite/js/klaviyo.js",
    "cdn.segment.com/analytics.js/v1/x/analytics.min.js", "s.pinimg.com/ct/core.js",
    "dynamic.criteo.com/js/ld/ld.js", "js.hs-scripts.com/4471200.js", "cdn.optimizely.com/js/20442511.js",
    "static.criteo.net/js/ld/ld.js", "cdn.mxpnl.com/libs/mixpanel-2-latest.min.js",
]
SNIPPETS = [
    "!function(f,b,e,v){f.fbq=function(){};b.createElement(e).src=v}(window,document,'script',"
    "'https://connect.facebook.net/en_US/fbevents.js');fbq('init','1849302774');fbq('track','PageView');",
    "window.dataLayer=window.dataLayer||[];function gtag(){dataLayer.push(arguments)}"
    "gtag('js',new Date());gtag('config','G-4XK2T9');",
]
# What the origin puts another text in for with every answer.
TOKEN = "0123456789abcdef0123456789abcdef"


WORDS = ("leaf garden hill rain spring summer autumn winter shade stone river cloud morning evening light dark sweet "
         "bitter smoke honey cedar ginger lemon mint rose jasmine barley chestnut copper glass paper cotton linen basket "
         "hand picked dried rolled roasted pressed packed carried poured steeped slow warm cool soft bright deep old new "
         "small large first last north south village mountain valley harvest season market road house table cup kettle "
         "story people letter colour taste water fire earth air salt bread night day").split()


def page(token):
    """About 100 KB of a shop, with the tags that shops have, and words that
    compress as words do."""
    chance = random.Random(20261122)

    def words(least, most):
        return " ".join(chance.choices(WORDS, k=chance.randint(least, most))).capitalize()

    tags = "".join(f'<script async src="https://{host}"></script>\n' for host in VENDORS)
    tags += "".join(f"<script>{code}</script>\n" for code in SNIPPETS)
    rows = []
    for n in range(118):
        number = f"{chance.getrandbits(40):010x}"
        rows.append(
            f'<article class="card card--wide" id="p{number}"><a class="card__link" href="/tea/{words(1, 2)}-{number}">'
            f'<img src="/i/{number}.jpg" srcset="/i/{number}.jpg 1x, /i/{number}@2x.jpg 2x" alt="{words(2, 5)}" width="320">'
            f'<h3>{words(2, 4)}</h3><p>{words(20, 60)}.</p></a><span class="price">&euro;{chance.randint(2, 90)}.90</span>'
            f'<button type="button" data-id="{number}" disabled>Add to cart</button></article>\n')
        if n % 12 == 0:
            rows.append(f"<section><h2>{words(3, 7)}</h2><p>{words(80, 140)}.</p></section>\n")
    state = (f'{{"id":"{chance.getrandbits(40):010x}","name":"{words(2, 4)}","price":{n}90}}' for n in range(180))
    rows.append(f'<script type="application/json">{{"teas":[{",".join(state)}]}}</script>\n')
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Tea</title>\n{tags}</head>'
            f'<body data-token="{token}">\n{"".join(rows)}</body></html>\n').encode()


def rules(count):
    """A filter list in the proportions of EasyPrivacy: hosts, hosts with a
    path, paths anywhere, and a few exceptions."""
    lines = ["[Adblock Plus 2.0]", "! Title: Made for measuring"]
    for n in range(count):
        lines.append(f"||tracker{n}.example^$third-party" if n % 20 < 13 else
                     f"||cdn{n}.example/pixel/{n % 97}/" if n % 20 < 16 else
                     f"/track{n}/beacon.$image,script" if n % 20 < 19 else
                     f"@@||shop{n}.example/js/{n}.js$script,domain=shop{n}.example")
    return "\n".join(lines) + "\n"


NGINX = """daemon off; worker_processes 1; pid {at}/{name}.pid; error_log {at}/{name}.log;
worker_rlimit_nofile 20000; events {{ worker_connections 19000; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on; {temp}
types {{ text/html html; text/css css; image/jpeg jpg; }}
{server} }}"""

# With a `Via` in the request, nginx compresses nothing unless `gzip_proxied` says so.
SITE = """server {{ listen 127.0.0.1:{port} backlog=8192; root {at}; sendfile on; gzip_proxied any;
add_header Set-Cookie "_ga=GA1.2.1293841.1718200000; Path=/; Max-Age=63072000";
add_header Set-Cookie "sid=7f81bd02aa; Path=/; HttpOnly; SameSite=Lax";
location / {{ gzip_static on; gzip_vary on; etag on; }}
location = /page.html {{ gzip_static on; gzip_vary on; etag off; add_header Last-Modified "";
  add_header Set-Cookie "_ga=GA1.2.1293841.1718200000; Path=/; Max-Age=63072000";
  add_header Set-Cookie "sid=7f81bd02aa; Path=/; HttpOnly; SameSite=Lax"; }}
location = /fresh.html {{ sub_filter "{token}" $request_id; gzip on; gzip_comp_level 1; }}
location = /slow.html {{ proxy_pass http://127.0.0.1:{slow}; proxy_buffering off; }} }}"""

PASSING = """upstream origin {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{listen} backlog=8192;
proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
proxy_buffers 20 64k; proxy_buffer_size 16k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;
location / {{ proxy_pass http://origin; {more} }} }}"""

PRIVOXY = """listen-address 127.0.0.1:{port}
confdir /etc/privoxy
actionsfile {at}/privoxy.action
filterfile {at}/privoxy.filter
logdir {at}
accept-intercepted-requests 1
toggle 1
keep-alive-timeout 300
tolerate-pipelining 1
connection-sharing 1
default-server-timeout 300
max-client-connections 4000
buffer-limit 4096
"""

OURS = """[listener]
address = "127.0.0.1:{port}"
workers = {workers}
{tls}
[admin]
address = "127.0.0.1:{admin}"
[ledger]
file = "{at}/{name}/ledger.db"
[lists]
files = {lists}
[[site]]
origin = "http://127.0.0.1:{origin}"
"""


class Stage:
    """Everything that runs, until the `with` ends."""

    def __init__(self, binary, lists):
        self.binary, self.pids, self.running = os.path.abspath(binary), {}, {}
        self.at = tempfile.mkdtemp(prefix="peers-")
        # nginx, started by root, reads files as somebody else.
        os.chmod(self.at, 0o755)
        for name, data in {"page.html": page(TOKEN), "tagged.html": page(TOKEN), "fresh.html": page(TOKEN),
                           "tiny.css": b"a{color:#123456}" * 64, "image.jpg": os.urandom(1 << 20)}.items():
            self.write(name, data)
            if name in ("page.html", "tagged.html"):
                self.write(name + ".gz", gzip.compress(data, 6, mtime=0))
        self.small = [self.write("small.txt", rules(55_000).encode())]
        self.large = [os.path.abspath(path) for path in lists] or [self.write("large.txt", rules(100_000).encode())]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in list(self.running):
            self.stop(name)
        shutil.rmtree(self.at)

    def write(self, name, data):
        path = os.path.join(self.at, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def start(self, name, command, cores=PROXY):
        with open(os.path.join(self.at, f"{name}.out"), "ab") as out:
            self.running[name] = subprocess.Popen(["taskset", "-c", cores, *command], stdout=out, stderr=out)
        self.pids[name] = self.running[name].pid
        return self.running[name]

    def stop(self, name):
        one = self.running.pop(name)
        one.send_signal(signal.SIGTERM)
        try:
            one.wait(20)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()

    def nginx(self, name, server):
        temp = "".join(f"{kind}_temp_path {self.at}/{name}_{kind};" for kind in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = NGINX.format(at=self.at, name=name, temp=temp, server=server)
        return ["nginx", "-c", self.write(f"{name}.conf", text.encode())]

    def certificate(self):
        paths = [os.path.join(self.at, name) for name in ("certificate.pem", "key.pem")]
        if not os.path.exists(paths[0]):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                            "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
        return paths

    def peer(self, name):
        """The command of a proxy that is not ours."""
        listen, more = str(PORTS[name]), ""
        if name == "Privoxy":
            self.write("privoxy.action", b"{+filter{bench} +prevent-compression +crunch-server-header{_ga=}}\n/\n")
            hosts = (host.split("?")[0].replace(".", r"\.") for host in VENDORS)
            self.write("privoxy.filter", ("FILTER: bench\n" + "".join(
                f's|src="https://{host}|data-blocked="{host}|g\n' for host in hosts)).encode())
            text = PRIVOXY.format(port=listen, at=self.at)
            return ["privoxy", "--no-daemon", self.write("privoxy.conf", text.encode())]
        if name == "sub_filter":
            more = "".join(f'sub_filter "src=\\"https://{host}" "data-blocked=\\"{host}";' for host in VENDORS)
            more += ('sub_filter_once off; proxy_hide_header Set-Cookie; proxy_set_header Accept-Encoding "";'
                     'proxy_set_header Connection ""; proxy_set_header Host $host;'
                     "gzip on; gzip_comp_level 1; gzip_proxied any;")
        if name == "nginx with TLS":
            certificate, key = self.certificate()
            listen += f" ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3"
            return self.nginx("tls", PASSING.format(origin=ORIGIN, listen=listen, more="").replace(" backlog=8192", ""))
        return self.nginx(name, PASSING.format(origin=ORIGIN, listen=listen, more=more))

    def ours(self, name, port, lists=(), workers=1, tls=False):
        """The command of a consentry with a ledger of its own."""
        os.makedirs(os.path.join(self.at, name), exist_ok=True)
        keys = ""
        if tls:
            keys = 'tls_cert_file = "{}"\ntls_key_file = "{}"'.format(*self.certificate())
        text = OURS.format(port=port, workers=workers, tls=keys, admin=port + 100, at=self.at, name=name,
                           lists=str(list(lists)).replace("'", '"'), origin=ORIGIN)
        return [self.binary, "serve", "--config", self.write(f"{name}.toml", text.encode())]

    def origin(self):
        site = SITE.format(port=ORIGIN, at=self.at, token=TOKEN, slow=SLOW)
        self.start("origin", self.nginx("origin", site), LOAD)
        fetch(ORIGIN, "/tiny.css")


def open_url(request, timeout=5):
    """Opens it without following a redirect."""
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None
    try:
        return urllib.request.build_opener(Stay).open(request, timeout=timeout)
    except urllib.error.HTTPError as answer:
        return answer


def fetch(port, path, fields=None):
    """The answer, asked for until there is one."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            fields = {"Host": HOST, **(fields or {})}
            answer = open_url(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=fields))
            return answer if answer.status == 200 else sys.exit(f"port {port} answers {path} with {answer.status}")
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nothing answers on port {port}")


def granted(port):
    """The cookie of a visitor who agreed to everything."""
    answer = open_url(urllib.request.Request(
        f"http://127.0.0.1:{port}/.consentry/choices", b"choice=all&return_to=/",
        {"Host": HOST, "Origin": f"http://{HOST}"}))
    if answer.status != 303:
        sys.exit(f"the choice was not taken: {answer.status}")
    return answer.headers["Set-Cookie"].split(";")[0]
