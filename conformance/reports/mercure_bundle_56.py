"""A library wrote `exp` with a fraction, and every token was refused with 401.

https://github.com/symfony/mercure-bundle/issues/56
"""

import time

from support.mercure import bearer, post, token


def test_times_of_a_token_may_be_fractions(start, check):
    hub = start()
    value = token(exp=time.time() + 600.5, iat=time.time() - 0.5)
    check("status", post(hub, bearer(value), topic="a", data="x").status, 200)
