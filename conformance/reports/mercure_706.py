"""The subscription API ignored the topic that it was asked about.

https://github.com/dunglas/mercure/issues/706
"""

from urllib.parse import quote, urlencode

from support.hub import PATH
from support.mercure import Stream, ask, bearer

TOPICS = ["https://example.com/books/1", "https://example.com/books/2"]


def test_subscriptions_of_a_topic_are_only_its_own(start, check):
    hub = start("[presence]\nenabled = true\n")
    streams = [Stream(hub, urlencode({"match": topic}), bearer()) for topic in TOPICS]
    check("they are present", hub.wait_for_metric("tidings_presence_subscriptions", 2))
    path = f"{PATH}/subscriptions/exact/{quote(TOPICS[0], safe='')}"
    answer = ask(hub, "GET", path, bearer())
    check("status", answer.status, 200)
    found = [subscription["match"] for subscription in answer.json()["subscriptions"]]
    check("only the topic asked about", found, TOPICS[:1])
    for stream in streams:
        stream.close()
