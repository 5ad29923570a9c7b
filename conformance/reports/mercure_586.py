"""Browsers that reconnected with their last id were sent events that they had already shown.

https://github.com/dunglas/mercure/issues/586
"""

from support.mercure import Stream, publish


def test_a_resumed_stream_gets_only_what_was_missing(start, check):
    hub = start()
    first = Stream(hub)
    for number in range(5):
        publish(hub, topic="a", data=number)
    for _ in range(3):
        cursor = first.next()["id"]
    first.close()
    for _ in range(2):
        again = Stream(hub, "match=*", {"Last-Event-ID": cursor})
        check("the cursor is known", again.answer.headers["Mercure-Last-Event-ID"], cursor)
        check("only what was missing comes", again.data(2), ["3", "4"])
        again.close()
