"""A real Redis on a free port, and hubs that are one cluster on it."""

import pathlib
import socket
import subprocess
import tempfile

from . import mercure
from .hub import free_port, tidings
from .waiting import until


class Redis:
    """`redis-server`, which keeps nothing over its end."""

    def __init__(self, *arguments):
        self.folder = tempfile.TemporaryDirectory()
        self.arguments = arguments
        self.port = free_port()
        self.start()

    def start(self):
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir", self.folder.name]
        self.process = subprocess.Popen([*map(str, command), *self.arguments], stdout=subprocess.DEVNULL)
        assert until(lambda: self.ask("PING") == "+PONG"), "the server does not answer"

    def ask(self, command):
        """Sends a command without spaces in its words; returns the first line of the answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream:
                stream.sendall(f"{command}\r\n".encode())
                return stream.makefile().readline().strip()
        except OSError:
            return ""

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def stop(self):
        self.kill()
        self.folder.cleanup()

    def begin(self):
        """Begins the cluster, which a first hub would do after it has seen the name unused for a while."""
        file = pathlib.Path(self.folder.name, "begin.toml")
        file.write_text(mercure.configuration(self.member()) + f'[data]\ndir = "{self.folder.name}/data"\n')
        done = tidings("cluster", "init", "--config", file)
        assert done.returncode == 0, done.stderr

    def member(self, more=""):
        """Returns the settings by which a hub joins."""
        return f'{more}\n[cluster]\nengine = "redis"\nurl = "redis://127.0.0.1:{self.port}"\nmax_wait_ms = 20000\n'


def is_ready(hub):
    return hub.is_running() and mercure.ask(hub, "GET", "/health/ready", kind="admin").status == 200
