"""WebSocket by peers that nobody here wrote: all Autobahn cases by kosoku, and Python's websockets and h2.

The cases with compression (sections 12 and 13) take minutes; without `RUN_SLOW_TESTS=1` only the
first of each group runs. Prints `N passed, N failed`.
"""

import asyncio
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading

import h2.config
import h2.connection
import h2.events
import h2.settings
import jwt
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support.hub import BINARY, DEADLINE_SECS, PATH, Checks, Hub  # noqa: E402

CASES = 517
SLOW = os.environ.get("RUN_SLOW_TESTS") == "1"
# `NON-STRICT` would be a failure: texts that are not UTF-8 are noticed at once.
GOOD = {"OK", "INFORMATIONAL"}
ISSUER = "https://issuer.example.com"
SECRET = "0123456789abcdef0123456789abcdef"
HUB_URL = "http://localhost" + PATH
TOPIC = "https://example.com/books/1"


def autobahn(checks):
    """Runs the suite against the echo service of `tidings test-server`."""
    server = subprocess.Popen(
        [BINARY, "test-server", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
        env={},
    )
    try:
        line = server.stdout.readline()
        address = re.search(r"http://([\d.]+:\d+)", line).group(1)
        with tempfile.TemporaryDirectory() as folder:
            results = run_cases(address, folder)
    finally:
        server.terminate()
        server.wait(DEADLINE_SECS)
    if SLOW:
        checks.equal("cases of the suite", len(results), CASES)
    else:
        checks.equal("cases without compression", sum(not packed(case) for case in results), 301)
        checks.equal("cases with compression", sum(map(packed, results)) >= 25, True)
    for case, result in results.items():
        found = (result["behavior"], result["behaviorClose"])
        checks.equal(f"case {case} is {found}", set(found) <= GOOD, True)


def packed(case):
    return case.split(".")[0] in ("12", "13")


def run_cases(address, folder):
    kosoku = pathlib.Path(sys.executable).with_name("kosoku")
    options = []
    if not SLOW:
        groups = [f"12.{group}.1" for group in range(1, 6)]
        groups += [f"13.{group}.{case}" for group in range(1, 8) for case in (1, 2, 3)]
        options = ["-x", "12.*", "-x", "13.*"]
        run(kosoku, sum((["-i", case] for case in groups), []), address, folder + "/packed")
    run(kosoku, options, address, folder + "/plain")
    results = {}
    for index in pathlib.Path(folder).glob("*/index.json"):
        (agent,) = json.loads(index.read_text()).values()
        results.update(agent)
    return results


def run(kosoku, options, address, folder):
    # It fails if a case does; the report says which.
    command = [str(kosoku), "-p", "2", "-o", folder, *options, f"ws://{address}/echo"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def token():
    import time

    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": HUB_URL,
        "sub": "someone",
        "client_id": "tests",
        "iat": now,
        "exp": now + 600,
        "jti": "1",
        "authorization_details": [
            {
                "type": "https://mercure.rocks/authorization-detail",
                "actions": ["publish", "subscribe"],
                "topics": [{"match": "*"}],
            }
        ],
    }
    return jwt.encode(claims, SECRET, "HS256", {"typ": "at+jwt"})


async def interoperate(checks, hub):
    """The hub's frames and a conversation, by the library `websockets` with all its extensions."""
    base = f"ws://127.0.0.1:{hub.port()}"
    bearer = {"Authorization": "Bearer " + token()}
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
        checks.equal("greeting", list(json.loads(await peer.recv())), ["open"])
        peers.append(peer)
    data = "data of some length, é € " * 500
    for number in range(3):
        said = {"topic": TOPIC, "data": f"{number} {data}"}
        await peers[number].send(json.dumps({"publish": said, "ref": number}))
        for index, peer in enumerate(peers):
            frames = [json.loads(await peer.recv()) for _ in range(2 if index == number else 1)]
            updates = [frame["update"]["data"] for frame in frames if "update" in frame]
            checks.equal("update", updates, [said["data"]])
    for peer in peers:
        checks.equal("pong", await (await peer.ping()) >= 0, True)
        await peer.close(4000, "done")
        checks.equal("close code", peer.close_code, 4000)
    one, two = [await websockets.connect(f"{base}/ws/chat") for _ in range(2)]
    await one.send("hello")
    checks.equal("said", await two.recv(), "hello")
    await two.send(["frag", "ments"])
    checks.equal("said in fragments", await one.recv(), "fragments")
    await one.close()
    await two.close()


def over_http2(checks, hub):
    """RFC 8441 by the library `h2`: an extended CONNECT, then frames inside DATA."""
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
    checks.equal("ENABLE_CONNECT_PROTOCOL", seen["allowed"], 1)
    connection.send_headers(
        1,
        [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", f"127.0.0.1:{hub.port()}"),
            (":path", f"{PATH}?match={TOPIC}"),
            ("sec-websocket-version", "13"),
            ("authorization", "Bearer " + token()),
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

    checks.equal("greeting over HTTP/2", list(json.loads(frame()[1])), ["open"])
    checks.equal("status over HTTP/2", seen["status"], b"200")
    said = {"topic": TOPIC, "data": "by HTTP/2 " * 100}
    send(1, json.dumps({"publish": said, "ref": 1}).encode())
    frames = [json.loads(frame()[1]) for _ in range(2)]
    updates = [each["update"]["data"] for each in frames if "update" in each]
    checks.equal("update over HTTP/2", updates, [said["data"]])
    send(9, b"ping")
    checks.equal("pong over HTTP/2", frame(), (10, b"ping"))
    send(8, (4000).to_bytes(2, "big"))
    checks.equal("close over HTTP/2", frame(), (8, (4000).to_bytes(2, "big")))
    while not seen["ended"]:
        turn()
    sock.close()


def main():
    # Whatever hangs, the script does not.
    threading.Timer(1500 if SLOW else 300, lambda: os._exit(2)).start()
    checks = Checks()
    autobahn(checks)
    toml = (
        f'[[listen]]\naddress = "127.0.0.1:0"\n[hub]\npublic_url = "{HUB_URL}"\n'
        '[rooms]\naccess = "anonymous"\ntopics = ["chat"]\n[subscribe]\nanonymous = true\n'
        f'[[auth.issuers]]\nissuer = "{ISSUER}"\nkey = "{SECRET}"\n'
    )
    hub = Hub(toml)
    asyncio.run(asyncio.wait_for(interoperate(checks, hub), 120))
    over_http2(checks, hub)
    checks.equal("exit code", hub.stop(), 0)
    sys.stdout.flush()
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    os._exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
