"""Starts the real binary and counts checks; shared by the scripts one folder up."""

import atexit
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("TIDINGS_BIN", str(ROOT / "target/debug/tidings"))
PATH = "/.well-known/mercure"
DEADLINE_SECS = 30


class Hub:
    """`tidings serve` with a configuration of its own; FOLDER in it is the test's folder."""

    def __init__(self, toml, files=()):
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
            [BINARY, "serve", "--config", str(self.config)], stderr=subprocess.PIPE, text=True, env={}
        )
        # A script that breaks leaves no hub behind, which would keep the script's output open.
        atexit.register(self.process.kill)
        self.addresses = {}
        self.log = []
        ready = threading.Event()
        follower = threading.Thread(target=self._follow, args=(self.process, ready), daemon=True)
        follower.start()
        if not ready.wait(DEADLINE_SECS) or self.process.poll() is not None:
            sys.exit("the hub did not start:\n" + "".join(self.log))

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
        """Returns the value of a metric, summed over its labels."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port("admin"), DEADLINE_SECS)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return sum(float(value) for key, value in lines if key.split("{")[0] == name)

    def wait_for_metric(self, name, wanted):
        """Waits until a metric has a value; returns whether it came to that in time."""
        end = time.monotonic() + DEADLINE_SECS
        while self.metric(name) != wanted:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

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
    """Asks the hub one thing after another on one connection, each with a token."""

    def __init__(self, hub):
        self.connection = http.client.HTTPConnection("127.0.0.1", hub.port(), DEADLINE_SECS)

    def send(self, method, path, token, form=None):
        """Returns the status and the challenge."""
        headers = {"Authorization": "Bearer " + token, "Host": "hub.example.com"}
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urllib.parse.urlencode(form)
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("WWW-Authenticate")


class Checks:
    """Counts what holds and what does not, and says what does not."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def equal(self, name, found, expected):
        if found == expected:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {found!r}, not {expected!r}")

    def finish(self):
        """Prints the counts and ends the script."""
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)
