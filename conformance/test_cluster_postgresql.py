"""docs/guide/cluster-postgresql.md: each of its examples, with a real PostgreSQL and a real PgBouncer, on free ports."""

import json
import os
import re
import shutil
import subprocess

import pytest

from support import postgresql
from support.dev import Running
from support.hub import BINARY, free_port, tidings
from support.waiting import until
from test_cluster_guide import ADMIN, answer, configuration, json_of, publish
from test_docs import block

PAGE = "docs/guide/cluster-postgresql.md"
REDIS_PAGE = "docs/guide/cluster.md"
PASSWORD = "change me"


@pytest.fixture
def database(tmp_path):
    """A server with a database `app`; the environment of its administrator."""
    folder = tmp_path / "server"
    folder.mkdir()
    # Not the folders of a user alone: the server is somebody else.
    for path in (tmp_path, *tmp_path.parents[:3]):
        if path.owner() == "root" and str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o011)
    with postgresql.server(folder) as environment:
        subprocess.run(["psql", "-Xqc", "CREATE DATABASE app"], env=environment, check=True)
        yield environment


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*command):
        started.append(Running([str(word) for word in command], tmp_path))
        return started[-1]

    yield run
    for running in reversed(started):
        running.stop()


def hub_settings(number, database):
    """The settings of Redis' page with an example of this page, for a server on this machine."""
    text, _ = block(REDIS_PAGE, 1, "toml").split("[cluster]")
    cluster = block(PAGE, number, "toml")
    server = f"127.0.0.1:{database['PGPORT']}"
    if number == 2:
        # One of the two is not there.
        cluster = cluster.replace("db-1.example.com,db-2.example.com", f"127.0.0.1:{free_port()},{server}")
    cluster = cluster.replace("db.example.com:5432", server).replace("127.0.0.1:5432", server)
    return text + cluster + 'name = "guide"\n'


def hub(folder, name, text):
    ports = {"0.0.0.0:4400": free_port(), ADMIN: free_port()}
    (folder / "postgresql.password").write_text(PASSWORD)
    return configuration(folder, name, text, **ports), ports


def findings(file):
    done = tidings("cluster", "status", "--config", file, "--json")
    return json_of(done)["findings"]


def apply(file, database):
    """Runs the commands that make role and schema."""
    commands = block(PAGE, 0, "console").replace("/etc/tidings/tidings.toml", str(file))
    commands = re.sub("^tidings ", f"{BINARY} ", commands, flags=re.M)
    subprocess.run(["sh", "-euc", commands], env=database, check=True, capture_output=True)


def test_the_guide_sets_up_a_cluster_over_postgresql(start, check, tmp_path, database):
    hubs = [hub(tmp_path, name, hub_settings(number, database)) for name, number in (("a", 1), ("b", 2))]
    apply(hubs[0][0], database)
    for file, ports in hubs:
        check("nothing is unsafe", findings(file), [])
        running = start(BINARY, "serve", "--config", file)
        assert until(lambda: answer(ports[ADMIN], "GET", "/health/ready")[0] == 200), running.output
    status, _ = publish(hubs[0][1]["0.0.0.0:4400"], "hub.example.com")
    check("a hub takes updates", status, 200)
    last = lambda: json_of(tidings("cluster", "status", "--config", hubs[1][0], "--json"))["log"]["last"]
    check("they are in the line", last(), 1)
    applied = tidings("cluster", "schema", "--apply", "--config", hubs[0][0])
    check("the hubs' role may not change the schema", applied.returncode, 1)


def test_notifications_go_past_the_pooler(start, check, tmp_path, database):
    file, _ = hub(tmp_path, "a", hub_settings(1, database))
    apply(file, database)
    port = free_port()
    pooler(start, tmp_path, port, database)
    text = hub_settings(3, database).replace("127.0.0.1:6432", f"127.0.0.1:{port}")
    text = text.replace('username = "tidings"', 'username = "tidings"\npassword_file = "/etc/tidings/postgresql.password"')
    past, _ = hub(tmp_path, "past", text)
    assert until(lambda: tidings("cluster", "status", "--config", past).returncode == 0)
    check("past the pooler", findings(past), [])
    through, _ = hub(tmp_path, "through", re.sub("notify_url.*\n", "", text))
    found = json.dumps(findings(through))
    check("through it", "cluster.notify_url" in found)


def pooler(start, folder, port, database):
    home = folder / "pooler"
    home.mkdir()
    (home / "users").write_text(f'"tidings" "{PASSWORD}"\n')
    (home / "pgbouncer.ini").write_text(
        f"[databases]\napp = host=127.0.0.1 port={database['PGPORT']}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {home}/users\n"
        "pool_mode = transaction\n"
    )
    if not os.getuid():
        for path in (*home.iterdir(), home):
            shutil.chown(path, "postgres", "postgres")
    start(*postgresql.unprivileged("/usr/sbin/pgbouncer", home / "pgbouncer.ini"))
