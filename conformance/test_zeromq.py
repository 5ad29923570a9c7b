"""ZeroMQ with independent peers: pyzmq, php-zmq and the npm package zeromq; and raw ZMTP 3.0.

A plain broker (`tidings broker`) is between them.
"""

import json
import pathlib
import socket
import subprocess
import urllib.request

import pytest
import zmq

from support.hub import free_port, tidings
from support.waiting import DEADLINE_SECS, until
from support.zeromq import LOOK_MS, SCRIPTS, joined, next_line_of, nudged, php
from support.zmtp import RawPeer

HERE = pathlib.Path(__file__).resolve().parent
BURST = 5000


@pytest.fixture
def plain_broker(start_broker):
    """Starts the article's broker, on free ports."""

    def start(*more):
        return start_broker(
            "--pull", "zmq-bind://PULL@127.0.0.1:0", "--pub", "zmq-bind://PUB@127.0.0.1:0",
            "--metrics", "127.0.0.1:0", *more,
        )

    return start


def test_frames_pass_unchanged(plain_broker, pyzmq, check):
    """One frame in, the same frame out; several parts stay together; order is kept."""
    broker = plain_broker()
    sub, other = (pyzmq(zmq.SUB, broker.port("out")) for _ in range(2))
    push = pyzmq(zmq.PUSH, broker.port("in"))
    joined(push, [sub, other])
    texts = [b"", b"x", b'{"from":"a","text":"b"}', bytes(range(256)), b"z" * 100_000]
    for text in texts:
        push.send(text)
    push.send_multipart([b"topic", b"", b"y" * 300])
    for receiver, name in ((sub, "first"), (other, "second")):
        found = [receiver.recv_multipart() for _ in range(len(texts) + 1)]
        expected = [[text] for text in texts] + [[b"topic", b"", b"y" * 300]]
        check(f"frames to the {name}", found, expected)
    # PHP pushes, php-zmq and pyzmq receive what it pushed.
    done = php("push.php", broker.port("in"), '{"from":"a"}')
    check("php push", done.returncode, 0)
    check("from PHP", sub.recv_multipart(), [b'{"from":"a"}'])
    receiver = subprocess.Popen(
        ["php", str(SCRIPTS / "subscribe.php"), str(broker.port("out")), "1"],
        stdout=subprocess.PIPE, text=True,
    )
    line = next_line_of(receiver, lambda: push.send(b'{"from":"p","text":"q"}'))
    check("to PHP", json.loads(line), {"parts": ['{"from":"p","text":"q"}']})
    check("stops", broker.stop(), 0)


def test_a_burst_arrives_whole_and_in_order(plain_broker, pyzmq, check):
    """T6: a burst of 5,000 by php-zmq arrives whole and in order (the PHP broker let 17 through)."""
    broker = plain_broker()
    sub = pyzmq(zmq.SUB, broker.port("out"), rcvhwm=2 * BURST)
    push = pyzmq(zmq.PUSH, broker.port("in"))
    joined(push, [sub])
    done = php("push.php", broker.port("in"), json.dumps({"text": "x" * 180}), BURST)
    check("burst sent", done.returncode, 0)
    numbers = [json.loads(sub.recv())["number"] for _ in range(BURST)]
    check("burst", numbers, list(range(BURST)))
    check("nothing dropped", broker.metric("tidings_zeromq_dropped_total"), 0)


@pytest.mark.parametrize("output", ["PUB", "XPUB"])
def test_subscriptions_have_prefixes(start_broker, pyzmq, check, output):
    """Subscriptions by prefix and their cancellation, also with XPUB and XSUB."""
    broker = start_broker(
        "--pull", "zmq-bind://PULL@127.0.0.1:0", "--pub", f"zmq-bind://{output}@127.0.0.1:0"
    )
    sub = pyzmq(zmq.SUB, broker.port("out"))
    xsub = pyzmq(zmq.XSUB, broker.port("out"))
    xsub.send(b"\x01scores.")
    push = pyzmq(zmq.PUSH, broker.port("in"))
    joined(push, [sub])
    nudged(lambda: push.send(b"scores.probe"), lambda: xsub.poll(LOOK_MS))
    push.send_multipart([b"scores.1", b"a"])
    push.send_multipart([b"chat.1", b"b"])
    push.send_multipart([b"scores.2", b"c"])
    found = []
    while not found or found[-1] != [b"scores.2", b"c"]:
        found.append(xsub.recv_multipart())
    found = [message for message in found if message != [b"scores.probe"]]
    check("prefix", found, [[b"scores.1", b"a"], [b"scores.2", b"c"]])
    # After a cancellation nothing comes; another subscription shows that time has passed.
    xsub.send(b"\x00scores.")
    xsub.send(b"\x01end")
    nudged(lambda: push.send(b"end"), lambda: xsub.poll(LOOK_MS))
    while (last := xsub.recv_multipart()) != [b"end"]:
        found.append(last)
    push.send(b"scores.3")
    push.send(b"end.2")
    while xsub.recv() != b"end.2":
        pass
    check("cancelled", xsub.poll(0), 0)


@pytest.mark.parametrize("minor", [0, 1], ids=["3.0", "3.1"])
def test_versions_of_zmtp(plain_broker, check, minor):
    """T4: raw peers of ZMTP 3.0 and 3.1, each with its form of subscription."""
    broker = plain_broker()
    sub = RawPeer(broker.port("out"), "SUB", minor)
    sub.subscribe(b"")
    push = RawPeer(broker.port("in"), "PUSH", minor)
    nudged(lambda: push.send([b"probe"]), lambda: sub.readable(LOOK_MS / 1000))
    push.send([b"a", b"b" * 300])
    while (found := sub.receive()) == [b"probe"]:
        pass
    check("parts", found, [b"a", b"b" * 300])
    sub.command(b"PING", b"\x00\x0acontext")
    while (answer := sub.receive()) == [b"probe"]:
        pass
    check("pong", answer, (b"PONG", b"context"))
    push.close()
    # A frame followed at once by the end of the connection is not lost.
    last = RawPeer(broker.port("in"), "PUSH", minor)
    last.send([b"last words"])
    last.close()
    check("last words", sub.receive(), [b"last words"])
    sub.close()


def test_heartbeats_keep_a_connection(plain_broker, pyzmq, check):
    broker = plain_broker()
    # Long enough for a busy machine, and shorter than what follows.
    patience = {"heartbeat_ivl": 100, "heartbeat_timeout": 3000}
    push = pyzmq(zmq.PUSH, broker.port("in"), **patience)
    sub = pyzmq(zmq.SUB, broker.port("out"), **patience)
    joined(push, [sub])
    monitor = push.get_monitor_socket()
    push.send(b"alive")
    check("message", sub.recv(), b"alive")
    check("still connected", monitor.poll(4000), 0)


def test_clients_may_come_first(start_broker, pyzmq, check):
    """T5: clients first, broker later; then the broker goes and comes back."""
    port = free_port()
    push = pyzmq(zmq.PUSH, port)
    push.send(b"early")
    arguments = [
        "--pull", f"zmq-bind://PULL@127.0.0.1:{port}", "--push", "zmq-bind://PUSH@127.0.0.1:0",
    ]
    broker = start_broker(*arguments)
    pull = pyzmq(zmq.PULL, broker.port("out"))
    check("clients first", pull.recv(), b"early")
    broker.stop()
    push.send(b"meanwhile")
    broker = start_broker(*arguments)
    pull = pyzmq(zmq.PULL, broker.port("out"))
    check("broker again", pull.recv(), b"meanwhile")


def test_a_broker_connects_to_peers_that_come_later(start_broker, pyzmq, check):
    first, second = free_port(), free_port()
    broker = start_broker(
        "--sub", f"zmq://SUB@127.0.0.1:{first};localhost:{second}",
        "--push", "zmq-bind://PUSH@127.0.0.1:0",
    )
    pull = pyzmq(zmq.PULL, broker.port("out"))
    publishers = []
    for port in (first, second):
        publisher = pyzmq.open(zmq.XPUB)
        publisher.bind(f"tcp://127.0.0.1:{port}")
        check("the broker subscribes", publisher.recv(), b"\x01")
        publisher.send(b"from %d" % port)
        publishers.append(publisher)
    expected = sorted(b"from %d" % port for port in (first, second))
    check("several addresses", sorted(pull.recv() for _ in range(2)), expected)


def test_a_stalled_subscriber_delays_nobody(plain_broker, pyzmq, check):
    """T7: a subscriber that does not read delays nobody, and memory stays bounded."""
    broker = plain_broker("--high-water-mark", "10000")
    stalled = [RawPeer(broker.port("out"), "SUB", 1, receive_bytes=4096) for _ in range(10)]
    for peer in stalled:
        peer.subscribe(b"")
    lazy = pyzmq(zmq.SUB, broker.port("out"), rcvhwm=1)
    sub = pyzmq(zmq.SUB, broker.port("out"), rcvhwm=0)
    push = pyzmq(zmq.PUSH, broker.port("in"))
    joined(push, [sub])
    text, total, window = b"s" * 1000, 60_000, 2000
    received = 0
    for sent in range(total):
        push.send(text)
        # The reader keeps up: what it has not received never reaches its own mark.
        while sent - received > window:
            sub.recv()
            received += 1
    while received < total:
        sub.recv()
        received += 1
    check("the reader got everything", received, total)
    lost = broker.metric("tidings_zeromq_dropped_total") > 0
    check("losses are counted", lost, True)
    status = pathlib.Path(f"/proc/{broker.process.pid}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    check("memory is bounded", resident < 300_000, True)
    lazy.close(0)
    for peer in stalled:
        peer.close()
    # libzmq may keep the connection of a closed socket whose reader was stopped: that is one more.
    gone = broker.wait_for_metric("tidings_zeromq_peers", lambda value: value <= 3)
    check("peers are forgotten", gone, True)


def test_who_asks_learns_that_the_message_was_taken(start_broker, pyzmq, check):
    """REQ to REP."""
    broker = start_broker(
        "--rep", "zmq-bind://REP@127.0.0.1:0", "--pub", "zmq-bind://PUB@127.0.0.1:0",
    )
    request = pyzmq(zmq.REQ, broker.port("in"))
    sub = pyzmq(zmq.SUB, broker.port("out"))
    answers = []

    def ask():
        request.send_multipart([b"a", b"b"])
        answers.append(request.recv())

    nudged(ask, lambda: sub.poll(LOOK_MS))
    check("REP answers", set(answers), {b"ok"})
    check("REP passes on", sub.recv_multipart(), [b"a", b"b"])


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(48)
READY = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04"
SUB_READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
LONG_SUBSCRIPTION = b"\x06" + (1512).to_bytes(8, "big") + b"\x09SUBSCRIBE" + b"a" * 1502
# By the limit's name: what a peer sends, and to which socket.
HOSTILE = {
    "greeting": (b"GET / HTTP/1.1\r\n\r\n", "in"),
    "version": (b"\xff" + bytes(8) + b"\x7f\x01", "in"),
    "mechanism": (GREETING.replace(b"NULL\0", b"CURVE"), "in"),
    "socket_type": (GREETING + READY + b"PULL", "in"),
    "handshake_timeout": (GREETING[:20], "in"),
    "handshake_bytes": (GREETING + b"\x06" + (1 << 40).to_bytes(8, "big"), "in"),
    "message_bytes": (GREETING + READY + b"PUSH" + b"\x02" + (1 << 62).to_bytes(8, "big"), "in"),
    "message_parts": (GREETING + READY + b"PUSH" + b"\x01\x00" * 2000, "in"),
    "flags": (GREETING + READY + b"PUSH" + b"\xf0\x00", "in"),
    "subscription_bytes": (GREETING + SUB_READY + LONG_SUBSCRIPTION, "out"),
    "unexpected_message": (GREETING + SUB_READY + b"\x00\x05hello", "out"),
}


@pytest.mark.parametrize("limit", HOSTILE)
def test_a_peer_that_breaks_the_rules_is_dropped(plain_broker, pyzmq, check, limit):
    """The hub drops it and counts it by the limit's name; others continue."""
    broker = plain_broker("--handshake-timeout-secs", "1", "--message-bytes-max", "10000")
    push, sub = pyzmq(zmq.PUSH, broker.port("in")), pyzmq(zmq.SUB, broker.port("out"))
    joined(push, [sub])
    sent, direction = HOSTILE[limit]
    with socket.create_connection(("127.0.0.1", broker.port(direction)), DEADLINE_SECS) as peer:
        try:
            peer.sendall(sent)
            while peer.recv(65536):
                pass
        except ConnectionError:
            pass
    check("counted", until(lambda: is_counted(broker, limit)))
    push.send(b"still here")
    check("others go on", sub.recv(), b"still here")


def is_counted(broker, limit):
    with urllib.request.urlopen(broker.sources["metrics"][0], timeout=DEADLINE_SECS) as answer:
        lines = answer.read().decode().splitlines()
    return any("peers_closed" in line and f'reason="{limit}"' in line for line in lines)


@pytest.mark.parametrize(
    "source, words",
    [
        ("tcp://127.0.0.1:5000", "begins with neither zmq:// nor zmq-bind://"),
        ("zmq-bind://pull@127.0.0.1:5000", "write one of PUSH, PULL"),
        ("zmq-bind://PUSH@127.0.0.1:5000", "is not allowed here, only PULL"),
        ("zmq-bind://PULL@127.0.0.1", "not a host with a port"),
        ("zmq-bind://PULL@*:5000", "--allow-plaintext"),
    ],
    ids=["scheme", "lower case", "wrong kind", "no port", "plaintext"],
)
def test_a_wrong_data_source_is_refused_with_the_right_form(source, words, check):
    """T9."""
    done = tidings("broker", "--pull", source, "--pub", "zmq-bind://PUB@127.0.0.1:0")
    check("code", done.returncode, 2)
    check(f"the right form in {done.stderr!r}", words in done.stderr)


def test_who_knows_the_password_talks(plain_broker, pyzmq, check):
    """PLAIN: a peer without the password is disconnected."""
    broker = plain_broker("--username", "ann", "--password", "secret")
    secret = {"plain_username": b"ann", "plain_password": b"secret"}
    push = pyzmq(zmq.PUSH, broker.port("in"), **secret)
    sub = pyzmq(zmq.SUB, broker.port("out"), **secret)
    joined(push, [sub])
    pyzmq(zmq.PUSH, broker.port("in"), plain_username=b"ann", plain_password=b"guess", linger=0)
    pyzmq(zmq.PUSH, broker.port("in"), linger=0)
    refused = broker.wait_for_metric("tidings_zeromq_peers_closed_total", lambda value: value >= 2)
    check("others are refused", refused, True)
    push.send(b"secret words")
    check("friends talk", sub.recv(), b"secret words")


def test_the_npm_package_talks(plain_broker):
    """The npm package zeromq on both sides."""
    broker = plain_broker()
    script = HERE / "browser/support/zeromq_peer.mjs"
    command = ["node", str(script), str(broker.port("in")), str(broker.port("out"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECS)
    assert done.stdout == 'topic|{"from":"n","text":"é"}\n', done.stderr
