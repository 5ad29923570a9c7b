"""A client that was away longer than history reaches could not tell that something was missing.

https://github.com/centrifugal/centrifugo/issues/165
"""

import time

from support.hub import DEADLINE_SECS
from support.mercure import Stream, publish, start


def run(checks):
    hub = start("[history]\nretain_updates = 5\n")
    cursor = publish(hub, topic="a", data="old")
    for number in range(20):
        publish(hub, topic="a", data=number)
    # Retention works beside publishing.
    end = time.monotonic() + DEADLINE_SECS
    answered = cursor
    while answered == cursor and time.monotonic() < end:
        stream = Stream(hub, "match=*", {"Last-Event-ID": cursor})
        answered = stream.answer.headers["Mercure-Last-Event-ID"]
        last = stream.next()
        stream.close()
    checks.equal("it is told that there is a gap", answered, "earliest")
    checks.true("and gets what is kept", int(last["data"]) > 0)
    hub.stop()
