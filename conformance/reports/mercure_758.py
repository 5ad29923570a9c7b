"""The hub stopped accepting publications while its health check still answered 200: subscribers that did not read
had blocked all updates.

https://github.com/dunglas/mercure/issues/758
"""

import socket

from support.hub import PATH
from support.mercure import Stream, ask, post


def test_sleepers_hold_nobody_up(start, check):
    hub = start()
    asleep = []
    for _ in range(50):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", hub.port()))
        sock.sendall(f"GET {PATH}?match=* HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        asleep.append(sock)
    awake = Stream(hub)
    check("they are there", hub.wait_for_metric("tidings_subscribers", 51))
    statuses = {post(hub, topic="a", data=f"{number} {'x' * 20_000}").status for number in range(200)}
    check("every publication is taken", statuses, {200})
    seen = [int(data.split()[0]) for data in awake.data(200)]
    check("who reads gets all of it", seen, list(range(200)))
    check("ready", ask(hub, "GET", "/health/ready").status, 200)
