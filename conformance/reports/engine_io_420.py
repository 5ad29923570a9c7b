"""For one client that never read, the server queued everything until it ran out of memory.

https://github.com/socketio/engine.io/issues/420
"""

import pathlib
import socket

from support.hub import PATH
from support.mercure import publish


def resident(hub):
    lines = pathlib.Path(f"/proc/{hub.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) << 10


def test_memory_does_not_grow_with_sleepers(start, check):
    hub = start()
    asleep = []
    for _ in range(20):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", hub.port()))
        sock.sendall(f"GET {PATH}?match=* HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        asleep.append(sock)
    check("they are there", hub.wait_for_metric("tidings_subscribers", 20))
    publish(hub, topic="a", data="x" * 100_000)
    before = resident(hub)
    # 15 MB for each of twenty sleepers would be 300 MB.
    for _ in range(150):
        publish(hub, topic="a", data="x" * 100_000)
    grown = resident(hub) - before
    check(f"{grown >> 20} MiB more for twenty sleepers", grown < 150 << 20)
