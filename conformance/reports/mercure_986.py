"""Stopping the hub took for ever while subscribers were connected.

https://github.com/dunglas/mercure/issues/986
"""

import time

from support.mercure import Stream, publish, start


def run(checks):
    hub = start(drain_secs=2)
    streams = [Stream(hub) for _ in range(20)]
    publish(hub, topic="a", data="x")
    started = time.monotonic()
    code = hub.stop()
    took = time.monotonic() - started
    checks.equal("exit code", code, 0)
    checks.true(f"it ended after {took:.1f} s", took < 20)
    checks.equal("what was published came before the end", streams[0].data(1), ["x"])
    checks.equal("streams end in good form", streams[1].data(1) and streams[1].next(), None)
