"""The log contained tokens: everyone who could read it could publish.

https://github.com/dunglas/mercure/issues/594
"""

from support.hub import PATH
from support.mercure import ask, bearer, post, token


def test_no_token_is_logged(start, check):
    hub = start()
    value = token()
    post(hub, bearer(value), topic="a", data="x")
    post(hub, bearer(value + "x"), topic="a", data="x")
    ask(hub, "GET", f"{PATH}?match=*&authorization={value}", {"Prefer": "wait=0"})
    signature = value.rsplit(".", 1)[1]
    hub.stop()
    check("something was logged", bool(hub.log))
    check("no token in the log", signature not in "".join(hub.log))
