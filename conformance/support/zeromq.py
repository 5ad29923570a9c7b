"""`tidings broker`, and peers for it: pyzmq's sockets, PHP's scripts."""

import atexit
import pathlib
import signal
import subprocess
import threading
import urllib.request

import zmq

from .hub import BINARY
from .waiting import DEADLINE_SECS, until

SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "zeromq"
# How long to wait for something that nothing announces.
LOOK_MS = 50


class Broker:
    """`tidings broker` with these arguments; addresses are read from what it prints."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [BINARY, "broker", "--log", "warn", *arguments], stdout=subprocess.PIPE, text=True
        )
        # An aborted test must not leave a broker behind, which would keep the test's output open.
        atexit.register(self.process.kill)
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

    def is_running(self):
        return self.process.poll() is None

    def stop(self):
        """Asks it to end and returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE_SECS)
        atexit.unregister(self.process.kill)
        return code


class Sockets:
    """Sockets of pyzmq that connect."""

    def __init__(self):
        self.context = zmq.Context()
        self.opened = []

    def __call__(self, kind, port, **options):
        peer = self.open(kind)
        for name, value in options.items():
            setattr(peer, name, value)
        if kind == zmq.SUB:
            peer.subscribe(b"")
        peer.connect(f"tcp://127.0.0.1:{port}")
        return peer

    def open(self, kind):
        """Returns a socket that neither connects nor binds yet."""
        peer = self.context.socket(kind)
        self.opened.append(peer)
        peer.rcvtimeo = peer.sndtimeo = DEADLINE_SECS * 1000
        peer.linger = DEADLINE_SECS * 1000
        return peer

    def close(self):
        for peer in self.opened:
            peer.close(0)
        self.context.destroy(0)


def nudged(nudge, has_come):
    """Calls `nudge` until a message has arrived, which shows that the subscription is in effect."""

    def look():
        nudge()
        return has_come()

    assert until(look), "nothing has come"


def joined(push, subs, probe=b"probe"):
    """Sends until every subscriber has received something, then drains the rest."""
    for sub in subs:
        nudged(lambda: push.send(probe), lambda: sub.poll(LOOK_MS))
    push.send(b"joined")
    for sub in subs:
        while sub.recv() != b"joined":
            pass


def php(script, *arguments, **options):
    return subprocess.run(
        ["php", str(SCRIPTS / script), *map(str, arguments)],
        capture_output=True, text=True, timeout=DEADLINE_SECS, **options,
    )


def next_line_of(process, nudge):
    """Returns the next line of a process, nudging it until there is one."""
    lines = []
    reader = threading.Thread(target=lambda: lines.append(process.stdout.readline()), daemon=True)
    reader.start()

    def has_ended():
        reader.join(LOOK_MS / 1000)
        return not reader.is_alive()

    try:
        nudged(nudge, has_ended)
    finally:
        process.kill()
        process.wait()
    return lines[0]
