"""The hub as a bridge to ZeroMQ: messages become updates, updates become messages, hubs share updates.

The other ends are pyzmq, php-zmq, and event streams read by http.client.
"""

import json
import re
import subprocess
import sys
import threading
import urllib.parse

import pytest
import zmq

from support.hub import ROOT, config_check, free_port
from support.mercure import ISSUER, PUBLIC_URL, SECRET, Stream, publish
from support.waiting import DEADLINE_SECS, until
from support.zeromq import next_line_of, php

CHAT = "https://example.com/chat"
FLOOD = 30_000


@pytest.fixture
def start_zeromq(start):
    """Starts a hub with sockets of ZeroMQ; their ports are in `sockets`."""

    def start_with_sockets(settings):
        hub = start(settings)
        hub.sockets = {"in": [], "out": []}
        for line in hub.log:
            entry = json.loads(line)
            if entry.get("message") == "ZeroMQ socket":
                port = int(entry["socket"].rsplit(":", 1)[1])
                hub.sockets[entry["direction"]].append(port)
        return hub

    return start_with_sockets


def test_the_chat_of_all_worlds(start_zeromq, pyzmq, check):
    """PHP over PUSH, a page over SSE and POST, Python over SUB."""
    hub = start_zeromq(f"""
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
topic = "{CHAT}"
event_type = "msg"
[[zeromq.outputs]]
socket = "zmq-bind://PUB@127.0.0.1:0"
format = "data"
match_exact = ["{CHAT}"]
""")
    page = Stream(hub, urllib.parse.urlencode({"match": CHAT}))
    sub = pyzmq(zmq.SUB, hub.sockets["out"][0])
    assert hub.wait_for_metric("tidings_zeromq_subscriptions", 1)
    lines = [{"from": "php", "text": "é"}, {"from": "page", "text": "2"}, {"from": "py", "text": "3"}]
    texts = [json.dumps(line, separators=(",", ":")) for line in lines]
    check("PHP speaks", php("push.php", hub.sockets["in"][0], texts[0]).returncode, 0)
    event = page.next()
    check("the page hears PHP", (event["event"], event["data"]), ("msg", texts[0]))
    check("Python hears PHP", sub.recv_multipart(), [texts[0].encode()])
    publish(hub, topic=CHAT, data=texts[1], type="msg")
    check("the page hears itself", page.next()["data"], texts[1])
    check("Python hears the page", sub.recv_multipart(), [texts[1].encode()])
    push = pyzmq(zmq.PUSH, hub.sockets["in"][0])
    push.send(texts[2].encode())
    check("the page hears Python", page.next()["data"], texts[2])
    check("Python hears itself", sub.recv_multipart(), [texts[2].encode()])
    # Private updates and other topics are not sent; later updates are.
    publish(hub, topic=CHAT, data="secret", private="on")
    publish(hub, topic="https://example.com/other", data="other")
    publish(hub, topic=CHAT, data="last")
    check("only public updates", sub.recv_multipart(), [b"last"])
    # A page that resumes gets the messages from ZeroMQ.
    cursor = {"Last-Event-ID": event["id"]}
    again = Stream(hub, urllib.parse.urlencode({"match": CHAT}), cursor)
    check("replay", again.next()["data"], texts[1])
    check("stops", hub.stop(), 0)


def test_mappings(start_zeromq, pyzmq, check):
    """JSON and parts in, unreadable and forbidden messages; JSON and parts out."""
    hub = start_zeromq("""
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
format = "json"
match_urlpattern = ["https://example.com/:rest*"]
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
format = "parts"
topic_prefix = "https://example.com/"
unparsable = "text"
topic = "https://example.com/odd"
[[zeromq.inputs]]
socket = "zmq-bind://REP@127.0.0.1:0"
format = "json"
match_urlpattern = ["https://example.com/:rest*"]
[[zeromq.outputs]]
socket = "zmq-bind://XPUB@127.0.0.1:0"
private = true
[[zeromq.outputs]]
socket = "zmq-bind://PUB@127.0.0.1:0"
format = "parts"
match_urlpattern = ["https://example.com/books/:id"]
""")
    page = Stream(hub, "match=*")
    objects = pyzmq(zmq.SUB, hub.sockets["out"][0])
    parts = pyzmq(zmq.SUB, hub.sockets["out"][1])
    assert hub.wait_for_metric("tidings_zeromq_subscriptions", 2)
    by_json = pyzmq(zmq.PUSH, hub.sockets["in"][0])
    book = "https://example.com/books/1"
    by_json.send_json({"topic": book, "data": {"b": 1, "a": 2}, "id": "urn:1", "type": "news"})
    event = page.next()
    expected = {"event": "news", "id": "urn:1", "data": '{"b": 1, "a": 2}'}
    check("JSON in", event, expected)
    found = json.loads(objects.recv())
    check("JSON out: hub", len(found.pop("hub")), 24)
    expected = {"topic": book, "data": '{"b": 1, "a": 2}', "id": "urn:1", "type": "news"}
    check("JSON out", found, expected)
    check("parts out", parts.recv_multipart(), [book.encode(), b'{"b": 1, "a": 2}'])
    by_json.send(b"no JSON")
    by_json.send_json({"data": "no topic"})
    by_json.send_json({"topic": "https://elsewhere.example.com/", "data": "not granted"})
    by_json.send_json({"topic": PUBLIC_URL + "/subscriptions/x", "data": "reserved"})
    by_json.send_json({"topic": [book, "https://example.com/b"], "data": "hidden", "private": True})
    found = json.loads(objects.recv())
    check("private goes out where allowed", (found["data"], found["private"]), ("hidden", True))
    check("several topics", found["topic"], [book, "https://example.com/b"])
    check("unparsable are dropped", hub.metric("tidings_zeromq_dropped_total"), 2)
    check("not granted are refused", hub.metric("tidings_zeromq_refused_total"), 2)
    warned = lambda: [line for line in hub.log if "could not be published as configured" in line]
    assert until(warned), hub.log
    check("one line in the log for all", len(warned()), 1)
    by_parts = pyzmq(zmq.PUSH, hub.sockets["in"][1])
    by_parts.send_multipart([b"books/2", b"plain text"])
    check("parts in", page.next()["data"], "plain text")
    check("parts in, out", parts.recv_multipart()[0], b"https://example.com/books/2")
    by_parts.send_multipart([b"alone"])
    check("passed as text", page.next()["data"], "alone")
    request = pyzmq(zmq.REQ, hub.sockets["in"][2])
    request.send_json({"topic": "https://example.com/asked", "data": "?"})
    check("REP answers with the id", request.recv().decode(), page.next()["id"])
    request.send(b"no JSON")
    check("REP says what is wrong", request.recv().startswith(b"error: it is not a JSON"), True)


def test_a_flood_waits_for_the_history(start_zeromq, pyzmq, check):
    """The hub reads as fast as the history accepts updates: peers wait, and nothing is lost."""
    hub = start_zeromq("""
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
    check("all, in order", numbers == list(range(FLOOD)))
    check("nothing dropped", hub.metric("tidings_zeromq_dropped_total"), 0)


def test_hubs_share_updates(start_zeromq, start_broker, pyzmq, check):
    """Two hubs around one broker: each gets the other's updates once, and no update loops."""
    broker = start_broker(
        "--pull", "zmq-bind://PULL@127.0.0.1:0", "--pub", "zmq-bind://PUB@127.0.0.1:0",
        "--metrics", "127.0.0.1:0",
    )
    sharing = f"""
[[zeromq.outputs]]
socket = "zmq://PUSH@127.0.0.1:{broker.port("in")}"
[[zeromq.inputs]]
socket = "zmq://SUB@127.0.0.1:{broker.port("out")}"
format = "json"
"""
    local = """
[[zeromq.outputs]]
socket = "zmq-bind://PUB@127.0.0.1:0"
format = "data"
"""
    hubs = [start_zeromq(sharing), start_zeromq(sharing + local)]
    assert broker.wait_for_metric("tidings_zeromq_subscriptions", lambda value: value == 2)
    sub = pyzmq(zmq.SUB, next(port for port in hubs[1].sockets["out"] if port != broker.port("in")))
    assert hubs[1].wait_for_metric("tidings_zeromq_subscriptions", 1)
    pages = [Stream(hub, "match=*") for hub in hubs]
    topic = "https://example.com/shared"
    first = publish(hubs[0], topic=topic, data="from the first", type="t")
    for number, page in enumerate(pages):
        event = page.next()
        check(f"hub {number}: first", (event["id"], event["event"]), (first, "t"))
    check("what another shares goes out locally", sub.recv(), b"from the first")
    second = publish(hubs[1], topic=topic, data="from the second")
    for number, page in enumerate(pages):
        check(f"hub {number}: second", page.next()["id"], second)
    # Each update went to the broker once, and came back to its own hub once, which dropped it.
    own = all(until(lambda hub=hub: hub.metric("tidings_zeromq_dropped_total") == 1) for hub in hubs)
    check("nothing goes round", own, True)
    check("the broker saw two", broker.metric("tidings_zeromq_received_total"), 2)


def test_the_guide(start_zeromq, start_broker, check):
    """Every example of docs/guide/zeromq.md does what the guide says, on free ports."""
    guide = (ROOT / "docs/guide/zeromq.md").read_text()
    blocks = {kind: [] for kind in ("php", "python", "console", "toml")}
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", guide, re.MULTILINE | re.DOTALL):
        blocks[kind].append(text)
    check("examples of the guide", [len(texts) for texts in blocks.values()], [2, 1, 1, 3])
    sources = subprocess.run(
        ["php", "-r", "echo json_encode(eval(substr(stream_get_contents(STDIN), 5)));"],
        input=blocks["php"][0], capture_output=True, text=True, timeout=DEADLINE_SECS,
    )
    names = json.loads(sources.stdout)
    ports = {"5000": str(free_port()), "5555": str(free_port()), "6000": str(free_port())}

    def ported(text):
        return re.sub("5000|5555|6000", lambda found: ports[found[0]], text)

    def say_and_hear(name):
        """Runs the PHP and the Python example until one has received a message of the other."""
        hearing = subprocess.Popen(
            [sys.executable, "-c", ported(blocks["python"][0])], stdout=subprocess.PIPE, text=True
        )
        php_code = ported(blocks["php"][1]).removeprefix("<?php")
        said = lambda: subprocess.run(["php", "-r", php_code], timeout=DEADLINE_SECS, check=True)
        check(name, next_line_of(hearing, said), "Hello\n")

    command = ported(blocks["console"][0]).split()
    check("the guide's command", command[:2], ["tidings", "broker"])
    arguments = [ported(names["zmq_broker_pull"]), ported(names["zmq_broker_pub"])]
    check("the guide's data sources", command[3::2], arguments)
    broker = start_broker(*command[2:])
    say_and_hear("the guide's broker")
    broker.stop()
    hub = start_zeromq(ported(blocks["toml"][0] + blocks["toml"][1]))
    page = Stream(hub, urllib.parse.urlencode({"match": CHAT}))
    say_and_hear("the guide's hub")
    event = page.next()
    told = (event["event"], json.loads(event["data"]))
    check("the guide's page", told, ("msg", {"from": "Alice", "text": "Hello"}))
    hub.stop()
    # Nobody listens at the addresses of the last example; the hub starts, and keeps trying to connect.
    hub = start_zeromq(blocks["toml"][2])
    check("the guide's hub among several", hub.metric("tidings_zeromq_peers"), 0)


@pytest.mark.parametrize(
    "zeromq, words",
    [
        ('[[zeromq.inputs]]\nsocket = "zmq-bind://PULL@*:5000"\ntopic = "x"', "allow_plaintext"),
        ('[[zeromq.inputs]]\nsocket = "zmq://PULL@h:5000"', "zeromq.inputs.0.topic is missing"),
        ('[[zeromq.inputs]]\nsocket = "zmq://PUB@h:1"\ntopic = "x"', "only PULL, SUB, XSUB, REP"),
        ('[[zeromq.outputs]]\nsocket = "pull"', "write it like zmq-bind://PULL@127.0.0.1:5000"),
        ("[[zeromq.brokers]]\ninputs = []\noutputs = []", "zeromq.brokers.0.inputs is missing"),
    ],
    ids=["plaintext", "no topic", "wrong kind", "no address", "no inputs"],
)
def test_what_is_wrong_is_said_with_the_key_and_the_right_form(zeromq, words):
    toml = f'[hub]\npublic_url = "{PUBLIC_URL}"\n[[listen]]\naddress = "127.0.0.1:0"\n'
    toml += f'[[auth.issuers]]\nissuer = "{ISSUER}"\nkey = "{SECRET}"\n{zeromq}\n'
    done = config_check(toml)
    assert words in done.stdout + done.stderr
