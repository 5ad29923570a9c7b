"""People spent hours on "the infamous 401": neither the answer nor the log said what was wrong with a token.

https://github.com/dunglas/mercure/issues/63
"""

import subprocess
import time

from support.hub import BINARY, DEADLINE_SECS, PATH
from support.mercure import ask, bearer, start, token


def run(checks):
    hub = start(anonymous=False)
    elsewhere = "https://elsewhere.example.com"
    wrong = {
        "ended": token(exp=int(time.time()) - 3600),
        elsewhere: token(aud=elsewhere),
        "issuer": token(iss=elsewhere),
    }
    for word, value in wrong.items():
        answer = ask(hub, "GET", PATH + "?match=*", bearer(value))
        checks.equal(f"{word}: status", answer.status, 401)
        checks.true(f"{word}: the answer says who knows why", "tidings token inspect" in answer.text)
        inspected = subprocess.run(
            [BINARY, "token", "inspect", "--config", str(hub.config), "-"],
            input=value, capture_output=True, text=True, timeout=DEADLINE_SECS, env={},
        )
        reasons = [line for line in inspected.stdout.splitlines() if "refused to subscribe" in line]
        checks.true(f"{word}: the reason is named in {reasons}", any(word in reason for reason in reasons))
    hub.stop()
