"""What strangers can make the hub hold: attacks of many kinds on a real hub, its memory and a bystander's delays.

    cargo xtask attack                # release build, half an hour
    cargo xtask attack --minutes 3    # the same for three minutes
    cargo xtask attack --small        # a few seconds of each kind; part of the tests

A bystander publishes and receives all the while, over connections of its own that it keeps and over new
ones. Attackers come from other addresses of the loopback network, from one address or from many, with
tokens and without, one kind alone or several together. Their order follows from --seed.

What must hold: the hub lives; resident memory stays below the limit of the account, a quarter of it for what was
just freed, and what the hub needs without strangers; memory is flat, and after the attacks it and file
descriptors are those of before; nothing that the bystander published is lost. Delays are reported; only a full run checks their bound.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import random
import socket
import statistics
import sys
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "conformance"))
from attackers import ATTACKERS, BULKY, Target  # noqa: E402
from checks import Checks  # noqa: E402
from support import mercure  # noqa: E402
from support.certificates import make_certificate  # noqa: E402
from support.hub import PATH  # noqa: E402
from support.mercure import token  # noqa: E402

TOPIC = "https://example.com/bystander"
EVERY_SECS = 0.05
# 99 of 100 of the bystander's updates arrive within this, whatever strangers do.
DELAY_SECS_MAX = 0.1
# What a hub may take beside its account: code and threads, ring and cache of the history (48 MiB), caches of
# tokens and patterns, tables, sockets and their state. docs/guide/operating.md names both.
BASE_BYTES = 160 << 20
# A long message or body is copied while it grows, and what is freed stays for up to three seconds.
FREED_SHARE = 1 / 4
# What the lowest points of memory in the last third of a run may lie above those of the second: it is flat.
RISE_BYTES = 32 << 20
# What memory may differ by between before and after: ring and cache of the history (48 MiB), tables and caches
# that have grown, and pages that these share with what was freed.
SETTLED_BYTES = 144 << 20
SETTLE_SECS = 60
SETTINGS = """
[[listen]]
address = "127.0.0.1:0"
tls = true
[tls]
certificate = "FOLDER/hub.pem"
key = "FOLDER/hub.key"
[presence]
enabled = true
[sockjs]
enabled = true
[rooms]
access = "anonymous"
topics = ["chat/*"]
[pages]
debugger = true
diagnose = true
library = true
[[zeromq.brokers]]
inputs = ["zmq-bind://PULL@127.0.0.1:0"]
outputs = ["zmq-bind://PUB@127.0.0.1:0"]
"""


def start(peer_memory_bytes_max):
    """Returns a hub of that limit with four bulky public updates in its history, and its ports."""
    certificate, key = make_certificate()
    settings = f"{SETTINGS}[limits]\npeer_memory_bytes_max = {peer_memory_bytes_max}\n"
    hub = mercure.start(settings, drain_secs=1, files={"hub.pem": certificate, "hub.key": key})
    ports = {"plain": hub.port(), "tls": hub.port("tls")}
    for line in hub.log:
        entry = json.loads(line)
        if entry.get("message") == "ZeroMQ socket" and entry["direction"] == "out":
            ports["zeromq"] = int(entry["socket"].rsplit(":", 1)[1])
    for _ in range(4):
        status = publish(connect(ports["plain"]), BULKY, "x" * 900_000)
        assert status == 200, status
    return hub, ports


def connect(port):
    return socket.create_connection(("127.0.0.1", port), 30)


def publish(sock, topic, data):
    """Publishes on a connection; returns the status."""
    body = urllib.parse.urlencode({"topic": topic, "data": data})
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token()}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    sock.sendall((head + body).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = sock.recv(65536)
        if not more:
            return 0
        answer += more
    return int(answer.split(b" ", 2)[1])


def bystander(port, until, results):
    """Publishes and receives; puts delays, failures and what is missing into the queue when `until` is set."""
    stream = connect(port)
    query = urllib.parse.urlencode({"match": TOPIC})
    stream.sendall(f"GET {PATH}?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    seen = {}

    def receive():
        buffer = b""
        while True:
            try:
                more = stream.recv(65536)
            except OSError:
                more = b""
            if not more:
                return
            now = time.monotonic()
            buffer += more
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if line.startswith(b"data: n"):
                    seen[int(line[7:])] = now

    threading.Thread(target=receive, daemon=True).start()
    kept = connect(port)
    sent, failures, fresh = {}, {}, []
    number = 0
    while not until.is_set():
        number += 1
        began = time.monotonic()
        try:
            if number % 20:
                status = publish(kept, TOPIC, f"n{number}")
            else:
                with connect(port) as new:
                    status = publish(new, TOPIC, f"n{number}")
                    fresh.append(time.monotonic() - began)
        except OSError as error:
            status = type(error).__name__
            kept = connect(port)
        if status == 200:
            sent[number] = began
        else:
            failures[status] = failures.get(status, 0) + 1
            if status == 0:
                kept = connect(port)
        time.sleep(max(0, began + EVERY_SECS - time.monotonic()))
    end = time.monotonic() + 10
    while set(sent) - set(seen) and time.monotonic() < end:
        time.sleep(0.1)
    delays = [seen[number] - began for number, began in sent.items() if number in seen]
    results.put((delays, fresh, failures, sorted(set(sent) - set(seen))))


def attack(name, ports, source, secs, seed, bearer, results):
    target = Target(ports, source, secs, seed, bearer)
    try:
        ATTACKERS[name](target)
    finally:
        results.put((name, target.counts))


class Samples:
    """Resident memory and descriptors of a process, ten times a second."""

    def __init__(self, pid):
        self.pid = pid
        self.peak = 0
        self.peak_files = 0
        self.rows = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def now(self):
        try:
            status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
            resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
            return resident << 10, len(os.listdir(f"/proc/{self.pid}/fd"))
        except (OSError, StopIteration):
            return 0, 0

    def run(self):
        began = time.monotonic()
        while not self.ended.wait(0.1):
            resident, files = self.now()
            self.peak = max(self.peak, resident)
            self.peak_files = max(self.peak_files, files)
            if not self.rows or time.monotonic() - self.rows[-1][0] - began >= 10:
                self.rows.append((time.monotonic() - began, resident, files))

    def take_peak(self):
        peak, self.peak = self.peak, 0
        return peak


def settle(samples, before, secs):
    """Waits until memory and descriptors are those of before, or until the time is over; returns both."""
    end = time.monotonic() + secs
    while True:
        resident, files = samples.now()
        if (resident <= before[0] + SETTLED_BYTES and files <= before[1] + 4) or time.monotonic() > end:
            return resident, files
        time.sleep(0.2)


def rounds(names, chosen, secs, minutes):
    """Yields sets of attackers: each kind alone first, then several together until the time is over."""
    end = time.monotonic() + minutes * 60
    for name in names:
        yield [name]
    while time.monotonic() + secs < end:
        yield chosen.sample(names, min(len(names), chosen.randint(2, 5)))


def run(options):
    chosen = random.Random(options.seed)
    names = options.only or list(ATTACKERS)
    checks = Checks()
    hub, ports = start(options.peer_memory_bytes_max)
    samples = Samples(hub.process.pid)
    until, results = multiprocessing.Event(), multiprocessing.Queue()
    watcher = multiprocessing.Process(target=bystander, args=(ports["plain"], until, results))
    watcher.start()
    time.sleep(1 if options.small else 10)
    before = samples.now()
    samples.take_peak()
    print(f"before: {before[0] >> 20} MiB, {before[1]} descriptors; seed {options.seed}", flush=True)
    worst, totals, lows = 0, {}, []
    for number, names_now in enumerate(rounds(names, chosen, options.secs, options.minutes)):
        counts = multiprocessing.Queue()
        # From one address in one round and from many in the next.
        sources = [f"127.0.1.{chosen.randint(1, 250)}" if number % 2 else "127.0.0.2" for _ in names_now]
        processes = [
            multiprocessing.Process(
                target=attack,
                args=(name, ports, source, options.secs, chosen.random(), bool(chosen.randint(0, 1)), counts),
            )
            for name, source in zip(names_now, sources)
        ]
        for process in processes:
            process.start()
        for _ in processes:
            name, counted = counts.get()
            total = totals.setdefault(name, {})
            for what, count in counted.items():
                total[what] = total.get(what, 0) + count
        for process in processes:
            process.join()
        peak = samples.take_peak()
        worst = max(worst, peak)
        now = samples.now()[0]
        lows.append(now)
        print(f"{'+'.join(names_now)}: peak {peak >> 20} MiB, then {now >> 20} MiB", flush=True)
        if hub.process.poll() is not None:
            break
    checks.equal("the hub lives", hub.process.poll(), None)
    after = settle(samples, before, SETTLE_SECS)
    until.set()
    delays, fresh, failures, missing = results.get()
    watcher.join()
    samples.ended.set()
    report(totals, delays, fresh, failures, before, after, worst, samples)
    limit = options.peer_memory_bytes_max * (1 + FREED_SHARE) + BASE_BYTES
    checks.equal("memory within the account and the base", worst <= limit, True)
    checks.equal("memory after as before", after[0] <= before[0] + SETTLED_BYTES, True)
    checks.equal("descriptors after as before", after[1] <= before[1] + 4, True)
    checks.equal("updates of the bystander that are missing", missing, [])
    checks.equal("the bystander received", len(delays) > 0, True)
    if not options.small:
        third = len(lows) // 3
        second, last = min(lows[third : 2 * third]), min(lows[2 * third :])
        print(f"lowest resident: {second >> 20} MiB in the second third, {last >> 20} in the last")
        checks.equal("memory is flat", last <= second + RISE_BYTES, True)
        checks.equal("99 of 100 delays in time", percentile(delays, 99) <= DELAY_SECS_MAX, True)
        checks.equal("refused publications of the bystander", failures, {})
    checks.equal("exit code", hub.stop(), 0)
    checks.finish()


def percentile(values, percent):
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else 0


def report(totals, delays, fresh, failures, before, after, worst, samples):
    for name, counted in sorted(totals.items()):
        print(f"{name}: " + ", ".join(f"{count} {what}" for what, count in sorted(counted.items())))
    print(f"resident: {before[0] >> 20} MiB before, {worst >> 20} at the peak, {after[0] >> 20} after")
    print(f"descriptors: {before[1]} before, {samples.peak_files} at the peak, {after[1]} after")
    for name, values in (("publish to receive", delays), ("publish by a new connection", fresh)):
        if len(values) > 1:
            p50, p99 = percentile(values, 50) * 1000, percentile(values, 99) * 1000
            print(f"{name}: {len(values)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max(values) * 1000:.1f} ms")
    print(f"publications of the bystander that were refused: {failures}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", action="append", choices=list(ATTACKERS), metavar="KIND")
    parser.add_argument("--secs", type=float, help="how long a round lasts")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--peer-memory-bytes-max", type=int, default=256 << 20, help="the hub's limit of its account")
    options = parser.parse_args()
    if options.small:
        options.minutes = 0
    options.secs = options.secs or (2 if options.small else 15)
    options.seed = random.randrange(1_000_000) if options.seed is None else options.seed
    run(options)


if __name__ == "__main__":
    main()
