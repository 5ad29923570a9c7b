"""Certificates by ACME, from Debian's `pebble`: ordered, renewed, refused, interrupted."""

import contextlib
import json
import pathlib
import socket
import ssl
import stat

import pytest
from cryptography import x509

from support import mercure
from support.acme import FINALIZE, NEW_ORDER, Authority
from support.hub import PATH, free_port
from support.mercure import ask, publish
from support.redis import Redis, is_ready
from support.slow import slow
from support.waiting import DEADLINE_SECS, until

NAME, OTHER = "hub.example.com", "push.example.com"


@pytest.fixture
def authority():
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Authority(**settings))


def test_a_hub_serves_while_it_has_no_certificate_and_gets_one_for_all_names(
    start, authority, check
):
    authority = authority()
    held = authority.hold(NEW_ORDER)
    hub = start(authority.tables([NAME, OTHER], contact=["ops@example.com"]))
    assert held.wait(DEADLINE_SECS), authority.log()
    check("ready", ask(hub, "GET", "/health/ready").status, 200)
    (warning,) = warnings(hub)
    check("said", warning, f"no TLS certificate for {NAME}, {OTHER} yet: it is being ordered")
    check("published", bool(publish(hub, topic="https://example.com/1", data="early")))
    with pytest.raises(ssl.SSLError):
        certificate(authority, NAME)
    authority.release()
    for name in (NAME, OTHER):
        assert until(lambda: names_of(authority, name) == {NAME, OTHER}), "".join(hub.log)
    assert until(lambda: warnings(hub) == [])
    check("by TLS alone", [request for request in logged(hub) if "http-01" in str(request)], [])
    assert hub.metric("tidings_certificate_expiry_timestamp_seconds") > 0
    check("files", files(hub), {"account.json": 0o600, "certificate.pem": 0o600})
    serial = serial_of(authority)
    hub.crash()
    check("kept over a restart", serial_of(authority), serial)
    # The one that was held, and the next.
    check("no other order", authority.count(NEW_ORDER), 2)


def test_an_order_that_was_begun_is_completed_after_a_crash(start, authority, check):
    authority = authority()
    held = authority.hold(FINALIZE)
    hub = start(authority.tables([NAME]))
    assert held.wait(DEADLINE_SECS), authority.log()
    check("written down", files(hub), {"account.json": 0o600, "order.json": 0o600})
    # The process is gone before the authority has the request for the certificate.
    authority.held.clear()
    hub.crash()
    assert until(lambda: names_of(authority) == {NAME}), "".join(hub.log)
    check("orders", authority.count(NEW_ORDER), 1)
    check("files", files(hub), {"account.json": 0o600, "certificate.pem": 0o600})


def test_refused_nonces_delay_an_order_and_do_not_end_it(start, authority, check):
    authority = authority(nonces_refused=40)
    hub = start(authority.tables([NAME, OTHER]))
    # Each reload is an attempt, unless one is under way.
    got = lambda: hub.reload() and names_of(authority) == {NAME, OTHER}
    assert until(got), "".join(hub.log)
    check("of one account", authority.count("/sign-me-up") >= 1)
    accounts = {entry["account"] for entry in logged(hub) if "account" in entry}
    check("accounts", len(accounts), 1)


def test_names_are_proved_by_http_where_the_tls_port_leads_elsewhere(start, authority, check):
    authority = authority()
    tables = authority.tables([NAME, OTHER])
    elsewhere = free_port()
    hub = start(tables.replace(f":{authority.tls_port}", f":{elsewhere}"))
    assert until(lambda: names_of(authority, port=elsewhere) == {NAME, OTHER}), "".join(hub.log)
    (failure,) = [entry for entry in logged(hub) if "cannot get" in entry["message"]]
    check("first way", failure["challenge"], "tls-alpn-01")
    check("failed", outcomes(hub), {"failed": 1, "ok": 1})
    check("no proof stays", ask(hub, "GET", "/.well-known/acme-challenge/x").status, 404)


def test_a_name_that_leads_elsewhere_is_named_until_it_is_mended(start, authority, check):
    authority = authority()
    # Nothing listens there.
    authority.points(OTHER, "127.0.0.9")
    hub = start(authority.tables([NAME, OTHER]))
    said = lambda: "".join(warnings(hub))
    assert until(lambda: OTHER in said() and "could not check" in said()), said()
    assert until(lambda: "http-01" in said()), said()
    check("of both ways", outcomes(hub), {"failed": 2, "ok": 0})
    check("when next", "next attempt in" in said())
    check("ready nevertheless", ask(hub, "GET", "/health/ready").status, 200)
    check("no order stays", files(hub), {"account.json": 0o600})
    authority.points(OTHER, "127.0.0.1")
    hub.reload()
    assert until(lambda: names_of(authority) == {NAME, OTHER}), "".join(hub.log)
    assert until(lambda: warnings(hub) == [])


def test_a_name_that_the_authority_rejects_is_not_tried_again_at_once(start, authority, check):
    authority = authority(domainBlocklist=[OTHER])
    hub = start(authority.tables([OTHER]))
    assert until(lambda: "refuses" in "".join(warnings(hub))), "".join(hub.log)
    check("why", "rejectedIdentifier" in "".join(warnings(hub)))
    check("failed", outcomes(hub), {"failed": 1, "ok": 0})
    check("tls", hub.metric("tidings_certificate_expiry_timestamp_seconds"), 0)


def test_a_rate_limit_is_obeyed_even_if_the_operator_is_impatient(start, authority, check):
    authority = authority()
    authority.refuse(NEW_ORDER, 429, "rateLimited", retry_after=5400, times=1000)
    hub = start(authority.tables([NAME]))
    assert until(lambda: "rateLimited" in "".join(warnings(hub))), "".join(hub.log)
    check("when next", "next attempt in 89 minutes" in "".join(warnings(hub)))
    orders = authority.count(NEW_ORDER)
    reloads = hub.reload()
    # What the hub would do on a reload it does before it answers the next request for the log.
    check("reloaded", hub.reload() > reloads)
    check("orders", authority.count(NEW_ORDER), orders)


def test_a_short_rate_limit_is_waited_for(start, authority, check):
    authority = authority()
    authority.refuse(NEW_ORDER, 429, "rateLimited", retry_after=1)
    hub = start(authority.tables([NAME]))
    assert until(lambda: names_of(authority) == {NAME}), "".join(hub.log)
    check("failed", outcomes(hub), {"failed": 1, "ok": 1})


def test_an_authority_that_is_down_is_asked_again(start, authority, check):
    authority = authority()
    authority.refuse("/dir", 503, "serverInternal", retry_after=1, times=2)
    hub = start(authority.tables([NAME]))
    assert until(lambda: names_of(authority) == {NAME}), "".join(hub.log)
    check("failed", outcomes(hub)["failed"] >= 1)


def test_a_renewal_is_for_new_connections_and_open_streams_stay(start, authority, check):
    # A certificate of six seconds is renewed after four.
    authority = authority(certificateValidityPeriod=6)
    hub = start(authority.tables([NAME]))
    assert until(lambda: names_of(authority) == {NAME}), "".join(hub.log)
    # By the stream's own connection: another one may get the next certificate already.
    stream = TlsStream(authority)
    first = stream.serial
    publish(hub, topic="https://example.com/1", data="before")
    check("before", stream.data(), "before")
    assert until(lambda: serial_of(authority) not in (None, first)), "".join(hub.log)
    publish(hub, topic="https://example.com/1", data="after")
    check("after", stream.data(), "after")
    check("old certificate", serial_of_socket(stream.socket), first)
    stream.close()


def test_the_authority_says_when_to_renew(start, authority, check):
    authority = authority()
    authority.suggest(-2, -1)
    hub = start(authority.tables([NAME]))
    # A window in the past means: now.
    assert until(lambda: outcomes(hub)["ok"] >= 2), "".join(hub.log)
    first, second = authority.orders[:2]
    check("the first replaces nothing", first, None)
    check("the second replaces the first", second.count("."), 1)
    authority.suggest(24, 48)
    assert until(lambda: renewals(hub)[-1] > renewals(hub)[0] + 23 * 3600), "".join(hub.log)


def test_an_account_that_is_bound_to_a_customer(start, authority, check):
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    authority = authority(
        externalAccountBindingRequired=True, externalAccountMACKeys={"kid-1": key}
    )
    hub = start(authority.tables([NAME]))
    assert until(lambda: "externalAccountRequired" in "".join(warnings(hub))), "".join(hub.log)
    hub.stop()
    hub = start(authority.tables([NAME], eab_key_id="kid-1", eab_key=key))
    assert until(lambda: names_of(authority) == {NAME}), "".join(hub.log)


class TlsStream:
    """An event stream over TLS."""

    def __init__(self, authority):
        self.socket = connect(authority)
        self.serial = serial_of_socket(self.socket)
        request = f"GET {PATH}?match=* HTTP/1.1\r\nHost: {NAME}\r\n\r\n"
        self.socket.sendall(request.encode())
        self.lines = self.socket.makefile("rb")

    def data(self):
        """Returns the data of the next event."""
        while line := self.lines.readline():
            if line.startswith(b"data: "):
                return line[6:].decode().strip()
        return None

    def close(self):
        self.lines.close()
        self.socket.close()


def connect(authority, name=NAME, port=None):
    context = ssl._create_unverified_context()
    plain = socket.create_connection(("127.0.0.1", port or authority.tls_port), DEADLINE_SECS)
    return context.wrap_socket(plain, server_hostname=name)


def certificate(authority, name=NAME, port=None):
    with connect(authority, name, port) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))


@pytest.fixture
def cluster():
    redis = Redis()
    redis.begin()
    yield redis
    redis.stop()


@pytest.mark.parametrize("by", ["tls", pytest.param("http", marks=slow("an attempt by TLS fails first"))])
def test_one_hub_of_a_cluster_orders_and_the_authority_may_reach_another(by, start, cluster, authority, check):
    authority = authority()

    def join(tls_port, http_port):
        tables = authority.tables([NAME, OTHER])
        tables = tables.replace(f":{authority.tls_port}", f":{tls_port}")
        hub = start(cluster.member(tables.replace(f":{authority.http_port}", f":{http_port}")))
        assert until(lambda: is_ready(hub)), "".join(hub.log)
        return hub

    held = authority.hold(NEW_ORDER)
    elsewhere, late, reached = free_port(), free_port(), authority.tls_port if by == "tls" else free_port()
    orders = join(elsewhere, free_port())
    assert held.wait(DEADLINE_SECS), authority.log()
    other = join(reached, authority.http_port)
    authority.release()
    for port in (elsewhere, reached):
        assert until(lambda port=port: names_of(authority, port=port) == {NAME, OTHER}), "".join(orders.log + other.log)
    serials = {certificate(authority, NAME, port).serial_number for port in (elsewhere, reached)}
    check("one certificate for both", len(serials), 1)
    check("the other ordered none", outcomes(other), {"failed": 0, "ok": 0})
    check("its files", files(other), {"certificate.pem": 0o600})
    check("said", until(lambda: any("another hub of the cluster ordered" in line for line in other.log)))
    assert until(lambda: warnings(other) == [])
    # Another hub takes the turn over, and a hub with an empty disk joins: nobody orders again.
    ordered = authority.count(NEW_ORDER)
    check("it stops", orders.stop(), 0)
    lease = f"acme-{NAME}-{OTHER}".replace(".", "-")
    took_over = lambda: any(lease in line and "does now what one hub" in line for line in other.log)
    assert until(took_over), "".join(other.log)
    join(late, free_port())
    assert until(lambda: names_of(authority, port=late) == {NAME, OTHER})
    check("the same", {certificate(authority, NAME, late).serial_number}, serials)
    check("orders", authority.count(NEW_ORDER), ordered)


def names_of(authority, name=NAME, port=None):
    """Returns the names in the hub's certificate, or None while it has none."""
    with contextlib.suppress(OSError):
        kind = x509.SubjectAlternativeName
        found = certificate(authority, name, port).extensions.get_extension_for_class(kind)
        return set(found.value.get_values_for_type(x509.DNSName))
    return None


def serial_of(authority):
    with contextlib.suppress(OSError):
        return certificate(authority).serial_number
    return None


def serial_of_socket(tls):
    return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)).serial_number


def warnings(hub):
    """Returns what the hub says beside that it is ready."""
    answer = ask(hub, "GET", "/health/ready").json()
    assert answer["status"] == "ok"
    return answer.get("warnings", [])


def outcomes(hub):
    """Returns how many attempts had each result."""
    text = ask(hub, "GET", "/metrics", kind="admin").text
    name = "tidings_certificate_orders_total"
    count = lambda result: int(text.partition(f'{name}{{result="{result}"}} ')[2].split()[0])
    return {result: count(result) for result in ("failed", "ok")}


def logged(hub):
    return [json.loads(line) for line in hub.log]


def renewals(hub):
    """Returns the times that the authority suggested."""
    return [entry["at"] for entry in logged(hub) if "suggests" in entry["message"]]


def files(hub):
    """Returns the modes of what the hub keeps of its authority."""
    folder = pathlib.Path(hub.folder.name, "data", "acme")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in sorted(kept)}
