"""The hub sent its newest id as the cursor of a new stream, although nothing was replayed; the id could belong to a
private update.

https://github.com/dunglas/mercure/pull/1321
"""

from support.mercure import Stream, publish


def test_no_id_of_a_private_update_is_named(start, check):
    hub = start()
    publish(hub, topic="a", data="seen", id="urn:example:public")
    publish(hub, topic="a", data="hidden", id="urn:example:secret", private="on")
    stream = Stream(hub, "match=*")
    check("no id of a private update", "secret" not in str(stream.answer.headers))
    stream.close()
    unknown = Stream(hub, "match=*", {"Last-Event-ID": "urn:example:unknown"})
    check("an unknown cursor", unknown.answer.headers["Mercure-Last-Event-ID"], "earliest")
    check("what may be seen follows", unknown.data(1), ["seen"])
