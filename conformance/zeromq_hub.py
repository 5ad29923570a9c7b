"""The hub as a bridge to ZeroMQ: messages become updates, updates become messages, hubs share updates.

The other ends are pyzmq, php-zmq, and event streams read by http.client. Prints `N passed, N failed`.
"""

import faulthandler
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import zmq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import mercure  # noqa: E402
from support.hub import BINARY, DEADLINE_SECS, Checks  # noqa: E402
from support.mercure import ISSUER, PUBLIC_URL, SECRET, Stream, publish  # noqa: E402
from zeromq import (  # noqa: E402
    SOCKETS, Broker, free_port, next_line_of, php, pyzmq, until,
)

WHOLE_SECS_MAX = 240
CHAT = "https://example.com/chat"
FLOOD = 30_000


def start(zeromq):
    hub = mercure.start(zeromq)
    hub.sockets = {"in": [], "out": []}
    for line in hub.log:
        entry = json.loads(line)
        if entry.get("message") == "ZeroMQ socket":
            port = int(entry["socket"].rsplit(":", 1)[1])
            hub.sockets[entry["direction"]].append(port)
    return hub


def check_chat(checks):
    """The chat of all worlds: PHP over PUSH, a page over SSE and POST, Python over SUB."""
    hub = start(f"""
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
topic = "{CHAT}"
event_type = "msg"
[[zeromq.outputs]]
socket = "zmq-bind://PUB@127.0.0.1:0"
form = "data"
match_exact = ["{CHAT}"]
""")
    page = Stream(hub, urllib.parse.urlencode({"match": CHAT}))
    sub = pyzmq(zmq.SUB, hub.sockets["out"][0])
    hub.wait_for_metric("tidings_zeromq_subscriptions", 1)
    lines = [{"from": "php", "text": "é"}, {"from": "page", "text": "2"}, {"from": "py", "text": "3"}]
    texts = [json.dumps(line, separators=(",", ":")) for line in lines]
    checks.equal("PHP speaks", php("push.php", hub.sockets["in"][0], texts[0]).returncode, 0)
    event = page.next()
    checks.equal("the page hears PHP", (event["event"], event["data"]), ("msg", texts[0]))
    checks.equal("Python hears PHP", sub.recv_multipart(), [texts[0].encode()])
    publish(hub, topic=CHAT, data=texts[1], type="msg")
    checks.equal("the page hears itself", page.next()["data"], texts[1])
    checks.equal("Python hears the page", sub.recv_multipart(), [texts[1].encode()])
    push = pyzmq(zmq.PUSH, hub.sockets["in"][0])
    push.send(texts[2].encode())
    checks.equal("the page hears Python", page.next()["data"], texts[2])
    checks.equal("Python hears itself", sub.recv_multipart(), [texts[2].encode()])
    # What is private or has another topic does not go out; what comes after it does.
    publish(hub, topic=CHAT, data="secret", private="on")
    publish(hub, topic="https://example.com/other", data="other")
    publish(hub, topic=CHAT, data="last")
    checks.equal("only public updates", sub.recv_multipart(), [b"last"])
    # A page that comes back gets what was said by ZeroMQ.
    cursor = {"Last-Event-ID": event["id"]}
    again = Stream(hub, urllib.parse.urlencode({"match": CHAT}), cursor)
    checks.equal("replay", again.next()["data"], texts[1])
    checks.equal("stops", hub.stop(), 0)


def check_mappings(checks):
    """JSON and parts in, what cannot be read, what may not be published; JSON and parts out."""
    hub = start("""
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
mapping = "json"
match_urlpattern = ["https://example.com/:rest*"]
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
mapping = "parts"
topic_prefix = "https://example.com/"
unparsable = "text"
topic = "https://example.com/odd"
[[zeromq.inputs]]
socket = "zmq-bind://REP@127.0.0.1:0"
mapping = "json"
match_urlpattern = ["https://example.com/:rest*"]
[[zeromq.outputs]]
socket = "zmq-bind://XPUB@127.0.0.1:0"
private = true
[[zeromq.outputs]]
socket = "zmq-bind://PUB@127.0.0.1:0"
form = "parts"
match_urlpattern = ["https://example.com/books/:id"]
""")
    page = Stream(hub, "match=*")
    objects = pyzmq(zmq.SUB, hub.sockets["out"][0])
    parts = pyzmq(zmq.SUB, hub.sockets["out"][1])
    hub.wait_for_metric("tidings_zeromq_subscriptions", 2)
    by_json = pyzmq(zmq.PUSH, hub.sockets["in"][0])
    book = "https://example.com/books/1"
    by_json.send_json({"topic": book, "data": {"b": 1, "a": 2}, "id": "urn:1", "type": "news"})
    event = page.next()
    expected = {"event": "news", "id": "urn:1", "data": '{"b": 1, "a": 2}'}
    checks.equal("JSON in", event, expected)
    found = json.loads(objects.recv())
    checks.equal("JSON out: hub", len(found.pop("hub")), 24)
    expected = {"topic": book, "data": '{"b": 1, "a": 2}', "id": "urn:1", "type": "news"}
    checks.equal("JSON out", found, expected)
    checks.equal("parts out", parts.recv_multipart(), [book.encode(), b'{"b": 1, "a": 2}'])
    by_json.send(b"no JSON")
    by_json.send_json({"data": "no topic"})
    by_json.send_json({"topic": "https://elsewhere.example.com/", "data": "not granted"})
    by_json.send_json({"topic": PUBLIC_URL + "/subscriptions/x", "data": "reserved"})
    by_json.send_json({"topic": [book, "https://example.com/b"], "data": "hidden", "private": True})
    found = json.loads(objects.recv())
    checks.equal("private goes out where allowed", (found["data"], found["private"]), ("hidden", True))
    checks.equal("several topics", found["topic"], [book, "https://example.com/b"])
    checks.equal("unparsable are dropped", hub.metric("tidings_zeromq_dropped_total"), 2)
    checks.equal("not granted are refused", hub.metric("tidings_zeromq_refused_total"), 2)
    warned = [line for line in hub.log if "not published as it should be" in line]
    checks.equal("one line in the log for all", len(warned), 1)
    by_parts = pyzmq(zmq.PUSH, hub.sockets["in"][1])
    by_parts.send_multipart([b"books/2", b"plain text"])
    checks.equal("parts in", page.next()["data"], "plain text")
    checks.equal("parts in, out", parts.recv_multipart()[0], b"https://example.com/books/2")
    by_parts.send_multipart([b"alone"])
    checks.equal("passed as text", page.next()["data"], "alone")
    request = pyzmq(zmq.REQ, hub.sockets["in"][2])
    request.send_json({"topic": "https://example.com/asked", "data": "?"})
    checks.equal("REP answers with the id", request.recv().decode(), page.next()["id"])
    request.send(b"no JSON")
    checks.equal("REP says what is wrong", request.recv().startswith(b"error: it is no JSON"), True)
    hub.stop()


def check_flood(checks):
    """A flood is taken as fast as the history takes it: peers wait, nothing is lost."""
    hub = start("""
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
topic = "https://example.com/flood"
""")
    page = Stream(hub, "match=*")
    push = pyzmq(zmq.PUSH, hub.sockets["in"][0], sndhwm=100)

    def send():
        for number in range(FLOOD):
            push.send(b"%d" % number)

    sender = threading.Thread(target=send)
    sender.start()
    numbers = [int(page.next()["data"]) for _ in range(FLOOD)]
    sender.join()
    checks.equal("flood: all, in order", numbers == list(range(FLOOD)), True)
    checks.equal("flood: nothing dropped", hub.metric("tidings_zeromq_dropped_total"), 0)
    hub.stop()


def check_sharing(checks):
    """Two hubs around one broker: each has what the other publishes, once, and nothing goes round."""
    broker = Broker(
        "--pull", "zmq-bind://PULL@127.0.0.1:0", "--pub", "zmq-bind://PUB@127.0.0.1:0",
        "--metrics", "127.0.0.1:0",
    )
    sharing = f"""
[[zeromq.outputs]]
socket = "zmq://PUSH@127.0.0.1:{broker.port("in")}"
[[zeromq.inputs]]
socket = "zmq://SUB@127.0.0.1:{broker.port("out")}"
mapping = "json"
"""
    local = """
[[zeromq.outputs]]
socket = "zmq-bind://PUB@127.0.0.1:0"
form = "data"
"""
    hubs = [start(sharing), start(sharing + local)]
    broker.wait_for_metric("tidings_zeromq_subscriptions", lambda value: value == 2)
    sub = pyzmq(zmq.SUB, next(port for port in hubs[1].sockets["out"] if port != broker.port("in")))
    hubs[1].wait_for_metric("tidings_zeromq_subscriptions", 1)
    pages = [Stream(hub, "match=*") for hub in hubs]
    topic = "https://example.com/shared"
    first = publish(hubs[0], topic=topic, data="from the first", type="t")
    for number, page in enumerate(pages):
        event = page.next()
        checks.equal(f"hub {number}: first", (event["id"], event["event"]), (first, "t"))
    checks.equal("what another shares goes out locally", sub.recv(), b"from the first")
    second = publish(hubs[1], topic=topic, data="from the second")
    for number, page in enumerate(pages):
        checks.equal(f"hub {number}: second", page.next()["id"], second)
    # Each update went to the broker once, and came back to its own hub once, which dropped it.
    own = all(until(lambda hub=hub: hub.metric("tidings_zeromq_dropped_total") == 1) for hub in hubs)
    checks.equal("nothing goes round", own, True)
    checks.equal("the broker saw two", broker.metric("tidings_zeromq_received_total"), 2)
    for hub in hubs:
        hub.stop()
    broker.stop()


def check_guide(checks):
    """Every example of docs/guide/zeromq.md does what the guide says, on free ports."""
    guide = (pathlib.Path(__file__).resolve().parents[1] / "docs/guide/zeromq.md").read_text()
    blocks = {kind: [] for kind in ("php", "python", "console", "toml")}
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", guide, re.MULTILINE | re.DOTALL):
        blocks[kind].append(text)
    checks.equal("examples of the guide", [len(texts) for texts in blocks.values()], [2, 1, 1, 3])
    sources = subprocess.run(
        ["php", "-r", "echo json_encode(eval(substr(stream_get_contents(STDIN), 5)));"],
        input=blocks["php"][0], capture_output=True, text=True, timeout=DEADLINE_SECS,
    )
    names = json.loads(sources.stdout)
    ports = {"5000": str(free_port()), "5555": str(free_port()), "6000": str(free_port())}

    def ported(text):
        return re.sub("5000|5555|6000", lambda found: ports[found[0]], text)

    def say_and_hear(name):
        """Runs the PHP and the Python example until one has heard the other."""
        hearing = subprocess.Popen(
            [sys.executable, "-c", ported(blocks["python"][0])], stdout=subprocess.PIPE, text=True
        )
        php_code = ported(blocks["php"][1]).removeprefix("<?php")
        said = lambda: subprocess.run(["php", "-r", php_code], timeout=DEADLINE_SECS, check=True)
        checks.equal(name, next_line_of(hearing, said), "Hello\n")

    command = ported(blocks["console"][0]).split()
    checks.equal("the guide's command", command[:2], ["tidings", "broker"])
    arguments = [ported(names["zmq_broker_pull"]), ported(names["zmq_broker_pub"])]
    checks.equal("the guide's data sources", command[3::2], arguments)
    broker = Broker(*command[2:])
    say_and_hear("the guide's broker")
    broker.stop()
    hub = start(ported(blocks["toml"][0] + blocks["toml"][1]))
    page = Stream(hub, urllib.parse.urlencode({"match": CHAT}))
    say_and_hear("the guide's hub")
    event = page.next()
    told = (event["event"], json.loads(event["data"]))
    checks.equal("the guide's page", told, ("msg", {"from": "Alice", "text": "Hello"}))
    hub.stop()
    # The addresses of the last example are nobody's; the hub starts, and goes on trying.
    hub = start(blocks["toml"][2])
    checks.equal("the guide's hub among several", hub.metric("tidings_zeromq_peers"), 0)
    hub.stop()


def check_configuration(checks):
    """What is wrong is said with the key and the right form."""
    for zeromq, words in (
        ('[[zeromq.inputs]]\nsocket = "zmq-bind://PULL@*:5000"\ntopic = "x"', "allow_plaintext"),
        ('[[zeromq.inputs]]\nsocket = "zmq://PULL@h:5000"', "zeromq.inputs.0.topic is missing"),
        ('[[zeromq.inputs]]\nsocket = "zmq://PUB@h:1"\ntopic = "x"', "only PULL, SUB, XSUB, REP"),
        ('[[zeromq.outputs]]\nsocket = "pull"', "write it like zmq-bind://PULL@127.0.0.1:5000"),
        ('[[zeromq.brokers]]\ninputs = []\noutputs = []', "zeromq.brokers.0.inputs is missing"),
    ):
        toml = f'[hub]\npublic_url = "{PUBLIC_URL}"\n[[listen]]\naddress = "127.0.0.1:0"\n'
        toml += f'[[auth.issuers]]\nissuer = "{ISSUER}"\nkey = "{SECRET}"\n{zeromq}\n'
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(toml)
            file.flush()
            done = subprocess.run(
                [BINARY, "config", "check", "--config", file.name],
                capture_output=True, text=True, timeout=DEADLINE_SECS, env={},
            )
        text = done.stdout + done.stderr
        checks.equal(f"configuration: {words}", words in text or text, True)


def main():
    # Whatever hangs is shown instead of holding up everything else.
    faulthandler.dump_traceback_later(WHOLE_SECS_MAX, exit=True)
    checks = Checks()
    for check in (check_configuration, check_chat, check_mappings, check_flood, check_sharing, check_guide):
        started = time.monotonic()
        check(checks)
        while SOCKETS:
            SOCKETS.pop().close(0)
        print(f"{check.__name__}: {time.monotonic() - started:.1f} s", flush=True)
    checks.finish()


if __name__ == "__main__":
    main()
