"""After a deploy, people who had left long ago were still present, because nobody reported that they had left.

https://github.com/phoenixframework/phoenix/issues/2306
"""

import json

from support.hub import PATH
from support.mercure import Stream, ask, bearer


def test_a_crash_ends_presence(start, check):
    hub = start("[presence]\nenabled = true\ngrace_secs = 0\n")
    streams = [Stream(hub, "match=a", bearer()) for _ in range(3)]
    # Said, and so in the history, not only known.
    check("they are present", hub.wait_for_metric("tidings_presence_events_total", 3))
    hub.crash()
    path = PATH + "/subscriptions"
    check("nobody is there", ask(hub, "GET", path, bearer()).json()["subscriptions"], [])
    watcher = Stream(hub, "match=*&last_event_id=earliest", bearer())
    ended = set()
    while len(ended) < 3:
        event = json.loads(watcher.next()["data"])
        if not event["active"]:
            ended.add(event["id"])
    check("the end of each is said", len(ended), 3)
    for stream in streams:
        stream.close()
    watcher.close()
