"""What happened while a phone was offline was gone: the server kept nothing, not even over its own restart.

https://github.com/supabase/supabase-flutter/issues/90
"""

from support.mercure import Stream, publish, start


def run(checks):
    hub = start()
    stream = Stream(hub)
    publish(hub, topic="a", data="seen")
    cursor = stream.next()["id"]
    stream.close()
    publish(hub, topic="a", data="missed")
    hub.crash()
    publish(hub, topic="a", data="after the restart")
    back = Stream(hub, "match=*", {"Last-Event-ID": cursor})
    checks.equal("the cursor is known", back.answer.headers["Mercure-Last-Event-ID"], cursor)
    checks.equal("all that was missed", back.data(2), ["missed", "after the restart"])
    back.close()
    hub.stop()
