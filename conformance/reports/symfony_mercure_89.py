"""Hubs in production ran with the key of the examples, with which anybody can sign.

https://github.com/symfony/mercure/issues/89
"""

import subprocess
import tempfile

from support.hub import BINARY, DEADLINE_SECS
from support.mercure import ISSUER, PUBLIC_URL


def run(checks):
    for key in ("!ChangeThisMercureHubJWTSecretKey!", "short", ""):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(f'[hub]\npublic_url = "{PUBLIC_URL}"\n[[listen]]\naddress = "127.0.0.1:0"\n')
            file.write(f'[[auth.issuers]]\nissuer = "{ISSUER}"\nkey = "{key}"\n')
            file.flush()
            checked = subprocess.run(
                [BINARY, "config", "check", "--config", file.name],
                capture_output=True, text=True, timeout=DEADLINE_SECS, env={},
            )
        checks.true(f"the key {key!r} is refused", checked.returncode != 0)
        checks.true(f"the key {key!r} is named by its place", "key" in checked.stderr)
