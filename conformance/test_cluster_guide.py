"""docs/guide/cluster.md: each of its examples, with a real Redis, real Sentinels and HAProxy, on free ports. Its other
proxies are in test_cluster_proxies.py."""

import http.client
import json
import re
import subprocess
import urllib.parse

import pytest

from support import mercure
import test_cluster_proxies as cluster_proxies
from support.certificates import make_certificate
from support.dev import ENVIRONMENT, Running
from support.hub import BINARY, PATH, free_port, tidings
from support.waiting import until
from test_docs import block

PAGE = "docs/guide/cluster.md"
TOPIC = "https://example.com/news"
ADMIN = "10.0.0.11:4401"


@pytest.fixture
def start(tmp_path):
    """Starts commands in the test's folder, which end with the test."""
    started = []

    def run(*command):
        started.append(Running([str(word) for word in command], tmp_path))
        return started[-1]

    yield run
    for running in reversed(started):
        running.stop()


def server(start, folder, name, settings, *more):
    """Starts a Redis with the settings of the guide; returns its port."""
    port = free_port()
    file = folder / f"{name}.conf"
    data = folder / name
    data.mkdir()
    file.write_text(f"{settings}\nport {port}\nbind 127.0.0.1\ndir {data}\n" + "".join(line + "\n" for line in more))
    running = start("redis-server", file)
    assert until(lambda: "Ready to accept connections" in running.output), running.output
    return port


def configuration(folder, name, text, **ports):
    """Writes the settings of a hub of the guide, for this machine. Returns the file."""
    text = text.replace("/etc/tidings", str(folder)).replace("/var/lib/tidings", f"{folder}/{name}")
    for key, port in ports.items():
        text = text.replace(key, f"127.0.0.1:{port}")
    (folder / "hub.key").write_text(mercure.SECRET)
    (folder / "hub.key").chmod(0o600)
    (folder / "peer.token").write_text("0123456789abcdef" * 4 + "\n")
    (folder / "peer.token").chmod(0o600)
    file = folder / f"{name}.toml"
    file.write_text(text)
    return file


def cluster(command, file):
    return json_of(tidings("cluster", command, "--config", file, "--json"))


def json_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_guide_sets_up_a_cluster_behind_haproxy(start, check, tmp_path):
    redis = server(start, tmp_path, "redis", block(PAGE, 0, "text"))
    hubs = {}
    for name in "abc":
        ports = {"0.0.0.0:4400": free_port(), ADMIN: free_port(), "10.0.0.5:6379": redis}
        hubs[name] = (configuration(tmp_path, name, block(PAGE, 1, "toml"), **ports), ports)
    commands = block(PAGE, 2, "console").splitlines()
    begin, status, serve = (re.sub("^tidings ", f"{BINARY} ", line) for line in commands)
    first = hubs["a"][0]
    for command in (begin, status):
        done = shell(command.replace("/etc/tidings/tidings.toml", str(first)))
        check(command, (done.returncode, done.stderr), (0, ""))
    check("the cluster is there", cluster("status", first)["log"]["last"], 0)
    for file, ports in hubs.values():
        start("sh", "-euc", "exec " + serve.replace("/etc/tidings/tidings.toml", str(file)))
        assert until(lambda: answer(ports[ADMIN], "GET", "/health/ready")[0] == 200)

    web = free_port()
    ports = [ports["0.0.0.0:4400"] for _, ports in hubs.values()]
    start(*cluster_proxies.haproxy(tmp_path, web, ports))
    published = lambda: publish(web, "hub.example.com")
    assert until(lambda: published()[0] == 200)
    reader = hubs["c"][1]["0.0.0.0:4400"]
    answered = published()
    headers = {"Host": "hub.example.com", "Prefer": "wait=10", "Authorization": f"Bearer {token()}"}
    query = urllib.parse.urlencode({"match": TOPIC, "last_event_id": "earliest"})
    # A poll answers at once with what its hub has so far.
    came = lambda: json.loads(answer(reader, "GET", f"{PATH}?{query}", headers)[1])["updates"]
    check("another hub has it under its id", until(lambda: came()[-1]["id"] == answered[1]))

    restart = block(PAGE, 12, "console").replace("systemctl restart tidings", "true")
    restart = restart.replace("tidings health", f"{BINARY} health").replace("/etc/tidings/tidings.toml", str(first))
    check("the wait for a restarted hub ends", shell(restart).returncode, 0)


def token():
    audience = "https://hub.example.com/.well-known/mercure"
    return mercure.token(aud=audience, iss="https://example.com")


def publish(port, host):
    headers = {"Host": host, "Authorization": f"Bearer {token()}", "Content-Type": "application/x-www-form-urlencoded"}
    return answer(port, "POST", PATH, headers, urllib.parse.urlencode({"topic": TOPIC, "data": "x"}))


def answer(port, method, path, headers=(), body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def shell(command):
    return subprocess.run(["sh", "-euc", command], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)


def test_the_sentinels_of_the_guide_name_a_primary_that_is_safe(start, check, tmp_path):
    settings = block(PAGE, 7, "text")
    primary = server(start, tmp_path, "one", settings)
    for name in ("two", "three"):
        server(start, tmp_path, name, settings, f"replicaof 127.0.0.1 {primary}")
    sentinels = []
    for number in range(3):
        port = free_port()
        text = block(PAGE, 8, "text").replace("10.0.0.5 6379", f"127.0.0.1 {primary}")
        file = tmp_path / f"sentinel{number}.conf"
        file.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n{text}")
        running = start("redis-server", file, "--sentinel")
        assert until(lambda: "+monitor master main" in running.output), running.output
        sentinels.append(port)
    text = hub_settings(tmp_path) + block(PAGE, 9, "toml")
    for number, port in enumerate(sentinels, 5):
        text = text.replace(f"10.0.0.{number}", f"127.0.0.1:{port}")
    file = configuration(tmp_path, "hub", text)
    # A primary counts its replicas once a second.
    assert until(lambda: tidings("cluster", "status", "--config", file).returncode == 0)
    check("nothing is wrong", cluster("init", file), {"cluster": "tidings", "begun": True, "warnings": []})


def test_the_user_of_the_guide_may_do_what_a_hub_does(start, check, tmp_path):
    user = block(PAGE, 10, "text").replace(">PASSWORD", ">a-long-password")
    redis = server(start, tmp_path, "redis", block(PAGE, 0, "text"), user.splitlines()[-1], "user default off")
    (tmp_path / "redis.password").write_text("a-long-password\n")
    (tmp_path / "redis.password").chmod(0o600)
    # The same without TLS, which Debian's Redis has and needs files for; the last test has those.
    text = block(PAGE, 11, "toml").replace("rediss://redis.example.com:6380", f"redis://127.0.0.1:{redis}")
    text = "".join(line + "\n" for line in text.splitlines() if "_file" not in line or "password" in line)
    text = hub_settings(tmp_path) + text.replace("[cluster]", '[cluster]\nname = "example"')
    file = configuration(tmp_path, "hub", text)
    check("it begins a cluster", cluster("init", file)["begun"])
    hub = start(BINARY, "serve", "--config", file)
    assert until(lambda: "the hub follows its cluster" in hub.output), hub.output
    shown = tidings("config", "show", "--config", file).stdout
    check("the password is not shown", "a-long-password" in shown, False)


def test_the_settings_for_tls_are_accepted(check, tmp_path):
    certificate, key = make_certificate()
    for name, content in (("redis-ca.pem", certificate), ("hub.pem", certificate), ("hub-key.pem", key), ("redis.password", b"x\n")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    file = configuration(tmp_path, "hub", hub_settings(tmp_path) + block(PAGE, 11, "toml"))
    done = tidings("config", "check", "--config", file)
    check("config check", (done.returncode, done.stdout, done.stderr), (0, "ok\n", ""))


def test_the_named_output_is_accepted(check, tmp_path):
    text = hub_settings(tmp_path) + block(PAGE, 13, "toml") + '[cluster]\nengine = "redis"\nurl = "redis://10.0.0.5"\n'
    file = configuration(tmp_path, "hub", text)
    done = tidings("config", "check", "--config", file)
    check("config check", (done.returncode, done.stdout, done.stderr), (0, "ok\n", ""))


def test_the_environment_of_a_pod_is_accepted(check, tmp_path):
    text = hub_settings(tmp_path) + '[cluster]\nengine = "redis"\nurl = "redis://10.0.0.5"\n'
    file = configuration(tmp_path, "hub", text)
    pairs = re.findall(r'- name: (TIDINGS_\w+)\n +value: "?([^"\n]+)', block(PAGE, 6, "yaml"))
    given = {name: value.replace("$(POD_IP)", "10.1.2.3") for name, value in pairs}
    given = {name: value.replace("/etc/tidings", str(tmp_path)) for name, value in given.items()}
    done = tidings("config", "check", "--config", file, environment=given)
    check("config check", (done.returncode, done.stdout, done.stderr), (0, "ok\n", ""))
    shown = tidings("config", "show", "--config", file, environment=given).stdout
    check("the address of the pod", "http://10.1.2.3:4401" in shown)


def hub_settings(folder):
    """Returns what the guide's pieces of `[cluster]` leave out."""
    return (
        f'[[listen]]\naddress = "127.0.0.1:0"\n[hub]\npublic_url = "https://hub.example.com{PATH}"\n'
        f'[[auth.issuers]]\nissuer = "https://example.com"\nkey_file = "{folder}/hub.key"\n[data]\ndir = "{folder}/data"\n'
    )


