"""What happened while a phone was offline was lost: the server stored nothing, not even across its own restart.

https://github.com/supabase/supabase-flutter/issues/90
"""

from support.mercure import Stream, publish


def test_who_resumes_after_a_restart_misses_nothing(start, check):
    hub = start()
    stream = Stream(hub)
    publish(hub, topic="a", data="seen")
    cursor = stream.next()["id"]
    stream.close()
    publish(hub, topic="a", data="missed")
    hub.crash()
    publish(hub, topic="a", data="after the restart")
    back = Stream(hub, "match=*", {"Last-Event-ID": cursor})
    check("the cursor is known", back.answer.headers["Mercure-Last-Event-ID"], cursor)
    check("all that was missed", back.data(2), ["missed", "after the restart"])
    back.close()
