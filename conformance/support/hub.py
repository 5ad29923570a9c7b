"""The real binary: a hub with a configuration of its own, and commands that end."""

import atexit
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.parse

from .waiting import DEADLINE_SECS, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("TIDINGS_BIN", str(ROOT / "target/debug/tidings"))
PATH = "/.well-known/mercure"


def tidings(*arguments, environment=None, **options):
    """Runs a command that ends by itself; returns what it printed and its exit code."""
    command = [BINARY, *map(str, arguments)]
    env = dict(environment or {})
    return subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE_SECS, env=env, **options
    )


def config_check(toml):
    """Returns what `tidings config check` says about a configuration."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(toml)
        file.flush()
        return tidings("config", "check", "--config", file.name)


def free_port():
    """Returns a free port, below the range of ports for outgoing connections."""
    for port in random.sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            return port
    raise RuntimeError("no port is free")


class Hub:
    """`tidings serve` with a configuration of its own; FOLDER in it is the test's folder."""

    def __init__(self, toml, files=(), environment=()):
        self.environment = dict(environment)
        self.folder = tempfile.TemporaryDirectory()
        for name, content in dict(files).items():
            pathlib.Path(self.folder.name, name).write_bytes(content)
        toml += (
            '\n[admin]\naddress = "127.0.0.1:0"\n[data]\ndir = "FOLDER/data"\n'
            '[log]\nlevel = "info"\nformat = "json"\n'
        )
        self.config = pathlib.Path(self.folder.name, "tidings.toml")
        self.config.write_text(toml.replace("FOLDER", self.folder.name))
        self._start()

    def _start(self):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", str(self.config)], stderr=subprocess.PIPE, text=True,
            env=self.environment,
        )
        # An aborted test must not leave a hub behind, which would keep the test's output open.
        atexit.register(self.process.kill)
        self.addresses = {}
        self.log = []
        ready = threading.Event()
        follower = threading.Thread(target=self._follow, args=(self.process, ready), daemon=True)
        follower.start()
        if not ready.wait(DEADLINE_SECS) or self.process.poll() is not None:
            raise RuntimeError("the hub did not start:\n" + "".join(self.log))

    def _follow(self, process, ready):
        for line in process.stderr:
            self.log.append(line)
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("message") == "listening":
                kind = "admin" if entry["admin"] else "tls" if entry["tls"] else "plain"
                self.addresses[kind] = entry["address"]
            elif entry.get("message") == "ready":
                ready.set()
        ready.set()

    def port(self, kind="plain"):
        return int(self.addresses[kind].rsplit(":", 1)[1])

    def metric(self, name):
        """Returns the value of a metric, summed over its labels unless the name has some."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port("admin"), DEADLINE_SECS)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return sum(float(value) for key, value in lines if name in (key, key.split("{")[0]))

    def wait_for_metric(self, name, wanted):
        """Waits until a metric has a value; returns whether it reached it in time."""
        return until(lambda: self.metric(name) == wanted)

    def is_running(self):
        return self.process.poll() is None

    def reload(self):
        """Has it read its configuration again; returns how often it has."""
        done = lambda: sum('"reload: done"' in line for line in self.log)
        before = done()
        self.process.send_signal(signal.SIGHUP)
        if not until(lambda: done() > before):
            raise AssertionError("no reload:\n" + "".join(self.log))
        return done()

    def crash(self):
        """Kills it as a power cut would, and starts it again on the same files; its ports change."""
        self.process.kill()
        self.process.wait(DEADLINE_SECS)
        atexit.unregister(self.process.kill)
        self._start()

    def stop(self):
        """Asks it to end and returns the exit code."""
        self.terminate()
        return self.wait()

    def terminate(self):
        """Asks it to end."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        """Waits for the end and returns the exit code."""
        code = self.process.wait(DEADLINE_SECS)
        atexit.unregister(self.process.kill)
        self.folder.cleanup()
        return code


class Requests:
    """Sends requests one after another on one connection, each with a token."""

    def __init__(self, hub):
        self.connection = http.client.HTTPConnection("127.0.0.1", hub.port(), DEADLINE_SECS)

    def send(self, method, path, token, form=None):
        """Returns the status and the challenge."""
        headers = {"Authorization": "Bearer " + token, "Host": "hub.example.com"}
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urllib.parse.urlencode(form)
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            # The next one begins on a new connection.
            self.connection.close()
            raise
        return answer.status, answer.headers.get("WWW-Authenticate")
