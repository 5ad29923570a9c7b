"""The proxy configurations in docs/guide/operating.md, unchanged, with the real proxies.

Each proxy runs in front of a real hub. Updates arrive at once by event streams, polls and WebSockets, resuming
works, and the hub notices disconnects.
"""

import contextlib
import http.client
import json
import pathlib
import re
import subprocess
import tempfile
import urllib.parse

import pytest
from websockets.sync.client import connect

from support import mercure
from support.hub import PATH, ROOT, Hub, free_port, tidings
from support.mercure import ISSUER, SECRET
from support.waiting import DEADLINE_SECS, until

GUIDE = ROOT / "docs/guide/operating.md"
TOPIC = "https://example.com/books/1"
LARGE = "x" * 300_000


def fences(language):
    """Returns the guide's code blocks in a language."""
    found = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found, f"{GUIDE} has no example in {language}"
    return found


def nginx(folder, port, hub):
    """Returns the command that runs nginx in front of the hub's address."""
    in_http, in_server = fences("nginx")
    text = f"""
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    {in_http}
    server {{ listen 127.0.0.1:{port}; {in_server} }}
}}
"""
    return ["nginx", "-c", write(folder, "nginx.conf", pointed(text, hub))]


def caddy(folder, port, hub):
    """Returns the command that runs Caddy in front of the hub's address."""
    (site,) = fences("caddy")
    text = "{\n admin off\n}\n" + site.replace("hub.example.com", f"http://localhost:{port}")
    config = write(folder, "Caddyfile", pointed(text, hub))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", config]


def haproxy(folder, port, hub):
    """Returns the command that runs HAProxy in front of the hub's address."""
    (backend,) = fences("haproxy")
    text = f"""
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 30s
frontend web
    bind 127.0.0.1:{port}
    default_backend tidings
{backend}
"""
    return ["haproxy", "-db", "-f", write(folder, "haproxy.cfg", pointed(text, hub))]


PROXIES = {"nginx": nginx, "caddy": caddy, "haproxy": haproxy}


def pointed(text, hub):
    """Returns a configuration with the hub's address in place of the guide's."""
    assert "127.0.0.1:4400" in text, "an example of the guide does not name 127.0.0.1:4400"
    return text.replace("127.0.0.1:4400", f"127.0.0.1:{hub}")


def write(folder, name, text):
    path = pathlib.Path(folder, name)
    path.write_text(text)
    return str(path)


@contextlib.contextmanager
def proxy(command, port, hub):
    """Runs a proxy by its command, and waits until it listens."""
    with tempfile.TemporaryDirectory() as folder:
        command = command(folder, port, hub.port())
        log = open(pathlib.Path(folder, "output"), "w+")
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": folder, "PATH": PATHS})
        try:
            wait_for(port, process, log)
            yield
        finally:
            process.terminate()
            process.wait(DEADLINE_SECS)
            log.close()


PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def wait_for(port, process, log):
    """Waits until the hub answers through the proxy."""

    def answers():
        if process.poll() is not None:
            return True
        connection = http.client.HTTPConnection("localhost", port, timeout=DEADLINE_SECS)
        try:
            connection.request("OPTIONS", PATH)
            # A proxy that has not noticed the hub yet answers 503.
            return connection.getresponse().status < 500
        except OSError:
            return False
        finally:
            connection.close()

    in_time = until(answers)
    if process.poll() is not None or not in_time:
        log.seek(0)
        raise RuntimeError(f"{process.args[0]} did not start:\n{log.read()}")


class Stream:
    """An event stream through the proxy."""

    def __init__(self, port, token, cursor=None):
        self.connection = http.client.HTTPConnection("localhost", port, timeout=DEADLINE_SECS)
        headers = {"Authorization": "Bearer " + token, "Accept": "text/event-stream"}
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        self.connection.request("GET", f"{PATH}?match={urllib.parse.quote(TOPIC)}", headers=headers)
        self.answer = self.connection.getresponse()

    def lines(self):
        """Returns the next lines up to an empty one, without their ends."""
        lines = []
        while line := self.answer.readline().decode().rstrip("\n"):
            lines.append(line)
        return lines

    def event(self):
        """Returns the id and the data of the next event."""
        while True:
            fields = dict(line.split(": ", 1) for line in self.lines() if not line.startswith(":") and ": " in line)
            if "data" in fields:
                return fields["id"], fields["data"]

    def comment(self):
        """Waits for a comment: one line."""
        while not self.answer.readline().startswith(b":"):
            pass

    def close(self):
        self.answer.close()
        self.connection.close()


def publish(port, token, data):
    connection = http.client.HTTPConnection("localhost", port, timeout=DEADLINE_SECS)
    form = urllib.parse.urlencode({"topic": TOPIC, "data": data, "private": "on"})
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", PATH, form, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


DIAGNOSE = "[pages]\ndiagnose = true\n"


def url(port):
    return f"http://localhost:{port}{PATH}"


def hub_for(port, more=""):
    """Starts a hub whose public address is the proxy's."""
    return Hub(
        f'''
[hub]
public_url = "{url(port)}"
[[listen]]
address = "127.0.0.1:0"
{more}
[proxy]
trusted_addresses = ["127.0.0.1"]
[limits]
blocked_addresses = ["127.0.0.66"]
[[auth.issuers]]
issuer = "{ISSUER}"
algorithm = "HS256"
key = "{SECRET}"
[subscribe]
keep_alive_secs = 1
[rooms]
access = "anonymous"
topics = ["chat"]
'''
    )


@pytest.fixture(scope="module", params=PROXIES)
def proxied(request):
    """A hub behind a proxy: the hub, the proxy's port, and a token."""
    port = free_port()
    hub = hub_for(port, more=DIAGNOSE)
    with proxy(PROXIES[request.param], port, hub):
        yield hub, port, mercure.token(aud=url(port))
    assert hub.stop() == 0


def events_finding(hub, port):
    """Returns what `tidings doctor` finds about events through a proxy, and its exit code."""
    ran = tidings("doctor", "--json", "--config", hub.config, "--url", url(port))
    findings = json.loads(ran.stdout)["findings"]
    return next(one for one in findings if one["check"] == "events"), ran.returncode


def test_doctor_finds_nothing_with_the_guides_settings(proxied, check):
    hub, port, _bearer = proxied
    found, code = events_finding(hub, port)
    check("events", found["level"], "ok")
    check("exit code", code, 0)


def test_doctor_finds_a_proxy_that_buffers(check):
    port = free_port()
    hub = hub_for(port, more=DIAGNOSE)
    with proxy(buffering_nginx, port, hub):
        found, code = events_finding(hub, port)
        check("events", found["level"], "problem")
        check("the line to change", "proxy_buffering off" in found["change"], True)
        check("exit code", code, 1)
    assert hub.stop() == 0


def buffering_nginx(folder, port, hub):
    """Returns the command that runs nginx as it buffers: by HTTP/1.0, its default, and though the hub asks it not to."""
    text = f"""
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{hub}; proxy_set_header Host $http_host;
            proxy_ignore_headers X-Accel-Buffering;
        }}
    }}
}}
"""
    return ["nginx", "-c", write(folder, "nginx.conf", text)]


def test_event_streams(proxied, check):
    hub, port, bearer = proxied
    stream = Stream(port, bearer)
    check("status", stream.answer.status, 200)
    stream.comment()
    sent = []
    # Each event is read before the next is published: a proxy that buffers events fails here.
    for number in range(5):
        status, event_id = publish(port, bearer, str(number))
        check("publish", status, 200)
        sent.append(event_id)
        check("event", stream.event(), (event_id, str(number)))
    check("a large one", publish(port, bearer, LARGE)[0], 200)
    check("the large one comes", len(stream.event()[1]), len(LARGE))
    again = Stream(port, bearer, sent[2])
    check("after a cursor", [again.event()[0] for _ in range(2)], sent[3:])
    for each in (stream, again):
        each.close()
    check("the hub sees who left", hub.wait_for_metric("tidings_subscribers", 0), True)


def test_polls(proxied, check):
    hub, port, bearer = proxied
    before = poll(port, bearer, "wait=0")
    check("a poll of what is new", before["updates"], [])
    status, event_id = publish(port, bearer, "for a poll")
    check("publish", status, 200)
    after = poll(port, bearer, f"wait={DEADLINE_SECS}", before["last_event_id"])
    check("the next poll", [(update["id"], update["data"]) for update in after["updates"]], [(event_id, "for a poll")])
    check("the hub sees who left", hub.wait_for_metric("tidings_subscribers", 0), True)


def poll(port, token, prefer, cursor=None):
    """Returns the answer to a poll."""
    connection = http.client.HTTPConnection("localhost", port, timeout=2 * DEADLINE_SECS)
    headers = {"Authorization": "Bearer " + token, "Prefer": prefer}
    if cursor is not None:
        headers["Last-Event-ID"] = cursor
    connection.request("GET", f"{PATH}?match={urllib.parse.quote(TOPIC)}", headers=headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_web_sockets(proxied, check):
    hub, port, bearer = proxied
    headers = {"Authorization": "Bearer " + bearer}
    origin = f"http://localhost:{port}"
    address = f"ws://localhost:{port}"
    query = urllib.parse.urlencode({"match": TOPIC})
    with connect(f"{address}{PATH}?{query}", additional_headers=headers, origin=origin) as one:
        check("the first frame", list(json.loads(one.recv(DEADLINE_SECS))), ["open"])
        status, event_id = publish(port, bearer, "by POST")
        check("publish", status, 200)
        check("update", update(one), (event_id, "by POST"))
        one.send(json.dumps({"publish": {"topic": TOPIC, "data": "by frame"}, "ref": 1}))
        said = sorted((json.loads(one.recv(DEADLINE_SECS)) for _ in range(2)), key=str)
        check("the answer and the update", sorted(key for frame in said for key in frame), ["ack", "ref", "update"])
    with connect(f"{address}/ws/chat", origin=origin) as one, connect(f"{address}/ws/chat", origin=origin) as other:
        check("both are there", hub.wait_for_metric("tidings_subscribers", 2), True)
        one.send("hello")
        check("the room", other.recv(DEADLINE_SECS), "hello")
    check("the hub sees who left", hub.wait_for_metric("tidings_subscribers", 0), True)


def update(web_socket):
    fields = json.loads(web_socket.recv(DEADLINE_SECS))["update"]
    return fields["id"], fields["data"]


BLOCKED, OTHER = "127.0.0.66", "127.0.0.67"


def status(port, source, forged=None):
    """Returns the status of a request from an address of this machine, with a field that the client forged."""
    connection = http.client.HTTPConnection("127.0.0.1", port, DEADLINE_SECS, source_address=(source, 0))
    headers = {"Host": f"localhost:{port}"}
    if forged is not None:
        headers["X-Forwarded-For"] = forged
    connection.request("OPTIONS", PATH, headers=headers)
    answer = connection.getresponse().status
    connection.close()
    return answer


def test_the_clients_address(proxied, check):
    _hub, port, _bearer = proxied
    allowed = status(port, OTHER)
    check("another address is served", allowed < 300, True)
    check("the client's address counts", status(port, BLOCKED), 403)
    check("not what the client says", status(port, BLOCKED, forged=OTHER), 403)
    check("nobody can be blamed", status(port, OTHER, forged=BLOCKED), allowed)


@pytest.mark.parametrize("words", ["send-proxy-v2 check check-send-proxy", "send-proxy"])
def test_the_proxy_protocol_of_haproxy(words, check):
    assert f"server hub 127.0.0.1:4400 {words}" in GUIDE.read_text() or words == "send-proxy"
    port = free_port()
    hub = hub_for(port, more="proxy_protocol = true")
    with proxy(lambda *where: tcp_haproxy(*where, words), port, hub):
        check("another address is served", status(port, OTHER) < 300, True)
        # A blocked peer gets no answer.
        with pytest.raises(OSError):
            status(port, BLOCKED)
        bearer = mercure.token(aud=url(port))
        stream = Stream(port, bearer)
        event_id = publish(port, bearer, "through it")[1]
        check("an update", stream.event(), (event_id, "through it"))
        stream.close()
    # The proxy ends its checks with a reset, which is a failure of another kind.
    malformed = hub.metric('tidings_connections_failed_total{reason="proxy_header"}')
    check("nothing was malformed", malformed, 0)
    assert hub.stop() == 0


def tcp_haproxy(folder, port, hub, words):
    """Returns the command of HAProxy that passes bytes on behind a header with the client's address."""
    text = f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen web
    bind 127.0.0.1:{port}
    server hub 127.0.0.1:{hub} {words}
"""
    return ["haproxy", "-db", "-f", write(folder, "haproxy.cfg", text)]
