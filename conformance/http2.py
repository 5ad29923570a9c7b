"""HTTP/2 by libraries that nobody here wrote: httpx for what applications do, h2 for single frames.

Over TLS (by ALPN) and in cleartext (prior knowledge): publishing, a hundred event streams on one
connection, resuming, streams that are reset. Prints `N passed, N failed`.
"""

import asyncio
import datetime
import faulthandler
import ipaddress
import pathlib
import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events
import httpx
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, PingFrame

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support.hub import DEADLINE_SECS, PATH, Checks, Hub  # noqa: E402

STREAMS = 100
WHOLE_SECS_MAX = 180
ISSUER = "https://issuer.example.com"
SECRET = "0123456789abcdef0123456789abcdef"
PUBLIC_URL = "https://localhost" + PATH
TOPIC = "https://example.com/books/1"


def make_certificate():
    """Returns a certificate for this machine and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def make_token():
    claims = {
        "iss": ISSUER,
        "aud": PUBLIC_URL,
        "exp": 4102444800,
        "authorization_details": [
            {
                "type": "https://mercure.rocks/authorization-detail",
                "actions": ["publish", "subscribe"],
                "topics": [{"match": "*"}],
            }
        ],
    }
    return jwt.encode(claims, SECRET, "HS256", headers={"typ": "at+jwt"})


def start(certificate, key):
    toml = f"""
[hub]
public_url = "{PUBLIC_URL}"
[[listen]]
address = "127.0.0.1:0"
[[listen]]
address = "127.0.0.1:0"
tls = true
[tls]
certificate = "FOLDER/certificate.pem"
key = "FOLDER/key.pem"
[[auth.issuers]]
issuer = "{ISSUER}"
key = "{SECRET}"
[subscribe]
anonymous = true
[limits]
streams_per_connection_max = 150
[server]
drain_secs = 1
"""
    return Hub(toml, {"certificate.pem": certificate, "key.pem": key})


class Applications:
    """What an application does with httpx: one connection for its streams, one for the rest.

    One would do for the hub, but httpx opens no more than a hundred streams on a connection.
    """

    def __init__(self, hub, kind, context):
        self.hub = hub
        scheme = "https" if kind == "tls" else "http"
        self.url = f"{scheme}://localhost:{hub.port(kind)}{PATH}"
        self.http = self.connection(context)
        self.streams = self.connection(context)

    @staticmethod
    def connection(context):
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        transport = httpx.AsyncHTTPTransport(
            verify=context, http1=False, http2=True, limits=limits, local_address="127.0.0.1"
        )
        return httpx.AsyncClient(transport=transport, timeout=DEADLINE_SECS)

    async def publish(self, data):
        headers = {"Authorization": "Bearer " + make_token()}
        return await self.http.post(self.url, data={"topic": TOPIC, "data": data}, headers=headers)

    async def events(self, count, joined, **query):
        """Reads `count` events; returns the head's answer for the cursor and the events."""
        asked = {"match": TOPIC, **query}
        async with self.streams.stream("GET", self.url, params=asked) as answer:
            joined.release()
            text = ""
            async for part in answer.aiter_text():
                text += part
                if text.count("\n\n") >= count:
                    break
        events = [dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
                  for block in text.split("\n\n") if "id: " in block]
        return answer, [(event["id"], event["data"]) for event in events]


async def check_applications(checks, hub, kind, context):
    name = f"{kind}: "
    app = Applications(hub, kind, context)
    joined = asyncio.Semaphore(0)
    readers = [asyncio.create_task(app.events(2, joined)) for _ in range(STREAMS)]
    for _ in range(STREAMS):
        await asyncio.wait_for(joined.acquire(), DEADLINE_SECS)
    checks.equal(name + "subscribers", hub.metric("tidings_subscribers"), STREAMS)
    # The operators' own request is the second one.
    checks.equal(name + "connections", hub.metric("tidings_connections"), 2)
    published = [await app.publish(data) for data in ("first", "second")]
    for answer in published:
        checks.equal(name + "status", (answer.status_code, answer.http_version), (200, "HTTP/2"))
    ids = [answer.text for answer in published]
    expected = list(zip(ids, ("first", "second")))
    for answer, events in await asyncio.wait_for(asyncio.gather(*readers), DEADLINE_SECS):
        checks.equal(name + "version", answer.http_version, "HTTP/2")
        checks.equal(name + "events", events, expected)
        checks.equal(name + "no fields of a connection", "transfer-encoding" in answer.headers, False)
    answer, events = await app.events(1, joined, last_event_id=ids[0])
    checks.equal(name + "cursor", answer.headers["mercure-last-event-id"], ids[0])
    checks.equal(name + "resumed", events, expected[1:])
    answer, events = await app.events(2, joined, last_event_id="urn:unknown")
    checks.equal(name + "unknown cursor", answer.headers["mercure-last-event-id"], "earliest")
    await check_polls(checks, name, app, ids)
    refused = await app.http.post(app.url, data={"topic": TOPIC})
    challenge = refused.headers["www-authenticate"]
    checks.equal(name + "no token", (refused.status_code, challenge.split("=")[0]),
                 (401, "Bearer resource_metadata"))
    wrong = await app.http.put(app.url)
    checks.equal(name + "Allow", (wrong.status_code, "POST" in wrong.headers["allow"]), (405, True))
    await app.http.aclose()
    await app.streams.aclose()
    checks.equal(name + "gone", hub.wait_for_metric("tidings_subscribers", 0), True)
    checks.equal(name + "closed", hub.wait_for_metric("tidings_connections", 1), True)


async def check_polls(checks, name, app, ids):
    """Long polling: many wait on one connection for the same update."""
    def poll(wait, **query):
        headers = {"Prefer": f"wait={wait}"}
        return app.streams.get(app.url, params={"match": TOPIC, **query}, headers=headers)

    kept = (await poll(0, last_event_id=ids[0])).json()
    checks.equal(name + "polled", [update["data"] for update in kept["updates"]], ["second"])
    # httpx ends no stream before its connection, so those of before still count.
    others = app.hub.metric("tidings_subscribers")
    waiting = [asyncio.create_task(poll(50)) for _ in range(20)]
    joined = await asyncio.to_thread(app.hub.wait_for_metric, "tidings_subscribers", others + 20)
    checks.equal(name + "polls wait", joined, True)
    third = (await app.publish("third")).text
    for answer in await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE_SECS):
        checks.equal(name + "poll", (answer.http_version, answer.json()["last_event_id"]), ("HTTP/2", third))


class Frames:
    """One connection by hand."""

    def __init__(self, hub, kind, context):
        self.socket = socket.create_connection(("127.0.0.1", hub.port(kind)), DEADLINE_SECS)
        if kind == "tls":
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.scheme = "https" if kind == "tls" else "http"
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.state.initiate_connection()
        self.waiting = []
        self.flush()

    def flush(self):
        self.socket.sendall(self.state.data_to_send())

    def ask(self, method, path, body=None, **fields):
        stream = self.state.get_next_available_stream_id()
        head = {":method": method, ":path": path, ":scheme": self.scheme, ":authority": "localhost"}
        self.state.send_headers(stream, [*head.items(), *fields.items()], end_stream=body is None)
        if body is not None:
            self.state.send_data(stream, body, end_stream=True)
        self.flush()
        return stream

    def wait(self, wanted):
        """Returns the first event that is wanted; the others are kept."""
        while True:
            for index, event in enumerate(self.waiting):
                if wanted(event):
                    return self.waiting.pop(index)
            data = self.socket.recv(65536)
            if not data:
                return None
            for event in self.state.receive_data(data):
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.waiting.append(event)
            self.flush()

    def status(self, stream):
        event = self.wait(
            lambda event: isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream
        )
        return dict(event.headers)[":status"]

    def publish(self, data):
        form = f"topic={TOPIC}&data={data}".encode()
        fields = {"authorization": "Bearer " + make_token()}
        fields["content-type"] = "application/x-www-form-urlencoded"
        return self.status(self.ask("POST", PATH, form, **fields))


def check_frames(checks, hub, kind, context):
    name = f"{kind}, frames: "
    frames = Frames(hub, kind, context)
    query = f"{PATH}?match={TOPIC}"
    streams = [frames.ask("GET", query) for _ in range(STREAMS)]
    for stream in streams:
        checks.equal(name + "status", frames.status(stream), "200")
    checks.equal(name + "subscribers", hub.metric("tidings_subscribers"), STREAMS)
    # Every second stream is reset; nothing of it stays, and the others go on.
    for stream in streams[::2]:
        frames.state.reset_stream(stream, error_code=8)
    frames.flush()
    left = hub.wait_for_metric("tidings_subscribers", STREAMS // 2)
    checks.equal(name + "subscribers after the resets", left, True)
    checks.equal(name + "publishing goes on", frames.publish("after"), "200")
    for stream in streams[1::2]:
        event = frames.wait(
            lambda event, stream=stream: isinstance(event, h2.events.DataReceived)
            and event.stream_id == stream
            and b"data: after\n\n" in event.data
        )
        checks.equal(name + "event", event is not None, True)
    # Opened and reset in one breath, far more often than streams are allowed at once.
    for _ in range(10):
        burst = [frames.ask("GET", query) for _ in range(20)]
        for stream in burst:
            frames.state.reset_stream(stream, error_code=8)
        frames.flush()
        checks.equal(name + "publishing goes on", frames.publish("burst"), "200")
    left = hub.wait_for_metric("tidings_subscribers", STREAMS // 2)
    checks.equal(name + "subscribers after the bursts", left, True)
    frames.socket.close()
    checks.equal(name + "gone", hub.wait_for_metric("tidings_subscribers", 0), True)
    checks.equal(name + "matchers gone", hub.wait_for_metric("tidings_matchers", 0), True)
    checks.equal(name + "closed", hub.wait_for_metric("tidings_connections", 1), True)


def check_drain(checks, hub, context):
    """A hub that stops ends its streams and says so, instead of cutting the connection."""
    frames = Frames(hub, "tls", context)
    streams = [frames.ask("GET", f"{PATH}?match={TOPIC}") for _ in range(5)]
    for stream in streams:
        frames.status(stream)
    hub.terminate()
    ended, goodbyes = set(), []
    for frame in frames_to_the_end(frames.socket):
        if isinstance(frame, DataFrame) and "END_STREAM" in frame.flags:
            ended.add(frame.stream_id)
        elif isinstance(frame, GoAwayFrame):
            goodbyes.append((frame.last_stream_id, frame.error_code))
    checks.equal("drain: the streams end", ended, set(streams))
    checks.equal("drain: GOAWAY", goodbyes[-1:], [(streams[-1], 0)])
    checks.equal("drain: exit code", hub.wait(), 0)


def frames_to_the_end(connection):
    """Reads frames until the hub closes, and answers its pings.

    The library h2 takes a connection for closed after the first GOAWAY, while a graceful one goes on.
    """
    data = b""
    while part := connection.recv(65536):
        data += part
        while len(data) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(data[:9]))
            if len(data) < 9 + length:
                break
            frame.parse_body(memoryview(data[9:9 + length]))
            data = data[9 + length:]
            if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
                answer = PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"])
                connection.sendall(answer.serialize())
            yield frame


def main():
    # Whatever hangs is shown instead of holding up everything else.
    faulthandler.dump_traceback_later(WHOLE_SECS_MAX, exit=True)
    certificate, key = make_certificate()
    hub = start(certificate, key)
    checks = Checks()
    for kind in ("plain", "tls"):
        def context():
            return ssl.create_default_context(cadata=certificate.decode())

        asyncio.run(check_applications(checks, hub, kind, context()))
        check_frames(checks, hub, kind, context())
    check_drain(checks, hub, ssl.create_default_context(cadata=certificate.decode()))
    checks.finish()


if __name__ == "__main__":
    main()
