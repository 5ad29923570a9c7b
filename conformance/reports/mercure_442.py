"""A page only saw "No 'Access-Control-Allow-Origin' header": the answer was an error, and errors lacked that header.

https://github.com/dunglas/mercure/issues/442
"""

from support.hub import PATH
from support.mercure import ask, bearer

PAGE = "https://app.example.com"


def test_a_page_may_read_refusals(start, check):
    hub = start(f'[cors]\norigins = ["{PAGE}"]\n', anonymous=False)
    for name, method, path, fields, status in (
        ("no token", "GET", PATH + "?match=*", {}, 401),
        ("a bad token", "GET", PATH + "?match=*", {"Authorization": "Bearer x"}, 401),
        ("no matcher", "GET", PATH, bearer(), 400),
        ("a method", "DELETE", PATH, {}, 405),
    ):
        answer = ask(hub, method, path, {"Origin": PAGE, **dict(fields)})
        check(f"{name}: status", answer.status, status)
        check(f"{name}: the page may read it", answer.headers["Access-Control-Allow-Origin"], PAGE)
