"""The attackers of `attack.py`: each holds what a hub may not hold without bound, for a while.

An attacker is a function of its `Target` that runs until the target's time is over. It connects from the
address that it was given, takes up connections again that the hub ends, and counts what it was refused.
"""

import base64
import json
import random
import select
import socket
import ssl
import struct
import time
import zlib

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from support.hub import PATH
from support.mercure import token

# More than the largest window of a socket: nobody takes it.
BULKY = "https://example.com/bulky"
PAUSE_SECS = 0.05


class Target:
    """Where to, from where, how long, and what came of it."""

    def __init__(self, ports, source, secs, seed, bearer):
        self.ports = ports
        self.source = source
        self.end = time.monotonic() + secs
        self.random = random.Random(seed)
        self.bearer = bearer
        self.counts = {}

    def running(self):
        return time.monotonic() < self.end

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number

    def connect(self, kind="plain", receive_bytes=None, alpn=None):
        """Returns a connection, or nothing if the hub does not take one now."""
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(5)
        try:
            sock.bind((self.source, 0))
            sock.connect(("127.0.0.1", self.ports[kind]))
            if kind == "tls":
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                context.set_alpn_protocols([alpn or "http/1.1"])
                sock = context.wrap_socket(sock, server_hostname="localhost")
        except OSError:
            self.count("connections refused")
            sock.close()
            time.sleep(PAUSE_SECS)
            return None
        self.count("connections")
        return sock

    def head(self, method, path, fields=()):
        """Returns the head of an HTTP/1.1 request, with a token if this attacker has one."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in fields]
        if self.bearer:
            lines.append("Authorization: Bearer " + token())
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def http1(self, requests, kind="plain", receive_bytes=4096):
        """Keeps `requests` (bytes, one for a connection) open without reading, and opens again what ended."""
        held = []
        while self.running():
            while len(held) < len(requests) and self.running():
                sock = self.connect(kind, receive_bytes)
                if sock is None:
                    break
                try:
                    sock.sendall(requests[len(held)])
                except OSError:
                    self.count("ended early")
                    sock.close()
                    break
                sock.setblocking(False)
                held.append(sock)
            time.sleep(PAUSE_SECS * 4)
            gone = [sock for sock in held if has_ended(sock)]
            self.count("ended by the hub", len(gone))
            for sock in gone:
                held.remove(sock)
                sock.close()
        for sock in held:
            sock.close()


def has_ended(sock):
    """Says whether the hub reset a connection. What it sent stays unread, so an orderly end is not seen."""
    poll = select.poll()
    poll.register(sock, select.POLLERR | select.POLLHUP)
    return bool(poll.poll(0))


class Http2:
    """An HTTP/2 connection whose windows are shut unless `window` says otherwise."""

    def __init__(self, target, kind, window):
        self.target = target
        self.socket = target.connect(kind, alpn="h2")
        self.connection = None
        if self.socket is None:
            return
        config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        self.connection.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.connection.initiate_connection()
        self.statuses = {}
        self.reset = 0
        self.allowance = {}
        self.flush()

    def flush(self):
        if self.connection is None:
            return False
        try:
            self.socket.sendall(self.connection.data_to_send())
        except OSError:
            self.close()
        return self.connection is not None

    def turn(self, secs=PAUSE_SECS):
        """Takes what came, answers pings and settings; returns whether the connection lives."""
        end = time.monotonic() + secs
        while self.connection is not None:
            pending = getattr(self.socket, "pending", lambda: 0)()
            left = max(0, end - time.monotonic())
            if not pending and not select.select([self.socket], [], [], left)[0]:
                break
            try:
                data = self.socket.recv(65536)
                if not data:
                    self.close()
                    return False
                for event in self.connection.receive_data(data):
                    self.on_event(event)
            except (OSError, h2.exceptions.ProtocolError):
                self.target.count("connections ended by the hub")
                self.close()
                return False
            self.flush()
            if time.monotonic() >= end:
                break
        return self.connection is not None

    def on_event(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            status = dict(event.headers)[b":status"].decode()
            self.target.count("status " + status)
        elif isinstance(event, h2.events.StreamReset):
            self.target.count("streams reset")
            self.reset += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.target.count("connections ended by the hub")

    def request(self, method, path, fields=(), body=None, end=True, **pseudo):
        """Opens a stream; returns its number, or nothing if the connection has no room for it."""
        if self.connection is None:
            return None
        try:
            stream = self.connection.get_next_available_stream_id()
            headers = [(":method", method)]
            headers += [(":" + name, value) for name, value in pseudo.items()]
            headers += [(":scheme", "http"), (":authority", "localhost"), (":path", path)]
            headers += list(fields)
            if self.target.bearer:
                headers.append(("authorization", "Bearer " + token()))
            self.connection.send_headers(stream, headers, end_stream=end and body is None)
            if body is not None:
                self.data(stream, body, end)
            self.flush()
            return stream
        except (h2.exceptions.ProtocolError, OSError):
            return None

    def data(self, stream, body, end=False):
        """Sends as much of a body as the hub's windows allow, waiting for them for a second."""
        deadline = time.monotonic() + 1
        while body and self.connection is not None and time.monotonic() < deadline:
            try:
                room = min(
                    self.connection.local_flow_control_window(stream),
                    self.connection.max_outbound_frame_size,
                    len(body),
                )
                if room:
                    last = end and room == len(body)
                    self.connection.send_data(stream, body[:room], end_stream=last)
                    body = body[room:]
                    self.flush()
                else:
                    self.turn(0.02)
            except (h2.exceptions.ProtocolError, OSError):
                return

    def close(self):
        self.connection = None
        self.socket.close()


def multiplexed(target, open_stream, window=0, kind="plain", connections=4, streams=240):
    """Keeps `connections` HTTP/2 connections with `streams` streams each, opened by `open_stream`."""
    peers = []
    while target.running():
        while len(peers) < connections and target.running():
            peer = Http2(target, kind, window)
            if peer.connection is None:
                break
            for number in range(streams):
                if not target.running() or open_stream(peer, number) is None:
                    break
            peers.append(peer)
        for peer in list(peers):
            if not peer.turn(PAUSE_SECS / connections):
                peers.remove(peer)
            # Streams that the hub ended are opened anew, a few at a time.
            elif peer.reset > 0:
                peer.reset -= 1
                open_stream(peer, target.random.randrange(streams))
    for peer in peers:
        if peer.connection is not None:
            peer.close()


# What is held: answers that are not taken.

POLL = f"{PATH}?match=*&last_event_id=earliest"


def polls_http2(target, kind="plain"):
    """Polls over windows of zero: their answers lie at the hub."""
    fields = [("prefer", "wait=0")]
    multiplexed(target, lambda peer, _: peer.request("GET", POLL, fields), kind=kind)


def polls_http2_tls(target):
    polls_http2(target, "tls")


def polls_http1(target):
    """Polls whose answers nobody reads."""
    target.http1([target.head("GET", POLL, [("Prefer", "wait=0")])] * 150)


def polls_http1_tls(target):
    target.http1([target.head("GET", POLL, [("Prefer", "wait=0")])] * 60, "tls")


def streams_http1(target):
    """Event streams that replay everything to nobody."""
    target.http1([target.head("GET", POLL)] * 150)


def streams_http2(target):
    multiplexed(target, lambda peer, _: peer.request("GET", POLL))


def pages_http2(target):
    """Pages of the subscription API, files, metrics: answers of every kind over windows of zero."""
    paths = [PATH + "/subscriptions", "/", "/tidings.js", "/.well-known/mercure-metadata", "/debugger/"]
    multiplexed(target, lambda peer, number: peer.request("GET", paths[number % len(paths)]))


# What is held: what is sent and does not end.

def bodies_http2(target):
    """QUERY bodies and publications that do not end."""
    form = [("content-type", "application/x-www-form-urlencoded")]
    body = b"match=https%3A%2F%2Fexample.com%2F" + b"x" * 900_000

    def open_stream(peer, number):
        method = "QUERY" if number % 2 else "POST"
        return peer.request(method, PATH, form, body, end=False)

    multiplexed(target, open_stream, window=65535, connections=2, streams=100)


def bodies_http1(target):
    """The same over connections of their own."""
    fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "1000000")]
    requests = [target.head(method, PATH, fields) + b"topic=a&data=" + b"x" * 900_000 for method in ("POST", "QUERY")]
    target.http1(requests * 50)


def messages_http2(target):
    """WebSockets with a text that does not end; pings are answered."""
    part = bytes([0x01, 0xFF]) + struct.pack("!Q", 1_000_000) + bytes(4) + b"x" * 1_000_000

    def open_stream(peer, _):
        return peer.request(
            "CONNECT", PATH + "?match=https%3A%2F%2Fexample.com%2Fa", [("sec-websocket-version", "13")],
            part, end=False, protocol="websocket",
        )

    multiplexed(target, open_stream, window=65535, connections=1, streams=100)


def handshake(target, path, extensions=None):
    key = base64.b64encode(bytes(16)).decode()
    fields = [
        ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key),
    ]
    if extensions:
        fields.append(("Sec-WebSocket-Extensions", extensions))
    return target.head("GET", path, fields)


def messages_http1(target):
    """Texts in parts that do not end, over WebSockets of their own."""
    part = bytes([0x01, 0xFF]) + struct.pack("!Q", 1_000_000) + bytes(4) + b"x" * 900_000
    target.http1([handshake(target, PATH + "?match=a") + part] * 100)


def bombs(target):
    """Compressed texts that become a thousand times as long."""
    compress = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = compress.compress(bytes(8_000_000)) + compress.flush(zlib.Z_SYNC_FLUSH)
    bomb = bomb[:-4]
    frame = bytes([0xC1, 0xFF]) + struct.pack("!Q", len(bomb)) + bytes(4) + bomb
    target.http1([handshake(target, PATH + "?match=a", "permessage-deflate") + frame] * 60)


def inflating(target):
    """Compressed texts at the echo of the page that tests networks, as fast as they are taken."""
    compress = zlib.compressobj(9, zlib.DEFLATED, -15)
    text = compress.compress(b"x" * 60_000) + compress.flush(zlib.Z_SYNC_FLUSH)
    text = text[:-4]
    frame = bytes([0xC1, 0xFE]) + struct.pack("!H", len(text)) + bytes(4) + text
    request = handshake(target, "/diagnose/echo", "permessage-deflate") + frame * 2_000
    target.http1([request] * 8, receive_bytes=None)


def sockjs(target):
    """Sessions that nobody receives from, and texts for them."""
    body = json.dumps(["x" * 60_000]).encode()
    while target.running():
        sock = target.connect()
        if sock is None:
            continue
        try:
            base = f"/sockjs/000/{target.random.getrandbits(60):x}"
            sock.sendall(target.head("POST", base + "/xhr", [("Content-Length", "0")]))
            sock.recv(65536)
            fields = [("Content-Length", str(len(body))), ("Content-Type", "text/plain")]
            for _ in range(4):
                sock.sendall(target.head("POST", base + "/xhr_send", fields) + body)
            sock.sendall(target.head("POST", base + "/xhr_streaming", [("Content-Length", "0")]))
            target.count("sessions")
        except OSError:
            target.count("ended early")
        sock.close()


# What is held: patterns, prefixes, heads.

def patterns(target):
    """Patterns that compile to much and match slowly."""
    form = [("content-type", "application/x-www-form-urlencoded")]

    def open_stream(peer, number):
        # Alike, so that each update is compared with all; each of several KiB; none asked for twice.
        some = "&".join(f"match_urlpattern=*://*/:a(%5Cw%7B0,16%7D){number * 100 + n}*" for n in range(100))
        return peer.request("QUERY", PATH, form, some.encode())

    multiplexed(target, open_stream, window=65535, connections=1)


def prefixes(target):
    """Subscriptions of one ZeroMQ peer to ever new prefixes, and greetings that do not end."""
    while target.running():
        sock = target.connect("zeromq")
        if sock is None:
            continue
        try:
            sock.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))
            sock.sendall(b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB")
            end = min(target.end, time.monotonic() + 5)
            while time.monotonic() < end:
                some = b"".join(
                    b"\x00\x29\x01" + target.random.randbytes(20).hex().encode() for _ in range(200)
                )
                sock.sendall(some)
                target.count("prefixes", 200)
        except OSError:
            target.count("ended early")
        sock.close()


def heads(target):
    """Heads of requests and TLS handshakes that do not end."""
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000
    target.http1([head] * 200)


def headers_http2(target):
    """Long header lists on many streams, reset as soon as they are sent."""
    fields = [(f"x-{n}", "y" * 200) for n in range(60)]

    def open_stream(peer, _):
        stream = peer.request("GET", POLL, fields)
        if stream is not None and peer.connection is not None:
            try:
                peer.connection.reset_stream(stream)
                peer.flush()
            except h2.exceptions.ProtocolError:
                return None
        return stream

    while target.running():
        multiplexed(target, open_stream, window=65535, connections=2, streams=1000)


def garbage(target):
    """Bytes that mean nothing, at every port."""
    starts = [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"<policy-file-request/>", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"\xff"]
    while target.running():
        sock = target.connect(target.random.choice(["plain", "tls", "zeromq"])) if target.random.random() < 0.3 else target.connect()
        if sock is None:
            continue
        try:
            sock.sendall(target.random.choice(starts) + target.random.randbytes(target.random.randrange(5000)))
            if target.random.random() < 0.5:
                sock.settimeout(0.05)
                sock.recv(4096)
        except (OSError, ValueError):
            target.count("ended early")
        sock.close()


def tokens(target):
    """Tokens that do not fit, long ones, and publications with them."""
    while target.running():
        sock = target.connect()
        if sock is None:
            continue
        try:
            for _ in range(50):
                bad = token() if target.random.random() < 0.3 else "e30." + target.random.randbytes(200).hex() + ".x"
                bad = bad[:-2] + "zz"
                body = b"topic=a&data=" + b"x" * target.random.randrange(20_000)
                head = (
                    f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bad}\r\n"
                    f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                sock.sendall(head.encode() + body)
                target.count("tokens")
                if not sock.recv(65536):
                    break
        except OSError:
            target.count("ended early")
        sock.close()


def churn(target):
    """Subscribers that come and go, each with a presence event for those who watch."""
    while target.running():
        sock = target.connect()
        if sock is None:
            continue
        try:
            topic = f"{PATH}?match=https%3A%2F%2Fexample.com%2F{target.random.randrange(10_000)}"
            sock.sendall(target.head("GET", topic))
            sock.recv(4096)
            target.count("visits")
        except OSError:
            target.count("ended early")
        sock.close()


ATTACKERS = {
    function.__name__: function
    for function in (
        polls_http2, polls_http2_tls, polls_http1, polls_http1_tls, streams_http1, streams_http2, pages_http2,
        bodies_http2, bodies_http1, messages_http2, messages_http1, bombs, inflating, sockjs, patterns, prefixes,
        heads, headers_http2, garbage, tokens, churn,
    )
}
