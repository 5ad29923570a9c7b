"""Tokens from before Mercure 1.0 with an independent library: PyJWT signs, the real binary decides.

Each algorithm and each form of the claim `mercure`, at the hub's path and at that of 2019. A token of 1.0 must get
none of their leniency.
"""

import json
import time
import urllib.parse

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from support.hub import PATH, Requests

PUBLIC_URL = "https://hub.example.com" + PATH
PATH_2019 = "/hub"
PATHS = {"at the hub's path": PATH, "at the path of 2019": PATH_2019}
SHORT_SECRET = "a short secret"
LONG_SECRET = "a secret that is as long as 1.0 asks for"
BOOK = "https://example.com/books/1"
EVERYTHING = {"mercure": {"publish": ["*"], "subscribe": ["*"]}}
ALGORITHMS = ["HS256", "HS512", "RS256", "PS384", "ES256"]


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


@pytest.fixture(scope="module")
def signers():
    """Returns, for each algorithm, the signing key and the key for the hub."""
    rsa_private, rsa_public = pem(rsa.generate_private_key(65537, 2048))
    ec_private, ec_public = pem(ec.generate_private_key(ec.SECP256R1()))
    return {
        "HS256": (SHORT_SECRET, SHORT_SECRET),
        "HS512": (SHORT_SECRET, SHORT_SECRET),
        "RS256": (rsa_private, rsa_public),
        "PS384": (rsa_private, rsa_public),
        "ES256": (ec_private, ec_public),
    }


@pytest.fixture(scope="module")
def hub(start_hub, signers):
    keys = [(name, told, ["0.x", "2019"]) for name, (_, told) in signers.items()]
    return start_hub(settings([*keys, ("HS256", LONG_SECRET, ["1.0", "0.x"])]))


@pytest.fixture(scope="module")
def requests(hub):
    return Requests(hub)


@pytest.mark.parametrize("act", [publish, subscribe])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_is_accepted(requests, signers, name, path, act):
    assert act(requests, path, jwt.encode(EVERYTHING, signers[name][0], name)) == 200


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_key_of_before_makes_no_token_of_1_0(requests, signers, name):
    token = jwt.encode(EVERYTHING, signers[name][0], name, {"typ": "at+jwt"})
    assert publish(requests, PATH, token) == 401


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_changed_signature_is_refused(requests, signers, name):
    token = jwt.encode(EVERYTHING, signers[name][0], name)
    changed = token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")
    assert publish(requests, PATH, changed) == 401


def test_a_token_without_a_signature_is_refused(requests):
    assert publish(requests, PATH, jwt.encode(EVERYTHING, None, "none")) == 401


def test_another_secret_is_refused(requests):
    # A public key must not work as a secret. PyJWT refuses to sign with one, so a short text stands in for it.
    assert publish(requests, PATH, jwt.encode(EVERYTHING, "other", "HS256")) == 401


def token_with(claims, **header):
    return jwt.encode(claims, SHORT_SECRET, "HS256", header)


def claim(**members):
    return token_with({"mercure": members})


# What the token is, how it is made when the test runs, and the answers at the two paths.
CLAIMS = [
    ("all topics, all targets", lambda now: claim(publish=["*"]), 200, 200),
    ("a topic", lambda now: claim(publish=[BOOK]), 200, 200),
    ("a template", lambda now: claim(publish=["https://example.com/books/{id}"]), 200, 200),
    ("another topic", lambda now: claim(publish=["https://example.com/other"]), 401, 200),
    ("an empty list", lambda now: claim(publish=[]), 401, 200),
    ("null", lambda now: claim(publish=None), 401, 401),
    ("no list", lambda now: claim(subscribe=["*"]), 401, 401),
    ("the claim under its URL", lambda now: token_with({"https://mercure.rocks/": {"publish": ["*"]}}), 200, 200),
    ("no claim", lambda now: token_with({"sub": "x"}), 401, 401),
    ("ended", lambda now: token_with({**EVERYTHING, "exp": now - 1}), 401, 401),
    ("not yet", lambda now: token_with({**EVERYTHING, "nbf": now + 600}), 401, 401),
    ("an end that is a fraction", lambda now: token_with({**EVERYTHING, "exp": now + 600.5}), 200, 200),
    ("no typ", lambda now: token_with(EVERYTHING, typ=None), 200, 200),
]


@pytest.mark.parametrize(
    "path, make, expected",
    [
        pytest.param(path, make, expected, id=f"{what}, {where}")
        for what, make, *answers in CLAIMS
        for (where, path), expected in zip(PATHS.items(), answers)
    ],
)
def test_a_claim(requests, path, make, expected):
    assert publish(requests, path, make(int(time.time()))) == expected


@pytest.mark.parametrize(
    "targets, asked, expected",
    [(["foo"], "foo", 200), (["foo"], "bar", 401), ([], "foo", 401), (["*"], "foo", 200)],
)
def test_a_target(requests, targets, asked, expected):
    assert publish(requests, PATH_2019, claim(publish=targets), target=asked) == expected


def of_1_0(without=(), typ="at+jwt", **more):
    """Returns a token of 1.0, signed with the key of both dialects."""
    claims = {
        "iss": "https://issuer.example",
        "aud": PUBLIC_URL,
        "exp": int(time.time()) + 600,
        "authorization_details": [
            {
                "type": "https://mercure.rocks/authorization-detail",
                "actions": ["publish"],
                "topics": [{"match": "*"}],
            }
        ],
        **more,
    }
    kept = {name: value for name, value in claims.items() if name not in without}
    return jwt.encode(kept, LONG_SECRET, "HS256", {"typ": typ})


def old_by_the_key_of_both(**header):
    return jwt.encode(EVERYTHING, LONG_SECRET, "HS256", header)


@pytest.mark.parametrize(
    "path, make, expected",
    [
        pytest.param(PATH, old_by_the_key_of_both, 200, id="an old token"),
        pytest.param(PATH_2019, old_by_the_key_of_both, 401, id="an old token of 2019"),
        pytest.param(PATH, of_1_0, 200, id="a token of 1.0"),
        pytest.param(PATH_2019, of_1_0, 401, id="a token of 1.0 at the path of 2019"),
    ],
)
def test_a_key_of_both(requests, path, make, expected):
    assert publish(requests, path, make()) == expected


# A key of both dialects: its tokens of 1.0 must meet all rules of 1.0.
@pytest.mark.parametrize("more", [{}, EVERYTHING], ids=["as it is", "with the old claim"])
@pytest.mark.parametrize("name", ["iss", "aud", "exp"])
def test_a_claim_that_1_0_asks_for_is_missing(requests, name, more):
    assert publish(requests, PATH, of_1_0([name], **more)) == 401


@pytest.mark.parametrize("more", [{}, EVERYTHING], ids=["as it is", "with the old claim"])
def test_a_token_of_1_0_has_its_typ(requests, more):
    assert publish(requests, PATH, of_1_0(typ="JWT", **more)) == 401


def test_the_old_claim_makes_no_token_of_1_0(requests):
    assert publish(requests, PATH, old_by_the_key_of_both(typ="at+jwt")) == 401


def test_the_log_warns_of_the_short_secret(hub):
    assert "needs at least 32" in "".join(hub.log)
