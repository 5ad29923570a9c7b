"""`tidings dev` in a folder of its own, for guides and examples that are run as they stand."""

import atexit
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import urllib.parse

from .hub import BINARY, PATH, ROOT
from .waiting import DEADLINE_SECS, until

# Commands find the Python with the wheels first, and nothing of the tests' own environment.
ENVIRONMENT = {
    "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
    "HOME": os.environ.get("HOME", "/"),
    "LANG": "C.UTF-8",
    "NEXT_TELEMETRY_DISABLED": "1",
}


class Dev:
    """A hub as a newcomer starts it, with presence; `folder` holds `tidings-data`."""

    def __init__(self):
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._temporary.name)
        self.processes = []
        self.hub = self.start(
            [BINARY, "dev", "--listen", "127.0.0.1:0", "--data", "tidings-data", "--memory"]
        )
        address = re.compile(r"Hub +http://localhost:(\d+)")
        assert until(lambda: address.search(self.hub.output)), self.hub.output
        self._port = int(address.search(self.hub.output)[1])

    def port(self, _kind="plain"):
        return self._port

    def start(self, command, **options):
        """Starts a command that runs until `stop`; it leads a process group, which ends as a whole."""
        self.processes.append(Running(command, self.folder, **options))
        return self.processes[-1]

    def run(self, command, deadline_secs=DEADLINE_SECS):
        """Runs shell commands that end by themselves; returns what they printed."""
        running = self.start(["sh", "-euc", command])
        code = running.process.wait(deadline_secs)
        running.stop()
        assert code == 0, f"{command}\nended with {code}:\n{running.output}"
        return running.output

    def publish(self, topic, data, **fields):
        """Publishes with the token that `tidings dev` wrote."""
        token = (self.folder / "tidings-data/publisher.token").read_text().strip()
        form = urllib.parse.urlencode({"topic": topic, "data": json.dumps(data), **fields})
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECS)
        headers = {
            "Authorization": "Bearer " + token,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", PATH, form, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200, text
        return text

    def stop(self):
        for running in reversed(self.processes):
            running.stop()
        self._temporary.cleanup()


class Running:
    """A command that was started, and what it has printed so far."""

    def __init__(self, command, folder, environment=()):
        self.output = ""
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**ENVIRONMENT, **dict(environment)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        atexit.register(self._kill)
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def _follow(self):
        for line in self.process.stdout:
            self.output += line

    def has_ended(self):
        """Returns whether it has ended, and all that it printed was read."""
        return self.process.poll() is not None and not self._follower.is_alive()

    def _kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def stop(self):
        self._kill()
        self.process.wait(DEADLINE_SECS)
        self._follower.join(DEADLINE_SECS)
        self.process.stdout.close()
        atexit.unregister(self._kill)
