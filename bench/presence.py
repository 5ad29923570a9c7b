"""How long the list of subscriptions is wrong after a hub of a cluster is killed.

    python3 bench/presence.py --tidings target/release/tidings --subscriptions 100000

Three hubs on one Redis, with presence; event streams of 100 subscriptions each, a third of them at each hub. Then one
hub is killed (SIGKILL). The time is until the list of each of the others, page by page, is exactly what lives, and how
long one such list takes.
"""

import argparse
import http.client
import json
import pathlib
import resource
import socket
import subprocess
import tempfile
import time
import urllib.parse

from failover import ISSUER, KEY, PATH, URL, free_port, until

PER_STREAM = 100
DEADLINE_SECS = 600


class Hub:
    def __init__(self, program, folder, name, redis):
        self.port = free_port()
        config = pathlib.Path(folder, f"{name}.toml")
        config.write_text(
            f'[hub]\npublic_url = "{URL}"\n[[listen]]\naddress = "127.0.0.1:{self.port}"\n'
            f'[data]\ndir = "{folder}/{name}"\n[[auth.issuers]]\nissuer = "{ISSUER}"\nkey = "{KEY}"\n'
            f'[subscribe]\nanonymous = true\n[presence]\nenabled = true\n'
            f'[cluster]\nengine = "redis"\nnode = "{name}"\nurl = "redis://127.0.0.1:{redis}"\n[log]\nlevel = "error"\n'
        )
        self.process = subprocess.Popen([program, "serve", "--config", str(config)])
        self.streams = []

    def ask(self, path, token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, 60)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def is_ready(self):
        return self.ask("/health/ready")[0] == 200

    def subscribe(self, number):
        """Opens a stream; returns its topics."""
        topics = {f"https://bench.example/{number}/{place}" for place in range(PER_STREAM)}
        query = urllib.parse.urlencode([("match", topic) for topic in topics])
        stream = socket.create_connection(("127.0.0.1", self.port), 60)
        stream.sendall(f"GET {PATH}?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = stream.recv(4096)
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(head.decode())
        self.streams.append(stream)
        return topics

    def count(self, token):
        status, body = self.ask(f"{PATH}/subscriptions?count_only", token)
        return json.loads(body)["total"] if status == 200 else None

    def listed(self, token):
        """Returns the topics of all subscriptions, page by page."""
        topics, path = [], f"{PATH}/subscriptions"
        while path:
            status, body = self.ask(path, token)
            if status != 200:
                return []
            page = json.loads(body)
            topics += [one["match"] for one in page["subscriptions"]]
            following = page.get("next")
            path = following and urllib.parse.urlsplit(following)._replace(scheme="", netloc="").geturl()
        return topics


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidings", required=True, help="the hub's program")
    parser.add_argument("--subscriptions", type=int, default=100_000)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    token = subprocess.run(
        [options.tidings, "token", "make", "--issuer", ISSUER, "--key", KEY, "--audience", URL, "--subscribe", "*"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        redis = free_port()
        server = subprocess.Popen(
            ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"],
            stdout=subprocess.DEVNULL,
        )
        hubs = []
        try:
            for name in ("one", "two", "three"):
                hubs.append(Hub(options.tidings, folder, name, redis))
                until("a hub that is ready", hubs[-1].is_ready)
            run(hubs, token, options.subscriptions)
        finally:
            for process in [*(hub.process for hub in hubs), server]:
                process.kill()
                process.wait()


def run(hubs, token, wanted):
    begun = time.monotonic()
    living = [set(), set(), set()]
    for number in range(wanted // PER_STREAM):
        living[number % 3] |= hubs[number % 3].subscribe(number)
    for hub in hubs:
        until("all subscriptions", lambda hub=hub: hub.count(token) == wanted, DEADLINE_SECS)
    print(f"{wanted} subscriptions are listed by all hubs after {time.monotonic() - begun:.1f} s", flush=True)
    hubs[0].process.kill()
    killed = time.monotonic()
    left = living[1] | living[2]
    for name, hub in zip(("two", "three"), hubs[1:]):
        until("the subscriptions that are left", lambda hub=hub: hub.count(token) == len(left), DEADLINE_SECS)
        after = time.monotonic() - killed
        begun = time.monotonic()
        listed = hub.listed(token)
        took = time.monotonic() - begun
        if len(listed) != len(left) or set(listed) != left:
            raise RuntimeError(f"{name} lists {len(listed)} subscriptions, {len(set(listed) ^ left)} of them wrong")
        print(f"{name}: complete {after:.1f} s after the kill; {len(listed)} listed in {took:.2f} s", flush=True)


if __name__ == "__main__":
    main()
