"""A PostgreSQL server of a test, with passwords."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

from .hub import free_port
from .waiting import until

SUPERUSER, PASSWORD = "postgres", "superuser"


def programs():
    """Returns the folder with the programs of the newest version: Debian has them on no path."""
    versions = pathlib.Path("/usr/lib/postgresql").glob("*/bin")
    return max(versions, key=lambda path: int(path.parent.name))


def unprivileged(*command):
    """Returns a command for somebody who is not root, as the server wants it."""
    if os.getuid():
        return [*map(str, command)]
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *map(str, command)]


@contextlib.contextmanager
def server(folder):
    """Runs a server in a folder; yields the environment for `psql` and other clients as its superuser."""
    folder = pathlib.Path(folder)
    (folder / "superuser.txt").write_text(PASSWORD)
    if not os.getuid():
        shutil.chown(folder, "postgres", "postgres")
    subprocess.run(
        unprivileged(
            programs() / "initdb", "--pgdata", folder / "data", "--username", SUPERUSER, "--auth", "scram-sha-256",
            "--pwfile", folder / "superuser.txt", "--encoding", "UTF8", "--no-locale", "--no-sync",
        ),
        check=True, stdout=subprocess.DEVNULL, cwd=folder,
    )
    port = free_port()
    settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", f"port={port}"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            unprivileged(programs() / "postgres", "-D", folder / "data", *(f"--{setting}" for setting in settings)),
            cwd=folder, stdout=log, stderr=log,
        )
    environment = {
        "PATH": os.environ["PATH"], "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": SUPERUSER, "PGPASSWORD": PASSWORD,
    }
    try:
        ask = ["psql", "-Xqc", "SELECT 1"]
        assert until(lambda: not subprocess.run(ask, env=environment, capture_output=True).returncode)
        yield environment
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()
