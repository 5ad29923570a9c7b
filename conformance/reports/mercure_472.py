"""A token expired, but its stream stayed open: the subscriber kept receiving what it was no longer allowed to.

https://github.com/dunglas/mercure/issues/472
"""

import time

from support.mercure import Stream, bearer, publish, token


def test_a_stream_ends_with_its_token(start, check):
    hub = start(anonymous=False)
    stream = Stream(hub, "match=*", bearer(token(exp=int(time.time()) + 6)))
    publish(hub, topic="a", data="before", private="on")
    check("while it is valid", stream.next()["data"], "before")
    check("the stream ends with the token", stream.next(), None)
