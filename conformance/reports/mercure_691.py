"""Everybody who knew the address could follow every topic: updates were public by default.

https://github.com/dunglas/mercure/issues/691
"""

from support.hub import PATH
from support.mercure import Stream, ask, bearer, publish, token

BOOK = "https://example.com/books/1"
OTHER = "https://example.com/books/2"


def test_a_private_update_needs_a_grant(start, check):
    hub = start(anonymous=False)
    check("without a token", ask(hub, "GET", PATH + "?match=*").status, 401)
    stream = Stream(hub, "match=*", bearer(token([{"match": BOOK}])))
    publish(hub, topic=OTHER, data="not granted", private="on")
    publish(hub, topic=BOOK, data="granted", private="on")
    check("a private update needs a grant", stream.data(1), ["granted"])
