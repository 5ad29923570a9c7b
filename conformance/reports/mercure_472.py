"""A token expired, and its stream stayed open: the subscriber went on receiving what it no longer might.

https://github.com/dunglas/mercure/issues/472
"""

import time

from support.mercure import Stream, bearer, publish, start, token


def run(checks):
    hub = start(anonymous=False)
    stream = Stream(hub, "match=*", bearer(token(exp=int(time.time()) + 3)))
    publish(hub, topic="a", data="before", private="on")
    checks.equal("while it is valid", stream.next()["data"], "before")
    checks.equal("the stream ends with the token", stream.next(), None)
    hub.stop()
