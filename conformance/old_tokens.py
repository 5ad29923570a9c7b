"""Tokens of before Mercure 1.0 by a library that nobody here wrote: PyJWT signs, the real binary decides.

Each algorithm and each form of the claim `mercure`, at the hub's path and at that of 2019; and that none of
their leniency is given to a token of 1.0. Prints `N passed, N failed`.
"""

import json
import pathlib
import sys
import time
import urllib.parse

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support.hub import PATH, Checks, Hub, Requests  # noqa: E402

PUBLIC_URL = "https://hub.example.com" + PATH
PATH_2019 = "/hub"
SHORT_SECRET = "a short secret"
BOOK = "https://example.com/books/1"


def pem(key):
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public.decode()


def settings(keys):
    toml = f'[hub]\npublic_url = "{PUBLIC_URL}"\n[dialects]\nv0 = true\nv2019 = true\n'
    for algorithm, text, dialects in keys:
        toml += f"[[auth.issuers]]\nalgorithm = \"{algorithm}\"\nkey = '''{text}'''\n"
        toml += f"dialects = {json.dumps(dialects)}\n"
        if "1.0" in dialects:
            toml += 'issuer = "https://issuer.example"\n'
    return toml + '[[listen]]\naddress = "127.0.0.1:0"\n'


def publish(requests, path, token, **more):
    status, _ = requests.send("POST", path, token, {"topic": BOOK, "data": "hello", **more})
    return status


def subscribe(requests, path, token):
    status, _ = requests.send("HEAD", path + "?topic=" + urllib.parse.quote(BOOK), token)
    return status


def main():
    rsa_private, rsa_public = pem(rsa.generate_private_key(65537, 2048))
    ec_private, ec_public = pem(ec.generate_private_key(ec.SECP256R1()))
    long_secret = "a secret that is as long as 1.0 asks for"
    signers = {
        "HS256": (SHORT_SECRET, SHORT_SECRET),
        "HS512": (SHORT_SECRET, SHORT_SECRET),
        "RS256": (rsa_private, rsa_public),
        "PS384": (rsa_private, rsa_public),
        "ES256": (ec_private, ec_public),
    }
    keys = [(name, told, ["0.x", "2019"]) for name, (_, told) in signers.items()]
    hub = Hub(settings(keys + [("HS256", long_secret, ["1.0", "0.x"])]))
    requests = Requests(hub)
    checks = Checks()
    everything = {"mercure": {"publish": ["*"], "subscribe": ["*"]}}

    for name, (key, _) in signers.items():
        token = jwt.encode(everything, key, name)
        for path in (PATH, PATH_2019):
            checks.equal(f"{name} publishes at {path}", publish(requests, path, token), 200)
            checks.equal(f"{name} subscribes at {path}", subscribe(requests, path, token), 200)
        checks.equal(f"{name} as a token of 1.0", publish(requests, PATH, jwt.encode(everything, key, name, {"typ": "at+jwt"})), 401)
        broken = token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")
        checks.equal(f"{name}, signature changed", publish(requests, PATH, broken), 401)
    checks.equal("alg none", publish(requests, PATH, jwt.encode(everything, None, "none")), 401)
    # A public key is nobody's secret. PyJWT refuses to sign with one, so a short text stands for any.
    checks.equal("another secret", publish(requests, PATH, jwt.encode(everything, "other", "HS256")), 401)

    def claim(**members):
        return jwt.encode({"mercure": members}, SHORT_SECRET, "HS256")

    now = int(time.time())
    for what, token, at_hub, at_2019 in (
        ("all topics, all targets", claim(publish=["*"]), 200, 200),
        ("a topic", claim(publish=[BOOK]), 200, 200),
        ("a template", claim(publish=["https://example.com/books/{id}"]), 200, 200),
        ("another topic", claim(publish=["https://example.com/other"]), 401, 200),
        ("an empty list", claim(publish=[]), 401, 200),
        ("null", claim(publish=None), 401, 401),
        ("no list", claim(subscribe=["*"]), 401, 401),
        ("the claim under its URL", jwt.encode({"https://mercure.rocks/": {"publish": ["*"]}}, SHORT_SECRET, "HS256"), 200, 200),
        ("no claim", jwt.encode({"sub": "x"}, SHORT_SECRET, "HS256"), 401, 401),
        ("ended", jwt.encode({**everything, "exp": now - 1}, SHORT_SECRET, "HS256"), 401, 401),
        ("not yet", jwt.encode({**everything, "nbf": now + 600}, SHORT_SECRET, "HS256"), 401, 401),
        ("an end that is a fraction", jwt.encode({**everything, "exp": now + 600.5}, SHORT_SECRET, "HS256"), 200, 200),
        ("no typ", jwt.encode(everything, SHORT_SECRET, "HS256", {"typ": None}), 200, 200),
    ):
        checks.equal(f"{what}, at the hub's path", publish(requests, PATH, token), at_hub)
        checks.equal(f"{what}, at the path of 2019", publish(requests, PATH_2019, token), at_2019)

    for targets, asked, status in ((["foo"], "foo", 200), (["foo"], "bar", 401), ([], "foo", 401), (["*"], "foo", 200)):
        found = publish(requests, PATH_2019, claim(publish=targets), target=asked)
        checks.equal(f"target {asked} with {targets}", found, status)

    # A key of both: its tokens of 1.0 keep to all rules of 1.0.
    modern = {
        "iss": "https://issuer.example",
        "aud": PUBLIC_URL,
        "exp": now + 600,
        "authorization_details": [
            {
                "type": "https://mercure.rocks/authorization-detail",
                "actions": ["publish"],
                "topics": [{"match": "*"}],
            }
        ],
    }

    def of_1_0(changes=(), typ="at+jwt", **more):
        claims = {**modern, **more}
        for name in changes:
            del claims[name]
        return jwt.encode(claims, long_secret, "HS256", {"typ": typ})

    both = jwt.encode(everything, long_secret, "HS256")
    checks.equal("a key of both, an old token", publish(requests, PATH, both), 200)
    checks.equal("a key of both, an old token of 2019", publish(requests, PATH_2019, both), 401)
    checks.equal("a key of both, a token of 1.0", publish(requests, PATH, of_1_0()), 200)
    checks.equal("a token of 1.0 at the path of 2019", publish(requests, PATH_2019, of_1_0()), 401)
    for name in ("iss", "aud", "exp"):
        checks.equal(f"1.0 without {name}", publish(requests, PATH, of_1_0([name])), 401)
        checks.equal(f"1.0 without {name}, with the old claim", publish(requests, PATH, of_1_0([name], **everything)), 401)
    checks.equal("1.0 as typ JWT", publish(requests, PATH, of_1_0(typ="JWT")), 401)
    checks.equal("1.0 as typ JWT, with the old claim", publish(requests, PATH, of_1_0(typ="JWT", **everything)), 401)
    checks.equal("the old claim as typ at+jwt", publish(requests, PATH, jwt.encode(everything, long_secret, "HS256", {"typ": "at+jwt"})), 401)
    checks.equal("the log warns of the short secret", "needs at least 32" in "".join(hub.log), True)
    checks.equal("the hub ends well", hub.stop(), 0)
    checks.finish()


if __name__ == "__main__":
    main()
