"""Traces: what the hub exports is decoded by OpenTelemetry's own definitions (PyPI, `opentelemetry-proto`)."""

import contextlib
import http.client
import http.server
import json
import signal
import threading
import time
import urllib.parse

import pytest
import websockets.sync.client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from support import mercure
from support.hub import PATH
from support.mercure import Stream, ask, bearer, post, publish
from support.redis import Redis, is_ready
from support.waiting import until

TOPIC = "https://example.com/1"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


# More than the spans that wait in the hub, and those of the batch that the collector has.
UPDATES = 2500


class Collector(contextlib.AbstractContextManager):
    """A collector: it takes spans, or refuses as often as it is told to: `refusals` has statuses and
    fields, or None to break the connection."""

    def __init__(self):
        self.requests, self.refusals, self.times = [], [], []
        # What a success says.
        self.answer = b""
        # While it is not set, requests are read and not answered.
        self.answering = threading.Event()
        self.answering.set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.times.append(time.monotonic())
                collector.answering.wait()
                refusal = collector.refusals.pop(0) if collector.refusals else (200, {})
                if refusal is None:
                    self.close_connection = True
                    return
                status, answer = refusal
                if status == 200:
                    fields = {name.lower(): value for name, value in self.headers.items()}
                    collector.requests.append((self.path, fields, body))
                self.send_response(status)
                said = collector.answer if status == 200 else b""
                for name, value in {"Content-Length": str(len(said)), **answer}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_):
        self.answering.set()
        self.server.shutdown()
        self.server.server_close()

    def exports(self):
        return [ExportTraceServiceRequest.FromString(body) for _, _, body in list(self.requests)]

    def spans(self, name=None):
        scopes = [
            scope
            for export in self.exports()
            for resource in export.resource_spans
            for scope in resource.scope_spans
        ]
        spans = [span for scope in scopes for span in scope.spans]
        return [span for span in spans if name in (None, span.name)]


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


def traces(collector, **further):
    keys = {"endpoint": collector.url + "/v1/traces", **further}
    return "[traces]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def test_an_update_is_followed_from_its_publisher_to_the_shards(start, collector, check):
    attributes = ["deployment.environment.name=test"]
    hub = start(traces(collector, headers="x-key=a%20b", resource_attributes=attributes))
    streams = [Stream(hub) for _ in range(3)]
    event = post(hub, {**bearer(), "traceparent": PARENT}, topic=TOPIC, data="hello").text
    for stream in streams:
        check("delivered", stream.next()["data"], "hello")
    delivered = lambda: sum(number(span, "tidings.subscribers") for span in collector.spans("deliver"))
    assert until(lambda: delivered() == 3 and collector.spans("publish")), hub.log

    path, headers, _ = collector.requests[0]
    check("path", path, "/v1/traces")
    check("media type", headers["content-type"], "application/x-protobuf")
    check("key", headers["x-key"], "a b")
    (resource,) = collector.exports()[0].resource_spans
    about = {each.key: each.value.string_value for each in resource.resource.attributes}
    check("service", about["service.name"], "tidings")
    check("environment", about["deployment.environment.name"], "test")

    (published,), (committed,) = collector.spans("publish"), collector.spans("commit")
    check("trace", published.trace_id.hex(), TRACE)
    check("parent", published.parent_span_id.hex(), "00f067aa0ba902b7")
    check("kind", published.kind, Span.SPAN_KIND_SERVER)
    check("id", text(published, "messaging.message.id"), event)
    check("topic", text(published, "messaging.destination.name"), TOPIC)
    check("committed within", committed.parent_span_id, published.span_id)
    check("same trace", committed.trace_id.hex(), TRACE)
    times = [published.start_time_unix_nano, committed.start_time_unix_nano]
    times += [committed.end_time_unix_nano, published.end_time_unix_nano]
    check("nested", times, sorted(times))
    # At most one for each shard, whatever the number of subscribers.
    delivers = collector.spans("deliver")
    check("one for each shard", len({number(span, "tidings.shard") for span in delivers}), len(delivers))
    for span in delivers:
        (link,) = span.links
        check("linked", (link.trace_id.hex(), link.span_id.hex()), (TRACE, "00f067aa0ba902b7"))
        check("own trace", span.trace_id.hex() != TRACE)
        check("kind", span.kind, Span.SPAN_KIND_PRODUCER)
        check("writes", [event.name for event in span.events], ["first write", "last write"])
        begun = [span.start_time_unix_nano, *(each.time_unix_nano for each in span.events)]
        check("in order", begun, sorted(begun))
        check("after the publish began", begun[0] >= published.start_time_unix_nano)
    # The hub counts them when it has read the collector's answer.
    check("counted", until(lambda: hub.metric("tidings_trace_spans_total") >= 3))


def test_what_is_read_after_a_restart_is_linked_too(start, collector, check):
    hub = start(traces(collector))
    post(hub, {**bearer(), "traceparent": PARENT}, topic=TOPIC, data="kept")
    publish(hub, topic=TOPIC, data="untraced")
    hub.crash()
    stream = Stream(hub, headers={"Last-Event-ID": "earliest"})
    check("replayed", [stream.next()["data"] for _ in range(2)], ["kept", "untraced"])
    assert until(lambda: collector.spans("replay")), hub.log
    (span,) = collector.spans("replay")
    (link,) = span.links
    check("linked", (link.trace_id.hex(), link.span_id.hex()), (TRACE, "00f067aa0ba902b7"))
    check("own trace", span.trace_id.hex() != TRACE)
    check("counted", number(span, "tidings.updates"), 1)
    check("not delivered again", collector.spans("deliver"), [])


def test_a_trace_reaches_the_other_hubs_of_a_cluster(start, collector, check):
    """The last hub traces nothing, as all hubs do while a cluster is upgraded."""
    server = Redis()
    try:
        server.begin()
        settings = traces(collector)
        hubs = [start(server.member(more)) for more in (settings, settings, "")]
        assert until(lambda: all(map(is_ready, hubs))), [hub.log for hub in hubs]
        streams = [Stream(hub) for hub in hubs[1:]]
        post(hubs[0], {**bearer(), "traceparent": PARENT}, topic=TOPIC, data="traced")
        check("delivered", [stream.next()["data"] for stream in streams], ["traced"] * 2)
        assert until(lambda: collector.spans("deliver")), [hub.log for hub in hubs]
        (span,) = collector.spans("deliver")
        (link,) = span.links
        check("linked", (link.trace_id.hex(), link.span_id.hex()), (TRACE, "00f067aa0ba902b7"))
        check("by another hub", number(span, "tidings.subscribers"), 1)
        post(hubs[2], {**bearer(), "traceparent": PARENT}, topic=TOPIC, data="untraced")
        check("delivered", [stream.next()["data"] for stream in streams], ["untraced"] * 2)
        late = Stream(hubs[0], headers={"Last-Event-ID": "earliest"})
        check("replayed", [late.next()["data"] for _ in range(2)], ["traced", "untraced"])
        assert until(lambda: collector.spans("replay")), hubs[0].log
        check("one is traced", number(collector.spans("replay")[0], "tidings.updates"), 1)
        check("delivered once", len(collector.spans("deliver")), 1)
    finally:
        server.stop()


def test_only_what_the_publisher_samples_has_spans_by_default(start, collector, check):
    hub = start(traces(collector))
    publish(hub, topic=TOPIC, data="without")
    post(hub, {**bearer(), "traceparent": UNSAMPLED}, topic=TOPIC, data="unsampled")
    post(hub, {**bearer(), "traceparent": "00-nonsense"}, topic=TOPIC, data="nonsense")
    post(hub, {**bearer(), "traceparent": PARENT}, topic=TOPIC, data="sampled")
    assert until(lambda: collector.spans("publish")), hub.log
    check("one", [span.trace_id.hex() for span in collector.spans("publish")], [TRACE])


def test_every_update_has_spans_if_wanted_and_a_refused_one_has_none(start, collector, check):
    hub = start(traces(collector, sampler="always_on", service_name="push"))
    check("refused", post(hub, topic="", data="x").status, 400)
    publish(hub, topic=TOPIC, data="x")
    assert until(lambda: collector.spans("publish")), hub.log
    (span,) = collector.spans("publish")
    check("a root", span.parent_span_id, b"")
    check("fine", span.status.code, Status.STATUS_CODE_UNSET)


def test_a_frame_has_a_trace_too_and_the_usual_variables_are_read(start_hub, collector, check):
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "named"}
    hub = start_hub(mercure.configuration(), environment=environment)
    url = f"ws://127.0.0.1:{hub.port()}{PATH}"
    with websockets.sync.client.connect(url, additional_headers=bearer()) as socket:
        asked = {"topic": TOPIC, "data": "by frame", "traceparent": PARENT}
        socket.send(json.dumps({"ref": "1", "publish": asked}))
        assert until(lambda: collector.spans("publish")), hub.log
    (span,) = collector.spans("publish")
    check("trace", span.trace_id.hex(), TRACE)
    (resource,) = collector.exports()[0].resource_spans
    about = {each.key: each.value.string_value for each in resource.resource.attributes}
    check("service", about["service.name"], "named")


def test_a_sampler_that_asks_no_publisher_decides_about_deliveries_too(start, collector, check):
    hub = start(traces(collector, sampler="always_on"))
    stream = Stream(hub)
    post(hub, {**bearer(), "traceparent": UNSAMPLED}, topic=TOPIC, data="x")
    check("delivered", stream.next()["data"], "x")
    assert until(lambda: collector.spans("deliver")), hub.log
    (link,) = collector.spans("deliver")[0].links
    check("linked", (link.trace_id.hex(), link.flags & 1), (TRACE, 1))
    check("traced", len(collector.spans("publish")), 1)


def test_two_fields_and_a_later_version_are_read_as_the_standard_wants(start, collector, check):
    hub = start(traces(collector))
    address = ("127.0.0.1", hub.port())
    body = urllib.parse.urlencode({"topic": TOPIC, "data": "x"}).encode()
    for fields in [[PARENT, PARENT], [PARENT.replace("00", "01", 1) + "-more"]]:
        connection = http.client.HTTPConnection(*address)
        connection.putrequest("POST", PATH)
        token = bearer()["Authorization"]
        media_type = "application/x-www-form-urlencoded"
        for name, value in [("Authorization", token), ("Content-Type", media_type)]:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        for field in fields:
            connection.putheader("traceparent", field)
        connection.endheaders(body)
        check("published", connection.getresponse().status, 200)
        connection.close()
    assert until(lambda: collector.spans("publish")), hub.log
    check("the later one", len(collector.spans("publish")), 1)


def test_a_collector_that_hangs_slows_nobody_and_what_finds_no_room_is_counted(
    start, collector, check
):
    collector.answering.clear()
    fast = "[websocket]\nframes_per_second_max = 100000\n"
    hub = start(fast + traces(collector, sampler="always_on"))
    stream = Stream(hub)
    url = f"ws://127.0.0.1:{hub.port()}{PATH}"
    with websockets.sync.client.connect(url, additional_headers=bearer()) as socket:
        assert "open" in json.loads(socket.recv(timeout=30))
        for begin in range(0, UPDATES, 100):
            for number in range(begin, begin + 100):
                asked = {"topic": TOPIC, "data": str(number)}
                socket.send(json.dumps({"ref": str(number), "publish": asked}))
            for _ in range(100):
                answer = json.loads(socket.recv(timeout=30))
                assert "ack" in answer, answer
    check("all delivered", [stream.next()["data"] for _ in range(UPDATES)][-1], str(UPDATES - 1))
    check("nothing exported", collector.requests, [])
    check("dropped", by_result(hub)["dropped"] > 0)
    hub.process.send_signal(signal.SIGTERM)
    # It does not wait for the collector.
    check("ends", hub.process.wait(timeout=30), 0)


def test_without_a_collector_everything_else_goes_on(start, check):
    with Collector() as gone:
        pass
    hub = start(traces(gone, sampler="always_on"))
    stream = Stream(hub)
    publish(hub, topic=TOPIC, data="1")
    check("delivered", stream.next()["data"], "1")
    # Of five attempts, the last ones come seconds later; a hub that ends makes one more.
    hub.process.send_signal(signal.SIGTERM)
    check("ends", hub.process.wait(timeout=30), 0)
    check("said", until(lambda: said(hub)))


def test_a_hub_that_ends_sends_what_waits(start, collector, check):
    hub = start(traces(collector, sampler="always_on"))
    publish(hub, topic=TOPIC, data="last")
    hub.process.send_signal(signal.SIGTERM)
    check("ends", hub.process.wait(timeout=30), 0)
    check("sent", len(collector.spans("publish")), 1)


def test_a_collector_that_is_busy_is_asked_again_and_one_that_refuses_loses_spans(
    start, collector, check
):
    collector.refusals = [None, (503, {}), (429, {"Retry-After": "1"})]
    hub = start(traces(collector, sampler="always_on"))
    publish(hub, topic=TOPIC, data="1")
    assert until(lambda: collector.spans("publish")), hub.log
    result = lambda name: by_result(hub)[name]
    check("none lost", result("failed"), 0)
    check("waited as long as it was asked to", collector.times[3] - collector.times[2] >= 1)
    collector.refusals = [(400, {})]
    publish(hub, topic=TOPIC, data="2")
    assert until(lambda: result("failed") >= 2), hub.log
    check("said", until(lambda: said(hub)))
    check("published nevertheless", bool(publish(hub, topic=TOPIC, data="3")))


def test_what_a_collector_rejects_of_a_request_is_counted(start, collector, check):
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 1
    answer.partial_success.error_message = "too old"
    collector.answer = answer.SerializeToString()
    hub = start(traces(collector, sampler="always_on"))
    publish(hub, topic=TOPIC, data="x")
    assert until(lambda: by_result(hub)["failed"] == 1), hub.log
    check("the other one was taken", by_result(hub)["exported"], 1)


def said(hub):
    """Returns whether the log, which is read by a thread of its own, says that spans are lost."""
    return any("cannot export traces" in line for line in hub.log)


def by_result(hub):
    lines = ask(hub, "GET", "/metrics", kind="admin").text
    name = "tidings_trace_spans_total"
    count = lambda result: int(lines.partition(f'{name}{{result="{result}"}} ')[2].split()[0])
    return {result: count(result) for result in ("dropped", "exported", "failed")}


def text(span, key):
    (value,) = [each.value.string_value for each in span.attributes if each.key == key]
    return value


def number(span, key):
    (value,) = [each.value.int_value for each in span.attributes if each.key == key]
    return value
