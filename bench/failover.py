"""How long subscribers wait when the primary of a Sentinel trio is killed.

    python3 bench/failover.py --tidings target/release/tidings --rounds 5

One primary with two replicas, three Sentinels, two hubs. A publisher posts to one hub 100 times a second and waits for
each answer; a stream of the other hub notes when each update comes. In each round the primary is killed (SIGKILL). The
promotion is when a Sentinel reports the new primary. Afterwards every acknowledged update must have come, once.
"""

import argparse
import contextlib
import http.client
import pathlib
import random
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

PATH = "/.well-known/mercure"
URL = "http://localhost" + PATH
TOPIC = "https://bench.example/failover"
ISSUER = "urn:tidings:bench"
KEY = "the-key-of-hubs-that-only-this-machine-reaches"
DOWN_AFTER_MS = 1000
DEADLINE_SECS = 60
EVERY_SECS = 0.01


def free_port():
    for port in random.sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def ask(port, *words):
    """Sends a command to a Redis server; returns the bytes of its answer."""
    with socket.create_connection(("127.0.0.1", port), 2) as connection:
        connection.sendall((" ".join(words) + "\r\n").encode())
        return connection.recv(65536).decode()


def until(what, condition, deadline_secs=DEADLINE_SECS):
    end = time.monotonic() + deadline_secs
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if found := condition():
                return found
        if time.monotonic() > end:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.005)


class Trio:
    """A primary, two replicas and three Sentinels."""

    def __init__(self, folder):
        self.folder = folder
        self.servers = {free_port(): None for _ in range(3)}
        first = next(iter(self.servers))
        for port in self.servers:
            self.start(port, None if port == first else first)
        self.sentinels = [free_port() for _ in range(3)]
        self.watchers = []
        for port in self.sentinels:
            config = pathlib.Path(folder, f"sentinel-{port}.conf")
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor main 127.0.0.1 {first} 2\n"
                f"sentinel down-after-milliseconds main {DOWN_AFTER_MS}\nsentinel failover-timeout main 5000\n"
            )
            self.watchers.append(run("redis-server", str(config), "--sentinel"))
        self.wait_until_whole()

    def wait_until_whole(self):
        """Waits until both replicas are connected, and each Sentinel knows them and the other Sentinels."""
        until("two replicas", lambda: ask(self.primary(), "INFO", "replication").count("state=online") == 2)
        for port in self.sentinels:
            until("Sentinels that know everybody", lambda port=port: self.knows_all(port))

    @staticmethod
    def knows_all(sentinel):
        words = ask(sentinel, "SENTINEL", "MASTER", "main").split("\r\n")
        replicas = ask(sentinel, "SENTINEL", "REPLICAS", "main")
        return words[words.index("num-other-sentinels") + 2] == "2" and replicas.count("master-link-status\r\n$2\r\nok") == 2

    def start(self, port, primary):
        more = ["--replicaof", "127.0.0.1", str(primary)] if primary else []
        options = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "5", "--appendonly", "yes", "--save", ""]
        folder = pathlib.Path(self.folder, str(port))
        folder.mkdir(exist_ok=True)
        self.servers[port] = run("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options, *more)

    def primary(self):
        """Returns the port of the primary that most Sentinels name."""
        named = []
        for port in self.sentinels:
            with contextlib.suppress(OSError, IndexError):
                named.append(int(ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").split("\r\n")[4]))
        return max(set(named), key=named.count) if named else 0

    def stop(self):
        for process in [*self.servers.values(), *self.watchers]:
            process.kill()
            process.wait()


def run(*command):
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Hub:
    def __init__(self, program, folder, name, sentinels):
        self.port = free_port()
        addresses = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        config = pathlib.Path(folder, f"{name}.toml")
        config.write_text(
            f'[hub]\npublic_url = "{URL}"\n[[listen]]\naddress = "127.0.0.1:{self.port}"\n'
            f'[data]\ndir = "{folder}/{name}"\n[[auth.issuers]]\nissuer = "{ISSUER}"\nkey = "{KEY}"\n'
            f'[subscribe]\nanonymous = true\n[cluster]\nengine = "redis"\nnode = "{name}"\n'
            f'url = "redis+sentinel://{addresses}/main"\nmax_wait_ms = 30000\n[log]\nlevel = "error"\n'
        )
        self.process = subprocess.Popen([program, "serve", "--config", str(config)])

    def is_ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, 5)
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200


class Load:
    """Publishes to one hub and reads from another."""

    def __init__(self, publish_port, read_port, token):
        self.acknowledged, self.arrived = [], []
        self.ends = threading.Event()
        self.waits = []
        self.token, self.ports = token, (publish_port, read_port)
        for loop in (self.read, self.publish):
            threading.Thread(target=loop, daemon=True).start()

    def read(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[1], DEADLINE_SECS)
        connection.request("GET", f"{PATH}?{urllib.parse.urlencode({'match': TOPIC, 'last_event_id': 'earliest'})}")
        for line in connection.getresponse():
            if line.startswith(b"data: "):
                self.arrived.append((int(line[6:]), time.monotonic()))

    def publish(self):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/x-www-form-urlencoded"}
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[0], DEADLINE_SECS)
        number = 0
        while not self.ends.is_set():
            begun = time.monotonic()
            try:
                connection.request("POST", PATH, urllib.parse.urlencode({"topic": TOPIC, "data": number}), headers)
                answer = connection.getresponse()
                answer.read()
            except http.client.HTTPException:
                # The hub was stopped.
                return
            if answer.status == 200:
                self.acknowledged.append(number)
            self.waits.append(time.monotonic() - begun)
            number += 1
            time.sleep(EVERY_SECS)


def failover(trio, load):
    """Kills the primary. Returns the seconds to the promotion, and from it to the first update that was sent later."""
    old = trio.primary()
    trio.servers[old].kill()
    killed = time.monotonic()
    until("a promotion", lambda: trio.primary() not in (0, old))
    promoted = time.monotonic()
    until("an update", lambda: load.arrived and load.arrived[-1][1] > promoted)
    first = next(at for _, at in load.arrived if at > promoted)
    trio.servers[old].wait()
    trio.start(old, trio.primary())
    trio.wait_until_whole()
    return promoted - killed, first - promoted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidings", required=True, help="the hub's program")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    token = subprocess.run(
        [options.tidings, "token", "make", "--issuer", ISSUER, "--key", KEY, "--audience", URL, "--publish", "*"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        trio = Trio(folder)
        hubs = []
        try:
            for name in ("one", "two"):
                hubs.append(Hub(options.tidings, folder, name, trio.sentinels))
                until("a hub that is ready", hubs[-1].is_ready)
            load = Load(hubs[0].port, hubs[1].port, token)
            until("updates", lambda: len(load.arrived) > 20)
            for round_number in range(options.rounds):
                promotion, delivery = failover(trio, load)
                print(f"round {round_number}: promoted after {promotion * 1000:.0f} ms, "
                      f"first delivery {delivery * 1000:.0f} ms later", flush=True)
            load.ends.set()
            until("the rest", lambda: set(load.acknowledged) <= {number for number, _ in load.arrived})
            numbers = [number for number, _ in load.arrived]
            print(f"{len(load.acknowledged)} acknowledged, {len(numbers) - len(set(numbers))} doubled, 0 lost; "
                  f"longest wait of the publisher {max(load.waits) * 1000:.0f} ms")
        finally:
            for hub in hubs:
                hub.process.kill()
                hub.process.wait()
            trio.stop()


if __name__ == "__main__":
    main()
