"""Two applications on one domain needed cookies of different names, but the hub knew only one.

https://github.com/dunglas/mercure/pull/562
"""

from support.mercure import Stream, publish, token


def test_each_cookie_name_is_accepted(start, check):
    hub = start('[auth]\ncookie_names = ["one", "two"]\n', anonymous=False)
    streams = [Stream(hub, "match=*", {"Cookie": f"{name}={token()}"}) for name in ("one", "two", "three")]
    check("statuses", [stream.answer.status for stream in streams], [200, 200, 401])
    publish(hub, topic="a", data="x", private="on")
    check("both receive", [stream.data(1) for stream in streams[:2]], [["x"], ["x"]])
