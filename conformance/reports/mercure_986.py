"""The hub did not stop while subscribers were connected.

https://github.com/dunglas/mercure/issues/986
"""

import time

from support.mercure import Stream, publish


def test_a_hub_with_streams_ends_in_time(start, check):
    hub = start(drain_secs=2)
    streams = [Stream(hub) for _ in range(20)]
    publish(hub, topic="a", data="x")
    started = time.monotonic()
    code = hub.stop()
    took = time.monotonic() - started
    check("exit code", code, 0)
    check(f"it ended after {took:.1f} s", took < 20)
    check("what was published came before the end", streams[0].data(1), ["x"])
    check("streams end in good form", streams[1].data(1) and streams[1].next(), None)
