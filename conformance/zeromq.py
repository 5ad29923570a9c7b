"""ZeroMQ by peers that nobody here wrote: pyzmq, php-zmq, and the npm package zeromq; and raw ZMTP 3.0.

A plain broker (`tidings broker`) between them, then a hub as a bridge. Prints `N passed, N failed`.
"""

import faulthandler
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import zmq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support.hub import BINARY, DEADLINE_SECS, Checks  # noqa: E402
from support.zmtp import RawPeer  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
WHOLE_SECS_MAX = 240
BURST = 5000
CONTEXT = zmq.Context()
SOCKETS = []


class Broker:
    """`tidings broker` with these arguments; addresses are read from what it prints."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [BINARY, "broker", "--log", "warn", *arguments], stdout=subprocess.PIPE, text=True
        )
        self.sources = {"in": [], "out": [], "metrics": []}
        for line in self.process.stdout:
            words = line.split()
            if words and words[0] in self.sources:
                self.sources[words[0]].append(words[1])
            if line.startswith("Stop it"):
                break

    def port(self, direction, index=0):
        return int(self.sources[direction][index].rsplit(":", 1)[1])

    def metric(self, name):
        with urllib.request.urlopen(self.sources["metrics"][0], timeout=DEADLINE_SECS) as answer:
            lines = answer.read().decode().splitlines()
        lines = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return sum(float(value) for key, value in lines if key.split("{")[0] == name)

    def wait_for_metric(self, name, wanted):
        return until(lambda: wanted(self.metric(name)))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECS)


def plain(*more):
    """A broker on free ports, as in the article otherwise."""
    return Broker(
        "--pull", "zmq-bind://PULL@127.0.0.1:0", "--pub", "zmq-bind://PUB@127.0.0.1:0",
        "--metrics", "127.0.0.1:0", *more,
    )


def until(ask):
    """Asks until the answer is yes; returns whether it came in time."""
    end = time.monotonic() + DEADLINE_SECS
    while not ask():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def pyzmq(kind, port, **options):
    """A socket of pyzmq that connects."""
    peer = CONTEXT.socket(kind)
    SOCKETS.append(peer)
    peer.rcvtimeo = peer.sndtimeo = DEADLINE_SECS * 1000
    peer.linger = DEADLINE_SECS * 1000
    for name, value in options.items():
        setattr(peer, name, value)
    if kind == zmq.SUB:
        peer.subscribe(b"")
    peer.connect(f"tcp://127.0.0.1:{port}")
    return peer


def joined(push, subs, probe=b"probe"):
    """Sends until every subscriber has received something, then takes what is left of it."""
    for sub in subs:
        while True:
            push.send(probe)
            if sub.poll(50):
                break
    push.send(b"joined")
    for sub in subs:
        while sub.recv() != b"joined":
            pass


def php(script, *arguments, **options):
    return subprocess.run(
        ["php", str(HERE / "zeromq" / script), *map(str, arguments)],
        capture_output=True, text=True, timeout=DEADLINE_SECS, **options,
    )


def check_frames(checks):
    """One frame in, the same frame out; several parts stay together; order is kept."""
    broker = plain()
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
        checks.equal(f"frames to the {name}", found, expected)
    # PHP pushes, php-zmq and pyzmq receive what it pushed.
    done = php("push.php", broker.port("in"), '{"from":"a"}')
    checks.equal("php push", done.returncode, 0)
    checks.equal("from PHP", sub.recv_multipart(), [b'{"from":"a"}'])
    receiver = subprocess.Popen(
        ["php", str(HERE / "zeromq/subscribe.php"), str(broker.port("out")), "1"],
        stdout=subprocess.PIPE, text=True,
    )
    line = next_line_of(receiver, lambda: push.send(b'{"from":"p","text":"q"}'))
    checks.equal("to PHP", json.loads(line), {"parts": ['{"from":"p","text":"q"}']})
    checks.equal("stops", broker.stop(), 0)


def next_line_of(process, nudge):
    """Returns the next line of a process, nudging it until there is one."""
    lines = []
    reader = threading.Thread(target=lambda: lines.append(process.stdout.readline()), daemon=True)
    reader.start()
    while reader.is_alive():
        nudge()
        reader.join(0.05)
    process.kill()
    process.wait()
    return lines[0]


def check_burst(checks):
    """T6: a burst of 5,000 by php-zmq arrives whole and in order (the PHP broker let 17 through)."""
    broker = plain()
    sub = pyzmq(zmq.SUB, broker.port("out"), rcvhwm=2 * BURST)
    push = pyzmq(zmq.PUSH, broker.port("in"))
    joined(push, [sub])
    done = php("push.php", broker.port("in"), json.dumps({"text": "x" * 180}), BURST)
    checks.equal("burst sent", done.returncode, 0)
    numbers = [json.loads(sub.recv())["number"] for _ in range(BURST)]
    checks.equal("burst", numbers, list(range(BURST)))
    checks.equal("burst: nothing dropped", broker.metric("tidings_zeromq_dropped_total"), 0)
    broker.stop()


def check_prefixes(checks):
    """Subscriptions by prefix, taken back, by XPUB and XSUB too."""
    for output in ("PUB", "XPUB"):
        broker = Broker(
            "--pull", "zmq-bind://PULL@127.0.0.1:0", "--pub", f"zmq-bind://{output}@127.0.0.1:0"
        )
        sub = pyzmq(zmq.SUB, broker.port("out"))
        xsub = pyzmq(zmq.XSUB, broker.port("out"))
        xsub.send(b"\x01scores.")
        push = pyzmq(zmq.PUSH, broker.port("in"))
        joined(push, [sub])
        while not xsub.poll(50):
            push.send(b"scores.probe")
        push.send_multipart([b"scores.1", b"a"])
        push.send_multipart([b"chat.1", b"b"])
        push.send_multipart([b"scores.2", b"c"])
        found = []
        while not found or found[-1] != [b"scores.2", b"c"]:
            found.append(xsub.recv_multipart())
        found = [message for message in found if message != [b"scores.probe"]]
        checks.equal(f"{output}: prefix", found, [[b"scores.1", b"a"], [b"scores.2", b"c"]])
        # After a cancellation nothing comes; another subscription shows that time has passed.
        xsub.send(b"\x00scores.")
        xsub.send(b"\x01end")
        while not xsub.poll(50):
            push.send(b"end")
        while (last := xsub.recv_multipart()) != [b"end"]:
            found.append(last)
        push.send(b"scores.3")
        push.send(b"end.2")
        while xsub.recv() != b"end.2":
            pass
        checks.equal(f"{output}: cancelled", xsub.poll(0), 0)
        broker.stop()


def check_versions(checks):
    """T4: raw peers of ZMTP 3.0 and 3.1, each with its form of subscription; heartbeats."""
    broker = plain()
    for minor in (0, 1):
        sub = RawPeer(broker.port("out"), "SUB", minor)
        sub.subscribe(b"")
        push = RawPeer(broker.port("in"), "PUSH", minor)
        while not sub.readable(0.05):
            push.send([b"probe"])
        push.send([b"a", b"b" * 300])
        while (found := sub.receive()) == [b"probe"]:
            pass
        checks.equal(f"3.{minor}: parts", found, [b"a", b"b" * 300])
        sub.command(b"PING", b"\x00\x0acontext")
        while (answer := sub.receive()) == [b"probe"]:
            pass
        checks.equal(f"3.{minor}: pong", answer, (b"PONG", b"context"))
        push.close()
        # A frame followed at once by the end of the connection is not lost.
        last = RawPeer(broker.port("in"), "PUSH", minor)
        last.send([b"last words"])
        last.close()
        checks.equal(f"3.{minor}: last words", sub.receive(), [b"last words"])
        sub.close()
    push = pyzmq(zmq.PUSH, broker.port("in"), heartbeat_ivl=100, heartbeat_timeout=300)
    sub = pyzmq(zmq.SUB, broker.port("out"), heartbeat_ivl=100, heartbeat_timeout=300)
    joined(push, [sub])
    monitor = push.get_monitor_socket()
    push.send(b"alive")
    checks.equal("heartbeats: message", sub.recv(), b"alive")
    checks.equal("heartbeats: still connected", monitor.poll(1000), 0)
    broker.stop()


def check_order_of_start(checks):
    """T5: clients first, broker later; then the broker goes and comes back."""
    port = free_port()
    push = pyzmq(zmq.PUSH, port)
    push.send(b"early")
    arguments = [
        "--pull", f"zmq-bind://PULL@127.0.0.1:{port}", "--push", "zmq-bind://PUSH@127.0.0.1:0",
    ]
    broker = Broker(*arguments)
    pull = pyzmq(zmq.PULL, broker.port("out"))
    checks.equal("clients first", pull.recv(), b"early")
    broker.stop()
    push.send(b"meanwhile")
    broker = Broker(*arguments)
    pull = pyzmq(zmq.PULL, broker.port("out"))
    checks.equal("broker again", pull.recv(), b"meanwhile")
    broker.stop()
    # Here the broker connects, to peers that come later.
    first, second = free_port(), free_port()
    broker = Broker(
        "--sub", f"zmq://SUB@127.0.0.1:{first};localhost:{second}",
        "--push", "zmq-bind://PUSH@127.0.0.1:0",
    )
    pull = pyzmq(zmq.PULL, broker.port("out"))
    publishers = []
    for port in (first, second):
        publisher = CONTEXT.socket(zmq.XPUB)
        SOCKETS.append(publisher)
        publisher.bind(f"tcp://127.0.0.1:{port}")
        publisher.rcvtimeo = DEADLINE_SECS * 1000
        checks.equal("the broker subscribes", publisher.recv(), b"\x01")
        publisher.send(b"from %d" % port)
        publishers.append(publisher)
    expected = sorted(b"from %d" % port for port in (first, second))
    checks.equal("several addresses", sorted(pull.recv() for _ in range(2)), expected)
    broker.stop()


def check_stalled(checks):
    """T7: a subscriber that does not read delays nobody, and memory stays bounded."""
    broker = plain("--high-water-mark", "10000")
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
    checks.equal("stalled: the reader got everything", received, total)
    lost = broker.metric("tidings_zeromq_dropped_total") > 0
    checks.equal("stalled: losses are counted", lost, True)
    status = pathlib.Path(f"/proc/{broker.process.pid}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    checks.equal("stalled: memory is bounded", resident < 300_000, True)
    lazy.close(0)
    for peer in stalled:
        peer.close()
    # libzmq may keep the connection of a closed socket whose reader was stopped: that is one more.
    gone = broker.wait_for_metric("tidings_zeromq_peers", lambda value: value <= 3)
    checks.equal("stalled: peers are forgotten", gone, True)
    broker.stop()


def check_request(checks):
    """REQ to REP: who asks learns that the message was taken."""
    broker = Broker(
        "--rep", "zmq-bind://REP@127.0.0.1:0", "--pub", "zmq-bind://PUB@127.0.0.1:0",
    )
    request = pyzmq(zmq.REQ, broker.port("in"))
    sub = pyzmq(zmq.SUB, broker.port("out"))
    while True:
        request.send_multipart([b"a", b"b"])
        checks_answer = request.recv()
        if sub.poll(50):
            break
    checks.equal("REP answers", checks_answer, b"ok")
    checks.equal("REP passes on", sub.recv_multipart(), [b"a", b"b"])
    broker.stop()


def check_hostile(checks):
    """Peers that break the rules are dropped, by the limit's name; others go on."""
    broker = plain("--handshake-secs", "1", "--message-bytes-max", "10000")
    push, sub = pyzmq(zmq.PUSH, broker.port("in")), pyzmq(zmq.SUB, broker.port("out"))
    joined(push, [sub])
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(48)

    def dropped(name, bytes_sent, direction="in"):
        peer = socket.create_connection(("127.0.0.1", broker.port(direction)), DEADLINE_SECS)
        try:
            peer.sendall(bytes_sent)
            while peer.recv(65536):
                pass
        except ConnectionError:
            pass
        counted = f'reason="{name}"'

        def is_counted():
            with urllib.request.urlopen(broker.sources["metrics"][0], timeout=DEADLINE_SECS) as answer:
                lines = answer.read().decode().splitlines()
            return any("peers_closed" in line and counted in line for line in lines)

        checks.equal(f"hostile: {name}", until(is_counted), True)
        peer.close()

    ready = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04"
    dropped("greeting", b"GET / HTTP/1.1\r\n\r\n")
    dropped("version", b"\xff" + bytes(8) + b"\x7f\x01")
    dropped("mechanism", greeting.replace(b"NULL\0", b"CURVE"))
    dropped("socket_type", greeting + ready + b"PULL")
    dropped("handshake_time", greeting[:20])
    dropped("handshake_bytes", greeting + b"\x06" + (1 << 40).to_bytes(8, "big"))
    dropped("message_bytes", greeting + ready + b"PUSH" + b"\x02" + (1 << 62).to_bytes(8, "big"))
    dropped("message_parts", greeting + ready + b"PUSH" + b"\x01\x00" * 2000)
    dropped("flags", greeting + ready + b"PUSH" + b"\xf0\x00")
    sub_ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
    dropped("subscription_bytes", greeting + sub_ready + b"\x06" + (1512).to_bytes(8, "big")
            + b"\x09SUBSCRIBE" + b"a" * 1502, "out")
    dropped("unexpected_message", greeting + sub_ready + b"\x00\x05hello", "out")
    push.send(b"still here")
    checks.equal("hostile: others go on", sub.recv(), b"still here")
    broker.stop()


def check_names(checks):
    """T9: wrong data sources are refused with the right form."""
    for source, words in (
        ("tcp://127.0.0.1:5000", "begins with neither zmq:// nor zmq-bind://"),
        ("zmq-bind://pull@127.0.0.1:5000", "write one of PUSH, PULL"),
        ("zmq-bind://PUSH@127.0.0.1:5000", "only PULL can"),
        ("zmq-bind://PULL@127.0.0.1", "no host with a port"),
        ("zmq-bind://PULL@*:5000", "--allow-plaintext"),
    ):
        command = [BINARY, "broker", "--pull", source, "--pub", "zmq-bind://PUB@127.0.0.1:0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECS)
        checks.equal(f"name {source}: code", done.returncode, 2)
        checks.equal(f"name {source}: text", words in done.stderr, True)


def check_plain_security(checks):
    """PLAIN: who knows the password talks, who does not is dropped."""
    broker = plain("--username", "ann", "--password", "secret")
    secret = {"plain_username": b"ann", "plain_password": b"secret"}
    push = pyzmq(zmq.PUSH, broker.port("in"), **secret)
    sub = pyzmq(zmq.SUB, broker.port("out"), **secret)
    joined(push, [sub])
    pyzmq(zmq.PUSH, broker.port("in"), plain_username=b"ann", plain_password=b"guess", linger=0)
    pyzmq(zmq.PUSH, broker.port("in"), linger=0)
    refused = broker.wait_for_metric("tidings_zeromq_peers_closed_total", lambda value: value >= 2)
    checks.equal("PLAIN: others are refused", refused, True)
    push.send(b"secret words")
    checks.equal("PLAIN: friends talk", sub.recv(), b"secret words")
    broker.stop()


def check_node(checks):
    """The npm package zeromq on both sides."""
    broker = plain()
    script = HERE / "browser/support/zeromq_peer.mjs"
    command = ["node", str(script), str(broker.port("in")), str(broker.port("out"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECS)
    checks.equal("node", done.stdout, 'topic|{"from":"n","text":"é"}\n')
    if done.stderr:
        print(done.stderr)
    broker.stop()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    # Whatever hangs is shown instead of holding up everything else.
    faulthandler.dump_traceback_later(WHOLE_SECS_MAX, exit=True)
    checks = Checks()
    for check in (
        check_names, check_frames, check_burst, check_prefixes, check_versions,
        check_order_of_start, check_stalled, check_request, check_hostile, check_plain_security,
        check_node,
    ):
        started = time.monotonic()
        check(checks)
        # A socket left open would go on connecting, perhaps to the port of a later broker.
        while SOCKETS:
            SOCKETS.pop().close(0)
        print(f"{check.__name__}: {time.monotonic() - started:.1f} s", flush=True)
    CONTEXT.destroy(0)
    checks.finish()


if __name__ == "__main__":
    main()
