"""An independent reader of prints and ids, written from docs/formats/history.md alone.

Publishes to the real binary, reads its file with Python's SQLite, computes every print and every id
from the rows, and compares them with the columns and with what the hub sent. Then it restores an older
copy of the file: the ids of the lost line must be unknown.
"""

import http.client
import json
import shutil
import sqlite3
import urllib.parse

import pytest

from support.hub import PATH, Hub
from support.mercure import ISSUER, SECRET, token
from support.waiting import DEADLINE_SECS

PUBLIC_URL = "https://hub.test" + PATH
TOPIC = "https://example.com/ids"
TOML = f"""
[hub]
public_url = "{PUBLIC_URL}"
[[listen]]
address = "127.0.0.1:0"
[[auth.issuers]]
issuer = "{ISSUER}"
key = "{SECRET}"
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
    """The contents of a history's file."""

    def __init__(self, path):
        connection = sqlite3.connect(path)
        connection.row_factory = sqlite3.Row
        self.meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        self.rows = connection.execute("SELECT * FROM updates ORDER BY position").fetchall()
        self.prints = dict(connection.execute("SELECT position, print FROM prints").fetchall())
        self.prints.update((row["position"], row["print"]) for row in self.rows)
        connection.close()
        self.epoch = Epoch(self.meta["epoch"])

    def cursors(self):
        """Returns the hub's id of every position whose print is known."""
        return {self.epoch.id(*entry): entry[0] for entry in self.prints.items()}


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
        """Opens a stream; returns it with the cursor in its head."""
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
    """Publishes updates that use every field; returns the ids in the hub's answers."""
    return [
        peer.publish(topic=TOPIC, data=data),
        peer.publish(topic=TOPIC, data=""),
        peer.publish(topic=[TOPIC, "https://example.com/é", "b"], data=f"{data}\r\n\0 \u2028é😀"),
        peer.publish(topic=TOPIC, data=data, private="on", type="note", retry=str(MASK)),
        peer.publish(topic=TOPIC, data=data, id=f"urn:example:{data}"),
        peer.publish(topic=TOPIC, data=data * 5000, retry="0"),
    ]


class Story:
    """What a hub, the same hub later, and a hub on the older copy sent, and the contents of their files."""

    def __init__(self, folder):
        self.history, self.bearer = folder / "history.db", token(aud=PUBLIC_URL)
        copy = folder / "copy.db"
        self.before_the_copy()
        shutil.copy(self.history, copy)
        self.lost_line()
        shutil.copy(copy, self.history)
        self.line_from_the_copy()

    def begin(self):
        hub = Hub(TOML.replace("HISTORY", str(self.history)))
        return hub, Peer(hub, self.bearer)

    def end(self, hub):
        assert hub.stop() == 0
        return File(self.history)

    def before_the_copy(self):
        hub, peer = self.begin()
        self.answered = published(peer, "kept")
        # Each of these causes an event when it begins and when it ends; retention keeps the last ones.
        for _ in range(3):
            stream, _ = peer.follow()
            stream.close()
        self.subscriptions_ended = hub.wait_for_metric("tidings_presence_subscriptions", 0)
        self.answered += published(peer, "more")
        stream, _ = peer.follow("earliest")
        self.sent = received(stream, len(self.answered))
        stream.close()
        self.kept = self.end(hub)

    def lost_line(self):
        hub, peer = self.begin()
        stream, standing = peer.follow()
        stream.close()
        lost = published(peer, "lost")
        self.standing = {"a stream": standing, "a poll": peer.poll(lost[-1])}
        self.lost = self.end(hub)

    def line_from_the_copy(self):
        hub, peer = self.begin()
        self.given = published(peer, "new")

        def answered(cursor):
            stream, answer = peer.follow(cursor)
            stream.close()
            return answer

        lost = [*sorted(self.gone()), "urn:example:lost"]
        self.of_the_lost_line = {cursor: answered(cursor) for cursor in lost}
        known = [*self.kept.cursors(), *self.given]
        self.of_this_line = {cursor: answered(cursor) for cursor in known}
        self.counted_as_lost = hub.metric("tidings_history_cursors_lost_total")
        self.new = self.end(hub)

    def gone(self):
        """Returns the hub's ids of the updates that only the lost line had."""
        last = self.kept.rows[-1]["position"]
        return {cursor for cursor, position in self.lost.cursors().items() if position > last}


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    return Story(tmp_path_factory.mktemp("history"))


@pytest.mark.parametrize(
    "data, bits, expected",
    [
        (bytes(range(15)), 64, 0xA129CA6149BE45E5),
        (b"", 128, bytes.fromhex("a3817f04ba25a8e66df67214c7550293")),
    ],
    ids=["64 bits", "128 bits"],
)
def test_siphash_gives_the_examples_of_its_reference(data, bits, expected):
    """The key and the input count up from 0."""
    assert siphash(bytes(range(16)), data, bits) == expected


@pytest.mark.parametrize("line", ["kept", "lost", "new"])
def test_prints_are_those_of_the_document(story, check, line):
    file = getattr(story, line)
    for row in file.rows:
        position = row["position"]
        before = file.prints.get(position - 1)
        if position == 1 or before is not None:
            check(f"print at {position}", file.epoch.print(before, row), row["print"])


@pytest.mark.parametrize("line", ["kept", "lost", "new"])
def test_ids_are_those_of_the_document(story, check, line):
    file = getattr(story, line)
    for row in file.rows:
        if not row["own_id"]:
            found = file.epoch.id(row["position"], row["print"])
            check(f"id at {row['position']}", found, row["id"])


def test_subscriptions_end(story):
    assert story.subscriptions_ended


def test_what_was_answered_is_what_is_sent(story):
    assert story.sent == story.answered


def test_no_update_is_without_a_print(story):
    assert story.kept.meta["unprinted_through"] == 0


def test_the_wire_has_the_ids_of_the_file(story):
    rows = story.kept.rows
    made = {row["id"] for row in rows if not row["own_id"] and row["presence"] is None}
    assert made == set(story.answered) - {"urn:example:kept", "urn:example:more"}


@pytest.mark.parametrize("reader", ["a stream", "a poll"])
def test_a_reader_stands_where_the_file_says(story, reader):
    assert story.standing[reader] in story.lost.cursors()


def test_no_id_is_given_twice(story):
    assert story.gone().isdisjoint(story.given)


def test_ids_of_the_lost_line_are_unknown(story, check):
    for cursor, answer in story.of_the_lost_line.items():
        check(cursor, answer, "earliest")


def test_ids_of_this_line_are_known(story, check):
    for cursor, answer in story.of_this_line.items():
        check(cursor, answer, cursor)


def test_lost_cursors_are_counted(story):
    assert story.counted_as_lost == len(story.gone())
