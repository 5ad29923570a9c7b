"""What ZeroMQ costs: Tidings beside libzmq's own proxy, and PULL through the hub to 100 event streams.

    cargo xtask bench-zeromq            # release build, the figures of docs/benchmarks.md
    cargo xtask bench-zeromq --small    # only that everything arrives; part of the tests

The broker runs on core 0, this script on core 1. It is both ends: it sends blocks of ready frames to PULL and reads
what PUB sends, with at most WINDOW bytes on the way, so that nobody reaches a high-water mark. libzmq's marks are off.
CPU is that of the broker's process. Rounds alternate, and the median counts.
"""

import argparse
import json
import os
import pathlib
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAYLOAD = 120
FRAME = bytes([0, PAYLOAD]) + b"x" * PAYLOAD
BLOCK = FRAME * 500
WINDOW = 1 << 20
READ = 1 << 18
DEADLINE_SECS = 100
KEY = "only for benchmarks, only for benchmarks, only for benchmarks"
PROXY = """
import sys, zmq
context = zmq.Context()
pull, pub = context.socket(zmq.PULL), context.socket(zmq.PUB)
pull.rcvhwm = pub.sndhwm = 0
pull.bind("tcp://127.0.0.1:*"), pub.bind("tcp://127.0.0.1:*")
for peer in (pull, pub):
    print(peer.last_endpoint.decode().rsplit(":", 1)[1], flush=True)
zmq.proxy(pull, pub)
"""


class Process:
    """A program on core 0 whose CPU time is known."""

    def __init__(self, command, **options):
        pinned = ["taskset", "-c", "0"] if os.cpu_count() > 1 else []
        self.child = subprocess.Popen(pinned + command, stdout=subprocess.PIPE, text=True, **options)

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.child.kill()
        self.child.wait()


def tidings_broker(binary):
    sources = ["--pull", "zmq-bind://PULL@127.0.0.1:0", "--pub", "zmq-bind://PUB@127.0.0.1:0"]
    process = Process([binary, "broker", "--log", "error", *sources])
    ports = []
    while len(ports) < 2:
        words = process.child.stdout.readline().split()
        if words and words[0] in ("in", "out"):
            ports.append(int(words[1].rsplit(":", 1)[1]))
    return process, *ports


def libzmq_proxy():
    process = Process([sys.executable, "-c", PROXY])
    return process, *(int(process.child.stdout.readline()) for _ in range(2))


def peer(port, kind):
    """Returns a connection after its handshake."""
    connection = socket.create_connection(("127.0.0.1", port), DEADLINE_SECS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))
    body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    connection.sendall(b"\x04" + bytes([len(body)]) + body)
    received = b""
    while len(received) < 66 or len(received) < 66 + received[65]:
        received += connection.recv(1)
    return connection


def pass_on(start, messages):
    """Sends messages through a broker. Returns messages per second and CPU µs per message."""
    process, pull, pub = start()
    try:
        sub = peer(pub, b"SUB")
        sub.sendall(b"\x00\x01\x01")
        push = peer(pull, b"PUSH")
        # A subscription is known when something comes; what comes before counts for nothing.
        sub.settimeout(0.05)
        probes = came = 0
        while not came:
            push.sendall(FRAME)
            probes += 1
            try:
                came = len(sub.recv(READ))
            except TimeoutError:
                pass
        push.sendall(FRAME[:-1] + b"!")
        sub.settimeout(DEADLINE_SECS)
        last = b""
        while not last.endswith(b"!"):
            last = sub.recv(READ)
        return flood(process, push, sub, messages)
    finally:
        process.stop()


def flood(process, push, sub, messages):
    total = messages // 500 * len(BLOCK)
    sent = received = 0
    pending = memoryview(b"")
    push.setblocking(False)
    sub.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(sub, selectors.EVENT_READ)
    selector.register(push, selectors.EVENT_WRITE)
    buffer = bytearray(READ)
    cpu, started = process.cpu(), time.monotonic()
    sending = True
    while received < total:
        want = sent < total and sent - received < WINDOW
        if want != sending:
            selector.register(push, selectors.EVENT_WRITE) if want else selector.unregister(push)
            sending = want
        events = selector.select(DEADLINE_SECS)
        if not events:
            raise TimeoutError(f"{total - received} bytes did not arrive")
        for key, _ in events:
            if key.fileobj is push:
                pending = pending or memoryview(BLOCK)
                count = push.send(pending)
                pending = pending[count:]
                sent += count
            else:
                received += sub.recv_into(buffer)
    seconds, used = time.monotonic() - started, process.cpu() - cpu
    return total / len(FRAME) / seconds, used * 1e6 * len(FRAME) / total


def through_the_hub(binary, messages, streams):
    """Pushes messages into a hub with event streams. Returns deliveries per second."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        pull = probe.getsockname()[1]
        probe.close()
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
        pathlib.Path(folder, "tidings.toml").write_text(
            f'[[listen]]\naddress = "127.0.0.1:{port}"\n[data]\ndir = "{folder}/data"\n'
            f'[hub]\npublic_url = "http://127.0.0.1:{port}/.well-known/mercure"\n'
            f'[[auth.issuers]]\nissuer = "https://bench.example"\nkey = "{KEY}"\n'
            f'[subscribe]\nanonymous = true\n[log]\nlevel = "error"\n'
            f'[[zeromq.inputs]]\nsocket = "zmq-bind://PULL@127.0.0.1:{pull}"\ntopic = "/bench"\n'
        )
        process = Process([binary, "serve", "--config", f"{folder}/tidings.toml"], env={})
        try:
            return spread(pull, port, messages, streams)
        finally:
            process.stop()


def connect(port):
    end = time.monotonic() + DEADLINE_SECS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), DEADLINE_SECS)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def spread(pull, port, messages, streams):
    selector = selectors.DefaultSelector()
    missing = {}
    for _ in range(streams):
        stream = connect(port)
        request = "GET /.well-known/mercure?match=/bench HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        stream.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += stream.recv(READ)
        missing[stream] = messages
        selector.register(stream, selectors.EVENT_READ)
    push = peer(pull, b"PUSH")
    started = time.monotonic()
    push.setblocking(False)
    selector.register(push, selectors.EVENT_WRITE)
    rest = memoryview(FRAME * messages)
    tails = dict.fromkeys(missing, b"")
    while missing:
        events = selector.select(DEADLINE_SECS)
        if not events:
            raise TimeoutError(f"{sum(missing.values())} deliveries did not arrive")
        for key, _ in events:
            if key.fileobj is push:
                rest = rest[push.send(rest[:READ]):]
                if not rest:
                    selector.unregister(push)
                continue
            stream = key.fileobj
            text = tails[stream] + stream.recv(READ)
            missing[stream] -= text.count(b"data: x")
            # What a read cuts apart counts with the next one, and nothing counts twice.
            tails[stream] = text[-6:] if b"data: x" not in text[-6:] else b""
            if not missing[stream]:
                del missing[stream]
                selector.unregister(stream)
    return messages * streams / (time.monotonic() - started)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--small", action="store_true")
    arguments.add_argument("--binary")
    given = arguments.parse_args()
    build = "debug" if given.small else "release"
    binary = given.binary or str(ROOT / "target" / build / "tidings")
    if os.cpu_count() > 1:
        os.sched_setaffinity(0, {1})
    messages, rounds = (20_000, 1) if given.small else (2_000_000, 3)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(pass_on(lambda: tidings_broker(binary), messages))
        theirs.append(pass_on(libzmq_proxy, messages))
    hub = through_the_hub(binary, 500 if given.small else 30_000, 100)
    middle = [statistics.median(values) for values in (*zip(*ours), *zip(*theirs))]
    figures = {
        "zeromq_messages": (middle[0], "/s", ""),
        "zeromq_libzmq_messages": (middle[2], "/s", ""),
        "zeromq_rate_to_libzmq": (middle[0] / middle[2], "", "at least 1"),
        "zeromq_cpu_per_message": (middle[1], "µs", ""),
        "zeromq_libzmq_cpu_per_message": (middle[3], "µs", ""),
        "zeromq_cpu_to_libzmq": (middle[1] / max(middle[3], 1e-9), "", "at most 1.5"),
        "zeromq_hub_deliveries": (hub, "/s", "at least 500000"),
    }
    for name, (value, unit, wanted) in figures.items():
        text = f"{value:.3f}" if value < 1000 else f"{value:.0f}"
        print(f"{name:32} {text:>12} {unit:3} {'' if given.small else wanted}".rstrip())
    if not given.small:
        record(figures)
    print(f"{len(figures)} passed, 0 failed")


def record(figures):
    """Appends the figures to results.jsonl."""
    run = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(run, capture_output=True, text=True, check=False).stdout.strip()
    cpu = pathlib.Path("/proc/cpuinfo").read_text().split("model name", 1)[1].split("\n", 1)[0]
    machine = f"{cpu.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with open(ROOT / "bench/results.jsonl", "a", encoding="utf-8") as file:
        for name, (value, unit, _) in figures.items():
            line = {"commit": commit, "date": date, "machine": machine, "name": name,
                    "unit": unit, "value": value}
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
