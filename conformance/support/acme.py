"""A certificate authority: Debian's `pebble`, with a DNS of its own, behind a front that can refuse and hold requests."""

import base64
import contextlib
import datetime
import http.client
import http.server
import json
import re
import socket
import ssl
import subprocess
import tempfile
import threading

from .certificates import make_certificate
from .hub import free_port
from .waiting import DEADLINE_SECS, until

NEW_ORDER = "/order-plz"
FINALIZE = "/finalize-order/"
PROBLEM = "urn:ietf:params:acme:error:"


class Authority(contextlib.AbstractContextManager):
    """An authority that checks names at the two ports of a hub.

    Requests pass through a front, since pebble limits no rate and suggests no renewals. `refuse` and `hold` are
    about paths; `requests` has the path of each request that arrived. `nonces_refused` is a percentage.
    """

    def __init__(self, nonces_refused=0, **settings):
        self.tls_port, self.http_port = free_port(), free_port()
        self.nonces_refused = nonces_refused
        self.settings = settings
        self.requests = []
        self.orders = []
        self.refusals = {}
        self.held = {}
        self.window = None
        self.processes = []

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        certificate, key = make_certificate()
        for name, content in {"ca.pem": certificate, "key.pem": key}.items():
            with open(f"{self.folder.name}/{name}", "wb") as file:
                file.write(content)
        self.ca_file = f"{self.folder.name}/ca.pem"
        self.pebble_port, self.dns_port, self.dns_management = (free_port() for _ in range(3))
        self._start_dns()
        self._start_pebble()
        self.port = self._start_front()
        return self

    def __exit__(self, *_):
        self.release()
        self.front.shutdown()
        self.front.server_close()
        for process in self.processes:
            process.kill()
            process.wait(DEADLINE_SECS)
        self.output.close()
        self.folder.cleanup()

    def _start_dns(self):
        off = [f"-{name}=" for name in ("http01", "https01", "tlsalpn01", "defaultIPv6")]
        self._run(
            "pebble-challtestsrv",
            f"-dns01=127.0.0.1:{self.dns_port}",
            f"-management=127.0.0.1:{self.dns_management}",
            *off,
        )

    def _start_pebble(self):
        config = {
            "listenAddress": f"127.0.0.1:{self.pebble_port}",
            "managementListenAddress": "",
            "certificate": self.ca_file,
            "privateKey": f"{self.folder.name}/key.pem",
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            **self.settings,
        }
        path = f"{self.folder.name}/pebble.json"
        with open(path, "w") as file:
            json.dump({"pebble": config}, file)
        dns = f"127.0.0.1:{self.dns_port}"
        self._run("pebble", "-strict", "-config", path, "-dnsserver", dns)
        assert until(lambda: reachable(self.pebble_port)), self.log()

    def _run(self, *command):
        if not self.processes:
            self.output = open(f"{self.folder.name}/log", "w+")
        environment = {
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": str(self.nonces_refused),
            "PEBBLE_AUTHZREUSE": "0",
        }
        process = subprocess.Popen(
            command, stdout=self.output, stderr=subprocess.STDOUT, env=environment
        )
        self.processes.append(process)

    def log(self):
        with open(self.output.name) as file:
            return file.read()

    def _start_front(self):
        self.front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.front.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, f"{self.folder.name}/key.pem")
        self.front.socket = context.wrap_socket(self.front.socket, server_side=True)
        threading.Thread(target=self.front.serve_forever, daemon=True).start()
        return self.front.server_address[1]

    def points(self, name, address):
        """Lets the DNS answer `address` for a name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.dns_management, DEADLINE_SECS)
        body = json.dumps({"host": name + ".", "addresses": [address]})
        assert until(lambda: reachable(self.dns_management)), self.log()
        with contextlib.closing(connection):
            connection.request("POST", "/clear-a", json.dumps({"host": name + "."}))
            connection.getresponse().read()
            connection.request("POST", "/add-a", body)
            assert connection.getresponse().status == 200

    def refuse(self, path, status, kind, retry_after=None, times=1):
        """Answers the next requests below a path with a problem."""
        self.refusals[path] = [times, status, kind, retry_after]

    def hold(self, path):
        """Lets requests below a path wait; returns an event that says that one came."""
        came, released = threading.Event(), threading.Event()
        self.held[path] = (came, released)
        return came

    def release(self):
        """Lets all requests through again. Those that were held are dropped."""
        held, self.held = self.held, {}
        for _came, released in held.values():
            released.set()

    def suggest(self, begin_hours, end_hours):
        """Suggests to renew within these hours from now (RFC 9773)."""
        now = datetime.datetime.now(datetime.timezone.utc)
        at = lambda hours: (now + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.window = {"start": at(begin_hours), "end": at(end_hours)}

    def count(self, path):
        """Returns how many requests came below a path."""
        return sum(request.startswith(path) for request in self.requests)

    def tables(self, names, **further):
        """Returns the hub's configuration: its listeners, and this authority."""
        keys = {
            "names": names,
            "directory": f"https://localhost:{self.port}/dir",
            "ca_file": self.ca_file,
            **further,
        }
        return (
            f'[[listen]]\naddress = "127.0.0.1:{self.tls_port}"\ntls = true\n'
            f'[[listen]]\naddress = "127.0.0.1:{self.http_port}"\n'
            "[tls.acme]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        )


def reachable(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def handler(authority):
    """Makes the front's handler: it passes requests on, and does what the authority was told to."""

    class Front(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self):
            authority.requests.append(self.path)
            self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            for path, (came, released) in list(authority.held.items()):
                if self.path.startswith(path):
                    came.set()
                    released.wait(DEADLINE_SECS)
                    self.close_connection = True
                    return
            for path, refusal in authority.refusals.items():
                if self.path.startswith(path) and refusal[0] > 0:
                    refusal[0] -= 1
                    return self.problem(*refusal[1:])
            if self.path.startswith("/renewal-info/"):
                document = json.dumps({"suggestedWindow": authority.window}).encode()
                return self.send(200, {"Retry-After": "60"}, document)
            self.pass_on()

        do_GET = do_POST = do_HEAD = answer

        def problem(self, status, kind, retry_after):
            fields = {"Content-Type": "application/problem+json"}
            if retry_after is not None:
                fields["Retry-After"] = str(retry_after)
            document = {"type": PROBLEM + kind, "detail": f"told to say {kind}", "status": status}
            self.send(status, fields, json.dumps(document).encode())

        def pass_on(self):
            context = ssl._create_unverified_context()
            port = authority.pebble_port
            connection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=DEADLINE_SECS, context=context
            )
            with contextlib.closing(connection):
                connection.request(self.command, self.path, self.body, dict(self.headers))
                answer = connection.getresponse()
                document = answer.read()
            document = self.changed(answer.status, document)
            kept = ("Location", "Replay-Nonce", "Content-Type", "Link", "Retry-After")
            fields = {name: answer.headers[name] for name in kept if name in answer.headers}
            self.send(answer.status, fields, document)

        def changed(self, status, document):
            """Adds what pebble does not know: RFC 9773."""
            if authority.window is None:
                return document
            if self.path == "/dir":
                directory = json.loads(document)
                own = re.match(r"https://[^/]+", directory["newOrder"]).group()
                return json.dumps({**directory, "renewalInfo": own + "/renewal-info"}).encode()
            if self.path == NEW_ORDER and status == 201:
                order = json.loads(document)
                replaced = payload(self.body).get("replaces")
                authority.orders.append(replaced)
                return json.dumps({**order, **({"replaces": replaced} if replaced else {})}).encode()
            return document

        def send(self, status, fields, document):
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(document)

    return Front


def payload(jws):
    """Returns what is signed."""
    text = json.loads(jws)["payload"]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
