"""Under load the hub ran out of file descriptors, logged one error after the other, and accepted nobody.

https://github.com/dunglas/mercure/issues/255
"""

import resource
import socket

from support.mercure import ask, publish


def test_a_hub_without_descriptors_serves_again(start, check):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(120, hard), hard))
    try:
        hub = start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    publish(hub, topic="a", data="x")
    held = [socket.create_connection(("127.0.0.1", hub.port())) for _ in range(60)]
    for sock in held:
        sock.close()
    check("it serves when they are gone", ask(hub, "GET", "/health/live").status, 200)
    publish(hub, topic="a", data="y")
    check(f"{len(hub.log)} lines of log", len(hub.log) < 60)
    check("it ends in good form", hub.stop(), 0)
