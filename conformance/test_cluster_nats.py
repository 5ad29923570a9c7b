"""docs/guide/cluster-nats.md: each of its examples, with three real servers of NATS, on free ports."""

import json
import pathlib
import re
import sys

import pytest

from support.certificates import make_certificate
from support.dev import Running
from support.hub import BINARY, free_port, tidings
from support.waiting import until
from test_cluster_guide import ADMIN, answer, configuration, json_of, publish
from test_docs import block

PAGE = "docs/guide/cluster-nats.md"
REDIS_PAGE = "docs/guide/cluster.md"
SERVER = pathlib.Path(sys.executable).parent / "nats-server"
MACHINES = ("10.0.0.5", "10.0.0.6", "10.0.0.7")
# The pair of the manual of NATS, "NKeys", whose public half the page has.
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*command):
        started.append(Running([str(word) for word in command], tmp_path))
        return started[-1]

    yield run
    for running in reversed(started):
        running.stop()


def servers(start, folder, more=""):
    """Starts the three servers of the page; returns them with their ports."""
    clients, routes = [free_port() for _ in MACHINES], [free_port() for _ in MACHINES]
    running = []
    for number, (client, route) in enumerate(zip(clients, routes), 1):
        text = block(PAGE, 0, "text").replace("server_name: n1", f"server_name: n{number}")
        text = text.replace("0.0.0.0:4222", f"127.0.0.1:{client}").replace("0.0.0.0:6222", f"127.0.0.1:{route}")
        for machine, port in zip(MACHINES, routes):
            text = text.replace(f"{machine}:6222", f"127.0.0.1:{port}")
        text = text.replace("/var/lib/nats", f"{folder}/n{number}")
        file = folder / f"n{number}.conf"
        file.write_text(text + more)
        running.append(start(SERVER, "-c", file))
    for server in running:
        assert until(lambda: "Server is ready" in server.output), server.output
    return list(zip(running, clients))


def hub(folder, name, number, servers):
    """The settings of Redis' page with an example of this page, for servers on this machine."""
    text, _ = block(REDIS_PAGE, 1, "toml").split("[cluster]")
    listed = ",".join(f"127.0.0.1:{port}" for _, port in servers)
    cluster = re.sub(r'"(\w+)://.*"', rf'"\1://{listed}"', block(PAGE, number, "toml"), count=1)
    ports = {"0.0.0.0:4400": free_port(), ADMIN: free_port()}
    file = configuration(folder, name, text + cluster, **ports)
    return file, ports


def findings(file):
    done = tidings("cluster", "status", "--config", file, "--json")
    return json_of(done)["findings"]


def test_the_guide_sets_up_a_cluster_that_survives_a_server(start, check, tmp_path):
    running = servers(start, tmp_path)
    hubs = [hub(tmp_path, name, 1, running) for name in "ab"]
    assert until(lambda: tidings("cluster", "init", "--config", hubs[0][0]).returncode == 0)
    for file, ports in hubs:
        check("nothing is unsafe", findings(file), [])
        started = start(BINARY, "serve", "--config", file)
        assert until(lambda: answer(ports[ADMIN], "GET", "/health/ready")[0] == 200), started.output
    status, _ = publish(hubs[0][1]["0.0.0.0:4400"], "hub.example.com")
    check("a hub takes updates", status, 200)
    running[0][0].stop()
    for _, ports in hubs:
        status, _ = publish(ports["0.0.0.0:4400"], "hub.example.com")
        check("without one of the servers too", status, 200)
    last = lambda: json_of(tidings("cluster", "status", "--config", hubs[1][0], "--json"))["log"]["last"]
    check("they are in the line", last(), 3)


def test_a_user_with_the_permissions_of_the_guide_suffices(start, check, tmp_path):
    certificate, key = make_certificate()
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "nats-ca.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "nats.seed").write_text(SEED + "\n")
    more = block(PAGE, 2, "text").replace("/etc/nats", str(tmp_path))
    client = free_port()
    text = re.sub(r"^cluster \{.*?^\}", "", block(PAGE, 0, "text"), flags=re.M | re.S)
    text = text.replace("0.0.0.0:4222", f"127.0.0.1:{client}").replace("/var/lib/nats", f"{tmp_path}/n")
    (tmp_path / "nats.conf").write_text(text + more)
    server = start(SERVER, "-c", tmp_path / "nats.conf")
    assert until(lambda: "Server is ready" in server.output), server.output
    file, ports = hub(tmp_path, "a", 3, [(server, client)])
    file.write_text(file.read_text() + 'name = "example"\n')
    found = json.dumps(findings(file))
    check("one server keeps the line", "one server keeps the line" in found)
    started = start(BINARY, "serve", "--config", file)
    assert until(lambda: answer(ports[ADMIN], "GET", "/health/ready")[0] == 200), started.output
    status, _ = publish(ports["0.0.0.0:4400"], "hub.example.com")
    check("the hub takes updates", status, 200)
