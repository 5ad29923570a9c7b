"""A subscriber that read more slowly than others published lost messages: "ids don't match", and gaps.

https://github.com/slact/nchan/issues/689
"""

from support.mercure import Stream, publish

UPDATES = 300


def test_a_reader_behind_the_buffers_misses_nothing(start, check):
    hub = start()
    stream = Stream(hub)
    # Far more than the buffers of both ends take: the hub must read on from its history.
    for number in range(UPDATES):
        publish(hub, topic="a", data=f"{number} {'x' * 50_000}")
    seen = [int(data.split()[0]) for data in stream.data(UPDATES)]
    check("each update once and in order", seen, list(range(UPDATES)))
