"""Applications reach the hub by an internal address and browsers by a public one; only tokens for one of the two
were accepted.

https://github.com/dunglas/mercure/pull/1376
"""

from support.mercure import PUBLIC_URL, bearer, post, token

INTERNAL = "http://mercure/.well-known/mercure"


def test_each_audience_of_the_list_is_accepted(start, check):
    hub = start(f'[auth]\naudiences = ["{PUBLIC_URL}", "{INTERNAL}"]\n')
    for audience, status in ((PUBLIC_URL, 200), (INTERNAL, 200), ("http://elsewhere/", 401)):
        answer = post(hub, bearer(token(aud=audience)), topic="a", data="x")
        check(audience, answer.status, status)
