"""An update with alternate topics reached only some of their subscribers.

https://github.com/dunglas/mercure/issues/516
"""

from urllib.parse import urlencode

from support.mercure import Stream, publish

TOPICS = ["https://example.com/books/1", "https://example.com/authors/2", "https://example.com/shelves/3"]


def test_an_update_with_several_topics_comes_once(start, check):
    hub = start()
    each = [Stream(hub, urlencode({"match": topic})) for topic in TOPICS]
    both = Stream(hub, urlencode([("match", topic) for topic in TOPICS]))
    publish(hub, topic=TOPICS, data="one")
    publish(hub, topic=TOPICS[0], data="two")
    for topic, stream in zip(TOPICS, each):
        check(topic, stream.data(1), ["one"])
    check("who asks for all gets it once", both.data(2), ["one", "two"])
