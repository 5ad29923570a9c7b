"""HTTP/2 with independent libraries: httpx for what applications do, h2 for single frames.

Over TLS (by ALPN) and in cleartext (prior knowledge): publishing, a hundred event streams on one
connection, resuming, streams that are reset.
"""

import asyncio
import socket
import ssl

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, PingFrame

from support.certificates import make_certificate
from support.hub import PATH
from support.mercure import ISSUER, PUBLIC_URL, SECRET, token
from support.waiting import DEADLINE_SECS

STREAMS = 100
TOPIC = "https://example.com/books/1"


TOML = f"""
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


@pytest.fixture(scope="module")
def certificate():
    """Returns the hub's certificate and its key, in PEM."""
    return make_certificate()


@pytest.fixture(scope="module")
def start_with_tls(start_hub, certificate):
    """Starts hubs with a listener in cleartext and one with TLS."""
    files = dict(zip(("certificate.pem", "key.pem"), certificate))
    return lambda: start_hub(TOML, files)


@pytest.fixture(scope="module")
def hub(start_with_tls):
    return start_with_tls()


@pytest.fixture
def context(certificate):
    return ssl.create_default_context(cadata=certificate[0].decode())


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
        headers = {"Authorization": "Bearer " + token()}
        return await self.http.post(self.url, data={"topic": TOPIC, "data": data}, headers=headers)

    async def events(self, count, joined, **query):
        """Reads `count` events; returns the cursor in the head, and the events."""
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


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_applications(hub, kind, context, check):
    asyncio.run(applications(hub, kind, context, check))


async def applications(hub, kind, context, check):
    app = Applications(hub, kind, context)
    joined = asyncio.Semaphore(0)
    readers = [asyncio.create_task(app.events(2, joined)) for _ in range(STREAMS)]
    for _ in range(STREAMS):
        await asyncio.wait_for(joined.acquire(), DEADLINE_SECS)
    check("subscribers", hub.metric("tidings_subscribers"), STREAMS)
    # The operators' own request is the second one; the one before it may be closing still.
    check("connections", hub.wait_for_metric("tidings_connections", 2))
    published = [await app.publish(data) for data in ("first", "second")]
    for answer in published:
        check("status", (answer.status_code, answer.http_version), (200, "HTTP/2"))
    ids = [answer.text for answer in published]
    expected = list(zip(ids, ("first", "second")))
    for answer, events in await asyncio.wait_for(asyncio.gather(*readers), DEADLINE_SECS):
        check("version", answer.http_version, "HTTP/2")
        check("events", events, expected)
        check("no fields of a connection", "transfer-encoding" in answer.headers, False)
    answer, events = await app.events(1, joined, last_event_id=ids[0])
    check("cursor", answer.headers["mercure-last-event-id"], ids[0])
    check("resumed", events, expected[1:])
    answer, events = await app.events(2, joined, last_event_id="urn:unknown")
    check("unknown cursor", answer.headers["mercure-last-event-id"], "earliest")
    await polls(app, ids, check)
    refused = await app.http.post(app.url, data={"topic": TOPIC})
    challenge = refused.headers["www-authenticate"]
    check("no token", (refused.status_code, challenge.split("=")[0]),
                 (401, "Bearer resource_metadata"))
    wrong = await app.http.put(app.url)
    check("Allow", (wrong.status_code, "POST" in wrong.headers["allow"]), (405, True))
    await app.http.aclose()
    await app.streams.aclose()
    check("gone", hub.wait_for_metric("tidings_subscribers", 0), True)
    check("closed", hub.wait_for_metric("tidings_connections", 1), True)


async def polls(app, ids, check):
    """Long polling: many polls on one connection wait for the same update."""
    def poll(wait, **query):
        headers = {"Prefer": f"wait={wait}"}
        return app.streams.get(app.url, params={"match": TOPIC, **query}, headers=headers)

    kept = (await poll(0, last_event_id=ids[0])).json()
    check("polled", [update["data"] for update in kept["updates"]], ["second"])
    # httpx ends no stream before its connection, so earlier streams still count.
    others = app.hub.metric("tidings_subscribers")
    waiting = [asyncio.create_task(poll(50)) for _ in range(20)]
    joined = await asyncio.to_thread(app.hub.wait_for_metric, "tidings_subscribers", others + 20)
    check("polls wait", joined, True)
    third = (await app.publish("third")).text
    for answer in await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE_SECS):
        check("poll", (answer.http_version, answer.json()["last_event_id"]), ("HTTP/2", third))


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
        """Returns the first wanted event and keeps the others."""
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
        fields = {"authorization": "Bearer " + token()}
        fields["content-type"] = "application/x-www-form-urlencoded"
        return self.status(self.ask("POST", PATH, form, **fields))


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_streams_that_are_reset(hub, kind, context, check):
    frames = Frames(hub, kind, context)
    query = f"{PATH}?match={TOPIC}"
    streams = [frames.ask("GET", query) for _ in range(STREAMS)]
    for stream in streams:
        check("status", frames.status(stream), "200")
    check("subscribers", hub.metric("tidings_subscribers"), STREAMS)
    # Every second stream is reset; nothing of it stays, and the others continue.
    for stream in streams[::2]:
        frames.state.reset_stream(stream, error_code=8)
    frames.flush()
    left = hub.wait_for_metric("tidings_subscribers", STREAMS // 2)
    check("subscribers after the resets", left, True)
    check("publishing goes on", frames.publish("after"), "200")
    for stream in streams[1::2]:
        event = frames.wait(
            lambda event, stream=stream: isinstance(event, h2.events.DataReceived)
            and event.stream_id == stream
            and b"data: after\n\n" in event.data
        )
        check("event", event is not None, True)
    # Opened and reset at once, far more often than the number of streams allowed at a time.
    for _ in range(10):
        burst = [frames.ask("GET", query) for _ in range(20)]
        for stream in burst:
            frames.state.reset_stream(stream, error_code=8)
        frames.flush()
        check("publishing goes on", frames.publish("burst"), "200")
    left = hub.wait_for_metric("tidings_subscribers", STREAMS // 2)
    check("subscribers after the bursts", left, True)
    frames.socket.close()
    check("gone", hub.wait_for_metric("tidings_subscribers", 0), True)
    check("matchers gone", hub.wait_for_metric("tidings_matchers", 0), True)
    check("closed", hub.wait_for_metric("tidings_connections", 1), True)


def test_a_hub_that_stops_ends_its_streams(start_with_tls, context, check):
    """It ends them with END_STREAM, instead of cutting the connection."""
    hub = start_with_tls()
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
    check("the streams end", ended, set(streams))
    check("GOAWAY", goodbyes[-1:], [(streams[-1], 0)])
    check("exit code", hub.wait(), 0)


def frames_to_the_end(connection):
    """Reads frames until the hub closes, and answers its pings.

    The library h2 treats a connection as closed after the first GOAWAY, but a graceful one stays open.
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
