"""A subscriber that read more slowly than others published lost messages: "ids don't match", and gaps.

https://github.com/slact/nchan/issues/689
"""

from support.mercure import Stream, publish, start

UPDATES = 300


def run(checks):
    hub = start()
    stream = Stream(hub)
    # Far more than the buffers of both ends take: the hub must read on from its history.
    for number in range(UPDATES):
        publish(hub, topic="a", data=f"{number} {'x' * 50_000}")
    seen = [int(data.split()[0]) for data in stream.data(UPDATES)]
    checks.equal("each update once and in order", seen, list(range(UPDATES)))
    hub.stop()
