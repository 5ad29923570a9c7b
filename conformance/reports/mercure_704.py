"""A subscriber came back with an id that the hub had never seen, and silently missed all stored updates.

https://github.com/dunglas/mercure/issues/704
"""

from support.mercure import Stream, publish


def test_an_unknown_cursor_is_answered_earliest(start, check):
    hub = start()
    for number in range(3):
        publish(hub, topic="a", data=number)
    stream = Stream(hub, "match=*", {"Last-Event-ID": "urn:uuid:00000000-0000-4000-8000-000000000000"})
    check("the answer says that the cursor is unknown", stream.answer.headers["Mercure-Last-Event-ID"], "earliest")
    check("everything that is kept follows", stream.data(3), ["0", "1", "2"])
