"""examples/cluster/compose.yaml without a container engine: its services with their settings, on free ports."""

import json
import os
import shutil
import subprocess
import tempfile

import httpx
import pytest
import redis
import yaml

from support import mercure
from support.hub import BINARY, PATH, ROOT, free_port
from support.waiting import DEADLINE_SECS, until

EXAMPLE = ROOT / "examples/cluster"
TOPIC = "https://example.com/counter"
PEER_TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def processes():
    """Starts processes, which end with the test."""
    started = []

    def start(command, **options):
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, **options))
        return started[-1]

    with tempfile.TemporaryDirectory() as folder:
        yield start, folder
        for process in started:
            process.kill()
            process.wait()


def test_the_services_are_one_hub(processes):
    start, folder = processes
    services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
    names = ["one", "two", "three"]
    addresses = {name: f"127.0.0.1:{free_port()}" for name in names}
    inside = {name: f"127.0.0.1:{free_port()}" for name in names}
    engine, web = free_port(), free_port()
    options = services["engine"]["command"][1:]
    start(["redis-server", "--port", str(engine), "--dir", folder, *options], stdout=subprocess.DEVNULL)

    def start_hub(name):
        environment = services[name]["environment"]
        assert environment["TIDINGS_CLUSTER__NODE"] == name
        assert environment["TIDINGS_CLUSTER__ADDRESS"] == f"http://{name}:4401"
        changed = {
            "TIDINGS_LISTEN__0__ADDRESS": addresses[name],
            "TIDINGS_ADMIN__ADDRESS": inside[name],
            "TIDINGS_AUTH__ISSUERS__0__KEY": mercure.SECRET,
            "TIDINGS_CLUSTER__URL": environment["TIDINGS_CLUSTER__URL"].replace("engine:6379", f"127.0.0.1:{engine}"),
            "TIDINGS_CLUSTER__ADDRESS": f"http://{inside[name]}",
            "TIDINGS_CLUSTER__PEER_TOKEN": PEER_TOKEN,
            "TIDINGS_DATA__DIR": f"{folder}/{name}",
        }
        return start([BINARY, "serve"], env={**environment, **changed}, cwd=folder)

    hubs = {name: start_hub(name) for name in names}
    proxy = {key: value.replace(":8080", "") for key, value in services["proxy"]["environment"].items()}
    proxy = {key: addresses.get(value, f"127.0.0.1:{web}") for key, value in proxy.items()}
    start(["haproxy", "-f", str(EXAMPLE / "haproxy.cfg")], env={"PATH": f"{os.environ['PATH']}:/usr/sbin", **proxy})

    def is_ready(address):
        try:
            return httpx.get(f"http://{address}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    for address in addresses.values():
        assert until(lambda address=address: is_ready(address))
    assert until(lambda: is_ready(f"127.0.0.1:{web}")), "the proxy reaches a hub"

    public_url = services["one"]["environment"]["TIDINGS_HUB__PUBLIC_URL"]
    token = mercure.token(iss="urn:example:cluster", aud=public_url)
    ids = []
    for address in addresses.values():
        answer = httpx.post(
            f"http://{address}{PATH}",
            data={"topic": TOPIC, "data": json.dumps(len(ids))},
            headers={"Authorization": f"Bearer {token}"},
            timeout=DEADLINE_SECS,
        )
        assert answer.status_code == 200, answer.text
        ids.append(answer.text)
    url = f"http://127.0.0.1:{web}{PATH}"
    with httpx.stream("GET", url, params={"match": TOPIC, "last_event_id": ids[0]}, timeout=30) as stream:
        assert stream.headers["set-cookie"].startswith("served_by=")
        lines = (line.removeprefix("id: ") for line in stream.iter_lines() if line.startswith("id: "))
        assert [next(lines), next(lines)] == ids[1:]

    # A hub loses its folder, and the engine has dropped what it had: it has everything again from another hub.
    hubs["three"].kill()
    hubs["three"].wait()
    shutil.rmtree(f"{folder}/three")
    with redis.Redis(port=engine) as client:
        assert client.execute_command("XTRIM", "{t:tidings}:log", "MAXLEN", 1) >= 2
    start_hub("three")
    assert until(lambda: is_ready(addresses["three"]))
    metrics = httpx.get(f"http://{inside['three']}/metrics", timeout=DEADLINE_SECS).text.splitlines()
    assert any(line.startswith("tidings_cluster_fetched_updates_total ") and not line.endswith(" 0") for line in metrics)
    url = f"http://{addresses['three']}{PATH}"
    with httpx.stream("GET", url, params={"match": TOPIC, "last_event_id": ids[0]}, timeout=30) as stream:
        lines = (line.removeprefix("id: ") for line in stream.iter_lines() if line.startswith("id: "))
        assert [next(lines), next(lines)] == ids[1:]
