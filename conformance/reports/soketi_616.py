"""A channel was reported empty while others were still in it: one of several connections had left.

https://github.com/soketi/soketi/issues/616
"""

import json
from urllib.parse import quote, urlencode

from support.hub import PATH
from support.mercure import Stream, ask, bearer

TOPIC = "https://example.com/room"


def test_one_of_several_subscriptions_ends_alone(start, check):
    hub = start("[presence]\nenabled = true\ngrace_secs = 0\n")
    watcher = Stream(hub, urlencode({"match": "*"}), bearer())
    query = urlencode({"match": TOPIC})
    one, two = Stream(hub, query, bearer()), Stream(hub, query, bearer())
    check("they are present", hub.wait_for_metric("tidings_presence_subscriptions", 3))
    one.close()
    ended = []
    while not ended:
        event = json.loads(watcher.next()["data"])
        if event["match"] == TOPIC and not event["active"]:
            ended.append(event["id"])
    path = f"{PATH}/subscriptions/exact/{quote(TOPIC, safe='')}"
    left = [item["id"] for item in ask(hub, "GET", path, bearer()).json()["subscriptions"]]
    check("one subscription is left", len(left), 1)
    check("and it is the other one", left[0] not in ended)
    two.close()
    watcher.close()
