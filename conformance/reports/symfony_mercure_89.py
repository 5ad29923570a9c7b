"""Hubs in production ran with the key from the examples, with which anybody can sign tokens.

https://github.com/symfony/mercure/issues/89
"""

from support.hub import config_check
from support.mercure import ISSUER, PUBLIC_URL


def test_a_default_key_is_refused(check):
    for key in ("!ChangeThisMercureHubJWTSecretKey!", "short", ""):
        toml = f'[hub]\npublic_url = "{PUBLIC_URL}"\n[[listen]]\naddress = "127.0.0.1:0"\n'
        checked = config_check(toml + f'[[auth.issuers]]\nissuer = "{ISSUER}"\nkey = "{key}"\n')
        check(f"the key {key!r} is refused", checked.returncode != 0)
        check(f"the key {key!r} is named by its place", "key" in checked.stderr)
