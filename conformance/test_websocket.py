"""WebSocket with independent peers: all Autobahn cases by kosoku, and Python's websockets and h2.

The cases with compression (sections 12 and 13) take minutes; without `RUN_SLOW_TESTS=1` only the
first of each group runs.
"""

import asyncio
import json
import pathlib
import re
import socket
import subprocess
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from support.hub import BINARY, PATH
from support.mercure import ISSUER, SECRET, token
from support.slow import SLOW_SECS_MAX, slow
from support.waiting import DEADLINE_SECS

# How many cases each section has, 517 in all.
SECTIONS = {
    "1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1, "12": 90, "13": 126,
}
PACKED = ("12", "13")
# The first of each group with compression.
FIRST_PACKED = [f"12.{group}.1" for group in range(1, 6)]
FIRST_PACKED += [f"13.{group}.{case}" for group in range(1, 8) for case in (1, 2, 3)]
# `NON-STRICT` would be a failure: the hub notices invalid UTF-8 at once.
GOOD = {"OK", "INFORMATIONAL"}
# How long the suite waits at least before it ends a case, and how often such a case is run.
LATE_MS, RUNS_MAX = 500, 3
# How many cases may be run again in all: more of them is a hub that sometimes does not answer.
AGAIN_MAX = 2
HUB_URL = "http://localhost" + PATH
TOPIC = "https://example.com/books/1"


@pytest.fixture(scope="module")
def echo():
    """Returns the address of the echo service of `tidings-test-server`, which is built with the hub."""
    program = pathlib.Path(BINARY).with_name("tidings-test-server")
    server = subprocess.Popen(
        [program, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
        env={},
    )
    try:
        address = re.search(r"http://([\d.]+:\d+)", server.stdout.readline()).group(1)
        yield f"ws://{address}/echo"
    finally:
        server.terminate()
        server.wait(DEADLINE_SECS)


@pytest.fixture(scope="module")
def again():
    """Returns the cases that were run again, of all sections."""
    return set()


def results_of(cases, address, folder, secs_max, again):
    """Runs cases of the suite and returns their results. It ends a case after half a second or more: one that failed so
    late says little of a busy machine, and is run again, if there are few."""
    results = run(cases, address, folder, secs_max)
    for _ in range(RUNS_MAX - 1):
        late = [case for case, result in results.items() if not is_good(result) and result["duration"] >= LATE_MS]
        again.update(late)
        if late and len(again) <= AGAIN_MAX:
            results |= run(late, address, folder, secs_max)
    return results


def run(cases, address, folder, secs_max):
    kosoku = pathlib.Path(sys.executable).with_name("kosoku")
    included = [word for case in cases for word in ("-i", case)]
    # It fails if a case does; the report says which.
    command = [str(kosoku), "-p", "2", "-o", str(folder), *included, address]
    output = subprocess.DEVNULL
    subprocess.run(command, stdout=output, stderr=output, check=False, timeout=secs_max)
    (results,) = json.loads((folder / "index.json").read_text()).values()
    return results


def check_results(results, check):
    for case, result in results.items():
        check(f"case {case} is {found(result)} after {result['duration']} ms", is_good(result))


def found(result):
    return {result["behavior"], result["behaviorClose"]}


def is_good(result):
    return found(result) <= GOOD


@pytest.mark.parametrize("section", [section for section in SECTIONS if section not in PACKED])
def test_autobahn(echo, tmp_path, check, again, section):
    results = results_of([f"{section}.*"], echo, tmp_path, DEADLINE_SECS * 3, again)
    check("cases", len(results), SECTIONS[section])
    check_results(results, check)


def test_autobahn_with_compression(echo, tmp_path, check, again):
    results = results_of(FIRST_PACKED, echo, tmp_path, DEADLINE_SECS * 3, again)
    check("cases", len(results), len(FIRST_PACKED))
    check_results(results, check)


@slow("every case with compression")
@pytest.mark.timeout(SLOW_SECS_MAX)
@pytest.mark.parametrize("section", PACKED)
def test_autobahn_with_all_compression(echo, tmp_path, check, again, section):
    results = results_of([f"{section}.*"], echo, tmp_path, SLOW_SECS_MAX, again)
    check("cases", len(results), SECTIONS[section])
    check_results(results, check)


@pytest.fixture(scope="module")
def hub(start_hub):
    return start_hub(
        f'[[listen]]\naddress = "127.0.0.1:0"\n[hub]\npublic_url = "{HUB_URL}"\n'
        '[rooms]\naccess = "anonymous"\ntopics = ["chat"]\n[subscribe]\nanonymous = true\n'
        f'[[auth.issuers]]\nissuer = "{ISSUER}"\nkey = "{SECRET}"\n'
    )


def test_the_library_websockets(hub, check):
    asyncio.run(asyncio.wait_for(interoperate(hub, check), 2 * DEADLINE_SECS))


async def interoperate(hub, check):
    """The hub's frames and a room, with the library `websockets` and all its extensions."""
    base = f"ws://127.0.0.1:{hub.port()}"
    bearer = {"Authorization": "Bearer " + token(aud=HUB_URL)}
    factories = [
        None,
        [ClientPerMessageDeflateFactory()],
        [ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9)],
        [ClientPerMessageDeflateFactory(server_no_context_takeover=True)],
    ]
    peers = []
    for extensions in factories:
        options = {"compression": None, "extensions": extensions, "additional_headers": bearer}
        peer = await websockets.connect(f"{base}{PATH}?match={TOPIC}", **options)
        check("greeting", list(json.loads(await peer.recv())), ["open"])
        peers.append(peer)
    data = "data of some length, é € " * 500
    for number in range(3):
        said = {"topic": TOPIC, "data": f"{number} {data}"}
        await peers[number].send(json.dumps({"publish": said, "ref": number}))
        for index, peer in enumerate(peers):
            frames = [json.loads(await peer.recv()) for _ in range(2 if index == number else 1)]
            updates = [frame["update"]["data"] for frame in frames if "update" in frame]
            check("update", updates, [said["data"]])
    for peer in peers:
        check("pong", await (await peer.ping()) >= 0, True)
        await peer.close(4000, "done")
        check("close code", peer.close_code, 4000)
    one, two = [await websockets.connect(f"{base}/ws/chat") for _ in range(2)]
    await one.send("hello")
    check("said", await two.recv(), "hello")
    await two.send(["frag", "ments"])
    check("said in fragments", await one.recv(), "fragments")
    await one.close()
    await two.close()


def test_frames_inside_http2(hub, check):
    """RFC 8441 with the library `h2`: an extended CONNECT, then frames inside DATA."""
    sock = socket.create_connection(("127.0.0.1", hub.port()), DEADLINE_SECS)
    config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    received = bytearray()
    seen = {"status": None, "allowed": None, "ended": False}

    def turn():
        for event in connection.receive_data(sock.recv(65536)):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                setting = event.changed_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL)
                seen["allowed"] = setting.new_value if setting else seen["allowed"]
            elif isinstance(event, h2.events.ResponseReceived):
                seen["status"] = dict(event.headers)[b":status"]
            elif isinstance(event, h2.events.DataReceived):
                received.extend(event.data)
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                seen["ended"] = True
        sock.sendall(connection.data_to_send())

    while seen["allowed"] is None:
        turn()
    check("ENABLE_CONNECT_PROTOCOL", seen["allowed"], 1)
    connection.send_headers(
        1,
        [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", f"127.0.0.1:{hub.port()}"),
            (":path", f"{PATH}?match={TOPIC}"),
            ("sec-websocket-version", "13"),
            ("authorization", "Bearer " + token(aud=HUB_URL)),
        ],
    )
    sock.sendall(connection.data_to_send())

    def send(opcode, payload):
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        # The masking key is zero, which leaves the payload as it is.
        connection.send_data(1, bytes([0x80 | opcode]) + length + bytes(4) + payload)
        sock.sendall(connection.data_to_send())

    def frame():
        while True:
            if len(received) >= 2:
                size, start = received[1], 2
                if size == 126 and len(received) >= 4:
                    size, start = int.from_bytes(received[2:4], "big"), 4
                if size != 126 and len(received) >= start + size:
                    payload = bytes(received[start : start + size])
                    opcode = received[0] & 15
                    del received[: start + size]
                    return opcode, payload
            turn()

    check("greeting", list(json.loads(frame()[1])), ["open"])
    check("status", seen["status"], b"200")
    said = {"topic": TOPIC, "data": "by HTTP/2 " * 100}
    send(1, json.dumps({"publish": said, "ref": 1}).encode())
    frames = [json.loads(frame()[1]) for _ in range(2)]
    updates = [each["update"]["data"] for each in frames if "update" in each]
    check("update", updates, [said["data"]])
    send(9, b"ping")
    check("pong", frame(), (10, b"ping"))
    send(8, (4000).to_bytes(2, "big"))
    check("close", frame(), (8, (4000).to_bytes(2, "big")))
    while not seen["ended"]:
        turn()
    sock.close()
