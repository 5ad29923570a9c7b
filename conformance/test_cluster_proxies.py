"""The load balancers of docs/guide/cluster.md, unchanged, with the real programs in front of three hubs: every request of
a SockJS session reaches the hub that has it, and a session that lost its hub begins anew without a loss."""

import contextlib
import http.client
import json
import subprocess
import urllib.parse

import pytest

from support.hub import free_port
from support.mercure import Answer, publish, token
from support.redis import Redis, is_ready
from support.waiting import DEADLINE_SECS, until
from test_docs import block
from test_proxies import PATHS

PAGE = "docs/guide/cluster.md"
TOPIC = "https://example.com/news"
SESSIONS = 12


def pointed(text, port, hubs):
    """Returns a configuration with the addresses of this machine in place of the guide's."""
    text = text.replace("bind :8080", f"bind 127.0.0.1:{port}").replace("listen 8080", f"listen 127.0.0.1:{port}")
    text = text.replace(":8080 {", f"http://127.0.0.1:{port} {{")
    for number, hub in enumerate(hubs, 11):
        assert f"10.0.0.{number}:4400" in text
        text = text.replace(f"10.0.0.{number}:4400", f"127.0.0.1:{hub}")
    return text


def haproxy(folder, port, hubs):
    """Returns the command that runs HAProxy on a port in front of hubs."""
    file = folder / "haproxy.cfg"
    file.write_text(pointed(block(PAGE, 3, "haproxy"), port, hubs))
    return "sh", "-c", f'PATH="$PATH:/usr/sbin"; exec haproxy -db -f {file}'


def nginx(folder, port, hubs):
    file = folder / "nginx.conf"
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{name}_temp_path {folder};" for name in places)
    text = pointed(block(PAGE, 4, "nginx"), port, hubs)
    file.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths}\n{text} }}\n"
    )
    return "sh", "-c", f'PATH="$PATH:/usr/sbin"; exec nginx -c {file}'


def caddy(folder, port, hubs):
    file = folder / "Caddyfile"
    file.write_text("{\n admin off\n}\n" + pointed(block(PAGE, 5, "caddy"), port, hubs))
    return "caddy", "run", "--adapter", "caddyfile", "--config", str(file)


@contextlib.contextmanager
def running(command, folder, port):
    with open(folder / "output", "w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(folder), "PATH": PATHS})
        try:
            up = until(lambda: process.poll() is not None or get(port, "/sockjs/info") == 200)
            if not up or process.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"{command} does not run:\n{log.read()}")
            yield
        finally:
            process.terminate()
            process.wait(DEADLINE_SECS)


def get(port, path):
    try:
        return ask(port, "GET", path).status
    except OSError:
        return 0


def ask(port, method, path, body=None):
    """Sends a request on a connection of its own, so that the load balancer chooses anew."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECS)
    try:
        connection.request(method, path, body)
        return Answer(connection.getresponse())
    finally:
        connection.close()


class Session:
    """A SockJS session by polls, each a request of its own."""

    def __init__(self, port, name, cursor=None):
        self.port, self.base = port, f"/sockjs/000/{name}"
        self.query = "?" + urllib.parse.urlencode({"match": TOPIC, **({"last_event_id": cursor} if cursor else {})})

    def receive(self):
        answer = ask(self.port, "POST", f"{self.base}/xhr{self.query}")
        assert answer.status == 200, answer.text
        return answer.text.strip()

    def send(self, message):
        return ask(self.port, "POST", f"{self.base}/xhr_send", json.dumps([json.dumps(message)])).status

    def updates(self, count):
        """Returns the ids and data of the next updates."""
        found = []
        while len(found) < count:
            frame = self.receive()
            assert frame[0] in "ah", frame
            messages = json.loads(frame[1:]) if frame[0] == "a" else []
            updates = [json.loads(message).get("update") for message in messages]
            found += [(update["id"], update["data"]) for update in updates if update]
        return found


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    server.begin()
    yield server
    server.stop()


@pytest.mark.parametrize("command", [haproxy, nginx, caddy], ids=lambda command: command.__name__)
def test_a_session_stays_at_its_hub(command, redis, start, check, tmp_path):
    # The sessions poll one after the other, and none is to be forgotten meanwhile.
    settings = redis.member("[sockjs]\nenabled = true\ndisconnect_secs = 60\n")
    hubs = [start(settings) for _ in range(3)]
    assert until(lambda: all(map(is_ready, hubs)))
    port = free_port()
    with running(command(tmp_path, port, [hub.port() for hub in hubs]), tmp_path, port):
        sessions = [Session(port, f"{command.__name__}-{number}") for number in range(SESSIONS)]
        check("each is opened", {session.receive() for session in sessions}, {"o"})
        sent = [session.send({"authenticate": {"token": token()}}) for session in sessions]
        check("each hub knows the sessions that are sent to it", set(sent), {204})
        ids = [publish(hubs[number % 3], topic=TOPIC, data=str(number)) for number in range(6)]
        wanted = list(zip(ids, map(str, range(6)), strict=True))
        came = [session.updates(6) for session in sessions]
        check("each session has everything once", came, [wanted] * SESSIONS)
        counts = [hub.metric("tidings_sockjs_sessions") for hub in hubs]
        check("none was opened twice", sum(counts), SESSIONS)
        check("they are spread", sum(count > 0 for count in counts) >= 2)

        # The hub with the first session dies: whoever is asked next does not know it.
        with_it = max(range(3), key=lambda number: counts[number])
        hubs[with_it].process.kill()
        hubs[with_it].process.wait(DEADLINE_SECS)
        rest = [hub for number, hub in enumerate(hubs) if number != with_it]
        while_away = publish(rest[0], topic=TOPIC, data="while it is away")
        assert until(lambda: all(get(port, f"/sockjs/000/{number}/nothing") == 404 for number in range(9)))
        statuses = [session.send({"ping": {}}) for session in sessions]
        lost = [session for session, status in zip(sessions, statuses, strict=True) if status == 404]
        check("those of the dead hub are told so", len(lost) >= counts[with_it])
        check("and nobody else has a fault", set(statuses) <= {204, 404})
        check("a receiver is told by a new beginning", lost[0].receive(), "o")
        again = Session(port, f"{command.__name__}-again", cursor=ids[3])
        check("another session", again.receive(), "o")
        check("goes on at its cursor", again.updates(3), [*wanted[4:], (while_away, "while it is away")])
