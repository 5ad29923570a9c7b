"""People spent hours on "the infamous 401": neither the answer nor the log said what was wrong with a token.

https://github.com/dunglas/mercure/issues/63
"""

import time

from support.hub import PATH, tidings
from support.mercure import ask, bearer, token


def test_a_refused_token_can_be_inspected(start, check):
    hub = start(anonymous=False)
    elsewhere = "https://elsewhere.example.com"
    wrong = {
        "expired": token(exp=int(time.time()) - 3600),
        elsewhere: token(aud=elsewhere),
        "issuer": token(iss=elsewhere),
    }
    for word, value in wrong.items():
        answer = ask(hub, "GET", PATH + "?match=*", bearer(value))
        check(f"{word}: status", answer.status, 401)
        check(f"{word}: the answer says who knows why", "tidings token inspect" in answer.text)
        inspected = tidings("token", "inspect", "--config", hub.config, "-", input=value)
        reasons = [line for line in inspected.stdout.splitlines() if "refused to subscribe" in line]
        check(f"{word}: the reason is named in {reasons}", any(word in reason for reason in reasons))
