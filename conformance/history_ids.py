"""Prints and ids by a reader that nobody of the hub wrote: docs/formats/history.md alone says how.

Publishes to the real binary, reads its file with Python's SQLite, computes every print and every id
from the rows, and compares them with the columns and with what the hub sent. Then the file goes
back to an older copy, and the ids of the line that is gone must be nobody's. Prints
`N passed, N failed`.
"""

import http.client
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support.hub import BINARY, DEADLINE_SECS, PATH, Checks, Hub  # noqa: E402

PUBLIC_URL = "https://hub.test" + PATH
ISSUER = "https://issuer.test"
KEY = "a key that is only good for the tests of this hub"
TOPIC = "https://example.com/ids"
TOML = f"""
[hub]
public_url = "{PUBLIC_URL}"
[[listen]]
address = "127.0.0.1:0"
[[auth.issuers]]
issuer = "{ISSUER}"
key = "{KEY}"
[presence]
enabled = true
grace_secs = 0
retain_events = 1
[history]
path = "HISTORY"
"""
MASK = (1 << 64) - 1


def siphash(key, data, bits):
    """SipHash-2-4 with 64 or 128 bits of output, after its paper and reference implementation."""
    k0, k1 = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    if bits == 128:
        v[1] ^= 0xEE

    def rotated(word, by):
        return ((word << by) | (word >> (64 - by))) & MASK

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotated(v[1], 13) ^ v[0]
            v[0] = rotated(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotated(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotated(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotated(v[1], 17) ^ v[2]
            v[2] = rotated(v[2], 32)

    whole = len(data) - len(data) % 8
    last = data[whole:] + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, whole + 8, 8):
        word = int.from_bytes((data[:whole] + last)[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xEE if bits == 128 else 0xFF
    rounds(4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    if bits == 64:
        return first
    v[1] ^= 0xDD
    rounds(4)
    second = v[0] ^ v[1] ^ v[2] ^ v[3]
    return first.to_bytes(8, "little") + second.to_bytes(8, "little")


def number(value):
    return (value & MASK).to_bytes(8, "little")


def text(value):
    encoded = value.encode()
    return number(len(encoded)) + encoded


def texts(values):
    return number(len(values)) + b"".join(text(value) for value in values)


def optional(value, encode):
    return number(0) if value is None else number(1) + encode(value)


class Epoch:
    """The keys of a history."""

    def __init__(self, secret):
        self.one, self.two = secret[:16], secret[16:]
        self.digest_key = siphash(self.one, b"tidings digest", 128)
        self.print_key = siphash(self.one, b"tidings print", 128)

    def print(self, before, row):
        names, _, targets = row["topics"].partition("\n\n")
        readers = number(row["private"])
        if row["private"] == 2:
            readers += texts(targets.split("\n"))
        presence = {None: 0, 1: 1, 0: 2}[row["presence"]]
        fields = (
            number(row["position"])
            + number(row["published_ms"])
            + optional(row["id"] if row["own_id"] else None, text)
            + texts(names.split("\n"))
            + readers
            + optional(row["type"], text)
            + optional(row["retry_ms"], number)
            + number(presence)
            + text(row["data"])
        )
        digest = siphash(self.digest_key, fields, 128)
        return siphash(self.print_key, (before or bytes(16)) + digest, 128)

    def id(self, position, print_):
        tag = siphash(self.one, number(position) + print_, 64) & ((1 << 58) - 1)
        masked = position ^ siphash(self.two, number(tag), 64)
        bits = tag >> 10
        for value, width in ((8, 4), (tag & 0x3FF, 10), (masked >> 62, 2), (2, 2)):
            bits = (bits << width) | value
        digits = f"{(bits << 62) | (masked & ((1 << 62) - 1)):032x}"
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return "urn:uuid:" + "-".join(parts)


class File:
    """What a history's file says."""

    def __init__(self, path):
        connection = sqlite3.connect(path)
        connection.row_factory = sqlite3.Row
        self.meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        self.rows = connection.execute("SELECT * FROM updates ORDER BY position").fetchall()
        self.prints = dict(connection.execute("SELECT position, print FROM prints").fetchall())
        self.prints.update((row["position"], row["print"]) for row in self.rows)
        connection.close()
        self.epoch = Epoch(self.meta["epoch"])

    def check(self, checks, name):
        """Checks each print whose predecessor is known, and each id that the hub made."""
        for row in self.rows:
            position = row["position"]
            before = self.prints.get(position - 1)
            if position == 1 or before is not None:
                found = self.epoch.print(before, row)
                checks.equal(f"{name}: print at {position}", row["print"], found)
            if not row["own_id"]:
                found = self.epoch.id(position, row["print"])
                checks.equal(f"{name}: id at {position}", row["id"], found)

    def cursors(self):
        """Returns the hub's id of every position whose print is known."""
        return {self.epoch.id(*entry): entry[0] for entry in self.prints.items()}


def token():
    arguments = ["token", "make", "--issuer", ISSUER, "--audience", PUBLIC_URL, "--key", KEY]
    arguments += ["--publish", "*", "--subscribe", "*"]
    made = subprocess.run([BINARY, *arguments], capture_output=True, text=True, check=True)
    return made.stdout.strip()


class Peer:
    """Publishes and subscribes."""

    def __init__(self, hub, bearer):
        self.hub = hub
        self.headers = {"Authorization": "Bearer " + bearer, "Host": "hub.test"}

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.hub.port(), DEADLINE_SECS)

    def publish(self, **form):
        connection = self.connection()
        headers = {**self.headers, "Content-Type": "application/x-www-form-urlencoded"}
        body = urllib.parse.urlencode(form, doseq=True)
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        answered = answer.read().decode()
        assert answer.status == 200, (answer.status, answered)
        return answered

    def follow(self, cursor=None, query=f"match={TOPIC}"):
        """Opens a stream; returns it with what its head says of the cursor."""
        connection = self.connection()
        headers = dict(self.headers)
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        connection.request("GET", f"{PATH}?{query}", headers=headers)
        answer = connection.getresponse()
        return answer, answer.headers["Mercure-Last-Event-ID"]

    def poll(self, cursor):
        connection = self.connection()
        headers = {**self.headers, "Last-Event-ID": cursor, "Prefer": "wait=0"}
        connection.request("GET", f"{PATH}?match={TOPIC}", headers=headers)
        return json.loads(connection.getresponse().read())["last_event_id"]


def received(stream, count):
    """Returns the ids of the next events."""
    ids = []
    while len(ids) < count:
        line = stream.readline().decode()
        assert line, "the stream ended"
        if line.startswith("id:"):
            ids.append(line[3:].strip())
    return ids


def published(peer, data):
    """Publishes what has something in each field; returns the ids as the hub answered them."""
    return [
        peer.publish(topic=TOPIC, data=data),
        peer.publish(topic=TOPIC, data=""),
        peer.publish(topic=[TOPIC, "https://example.com/é", "b"], data=f"{data}\r\n\0 \u2028é😀"),
        peer.publish(topic=TOPIC, data=data, private="on", type="note", retry=str(MASK)),
        peer.publish(topic=TOPIC, data=data, id=f"urn:example:{data}"),
        peer.publish(topic=TOPIC, data=data * 5000, retry="0"),
    ]


def known_hashes(checks):
    """The examples of the reference implementation: the key and the input count up from 0."""
    key = bytes(range(16))
    data = bytes(range(15))
    checks.equal("SipHash-2-4 with 64 bits", siphash(key, data, 64), 0xA129CA6149BE45E5)
    empty = "a3817f04ba25a8e66df67214c7550293"
    checks.equal("SipHash-2-4 with 128 bits", siphash(key, b"", 128).hex(), empty)


def start(history, bearer):
    hub = Hub(TOML.replace("HISTORY", str(history)))
    return hub, Peer(hub, bearer)


def main():
    checks = Checks()
    known_hashes(checks)
    bearer = token()
    temporary = tempfile.TemporaryDirectory()
    folder = pathlib.Path(temporary.name)
    history, copy = folder / "history.db", folder / "copy.db"

    hub, peer = start(history, bearer)
    ids = published(peer, "kept")
    # Each of these is an event when it begins and when it ends; retention leaves the last.
    for _ in range(3):
        stream, _ = peer.follow()
        stream.close()
    ended = hub.wait_for_metric("tidings_presence_subscriptions", 0)
    checks.equal("subscriptions end", ended, True)
    ids += published(peer, "more")
    stream, _ = peer.follow("earliest")
    checks.equal("what was answered is what is sent", received(stream, len(ids)), ids)
    stream.close()
    checks.equal("the hub ends", hub.stop(), 0)
    kept = File(history)
    kept.check(checks, "kept")
    checks.equal("no update is without a print", kept.meta["unprinted_through"], 0)
    made = {row["id"] for row in kept.rows if not row["own_id"] and row["presence"] is None}
    own = {"urn:example:kept", "urn:example:more"}
    checks.equal("the wire has the ids of the file", made, set(ids) - own)
    shutil.copy(history, copy)

    hub, peer = start(history, bearer)
    stream, standing = peer.follow()
    stream.close()
    lost = published(peer, "lost")
    polled = peer.poll(lost[-1])
    checks.equal("the hub ends again", hub.stop(), 0)
    lost_file = File(history)
    lost_file.check(checks, "lost")
    for name, cursor in (("a stream", standing), ("a poll", polled)):
        checks.equal(f"{name} stands where the file says", cursor in lost_file.cursors(), True)

    shutil.copy(copy, history)
    hub, peer = start(history, bearer)
    new = published(peer, "new")
    last = kept.rows[-1]["position"]
    gone = {cursor for cursor, position in lost_file.cursors().items() if position > last}
    checks.equal("no id is given twice", gone.isdisjoint(new), True)
    for cursor in sorted(gone) + ["urn:example:lost"]:
        stream, answered = peer.follow(cursor)
        stream.close()
        checks.equal(f"{cursor} of the lost line", answered, "earliest")
    for cursor in list(kept.cursors()) + new:
        stream, answered = peer.follow(cursor)
        stream.close()
        checks.equal(f"{cursor} of this line", answered, cursor)
    counted = hub.metric("tidings_history_cursors_lost_total")
    checks.equal("lost cursors are counted", counted, len(gone))
    checks.equal("the hub ends at last", hub.stop(), 0)
    File(history).check(checks, "new")
    checks.finish()


main()
