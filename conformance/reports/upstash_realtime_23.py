"""An event that was published while a subscriber was catching up was lost: the history was read before the subscriber
was registered for live events.

https://github.com/upstash/realtime/issues/23
"""

import threading

from support.mercure import Stream, publish

UPDATES = 400


def test_nothing_is_lost_between_replay_and_live(start, check):
    hub = start()
    first = publish(hub, topic="a", data="first")

    def publish_all():
        for number in range(UPDATES):
            publish(hub, topic="a", data=number)

    publisher = threading.Thread(target=publish_all)
    publisher.start()
    expected = [str(number) for number in range(UPDATES)]
    for number in range(8):
        stream = Stream(hub, "match=*", {"Last-Event-ID": first})
        check(f"visitor {number} gets each once", stream.data(UPDATES), expected)
        stream.close()
    publisher.join()
