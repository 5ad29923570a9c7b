"""A client that was away longer than the history lasts could not tell that it had missed something.

https://github.com/centrifugal/centrifugo/issues/165
"""

from support.mercure import Stream, publish
from support.waiting import until


def test_who_was_away_too_long_is_told_of_the_gap(start, check):
    hub = start("[history]\nretain_updates = 5\n")
    cursor = publish(hub, topic="a", data="old")
    for number in range(20):
        publish(hub, topic="a", data=number)
    kept = []

    def is_told():
        stream = Stream(hub, "match=*", {"Last-Event-ID": cursor})
        kept.append(stream.next())
        stream.close()
        return stream.answer.headers["Mercure-Last-Event-ID"] == "earliest"

    # Retention works beside publishing.
    check("it is told that there is a gap", until(is_told))
    check("and gets what is kept", int(kept[-1]["data"]) > 0)
