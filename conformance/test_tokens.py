"""Access tokens with an independent library: PyJWT signs, the real binary decides.

Each of the twelve algorithms is accepted with its own key, and refused with any other key, under any
other name, and after a change of one byte. What `tidings token make` signs, PyJWT accepts.
"""

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from support.hub import PATH, Requests, tidings

PUBLIC_URL = "https://hub.example.com" + PATH
DETAIL_TYPE = "https://mercure.rocks/authorization-detail"
SECRETS = ("HS256", "HS384", "HS512")
RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = (*SECRETS, *RSA, "ES256", "ES384", "EdDSA")
ACCEPTED = (200, None)
METADATA = "https://hub.example.com/.well-known/oauth-protected-resource/.well-known/mercure"
INVALID = (401, f'Bearer error="invalid_token", resource_metadata="{METADATA}"')


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def make_keys():
    """Returns, for each algorithm, a new signing key and the key for the hub."""
    keys = {}
    for name in SECRETS:
        secret = (name * 13).encode()
        keys[name] = (secret, secret)
    for name in RSA:
        key = rsa.generate_private_key(65537, 2048)
        keys[name] = (private_pem(key), public_pem(key))
    for name, key in (
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ):
        keys[name] = (private_pem(key), public_pem(key))
    return keys


def issuer(name):
    return f"https://{name.lower()}.example"


def claims(name):
    now = int(time.time())
    return {
        "iss": issuer(name),
        "aud": PUBLIC_URL,
        "sub": "conformance",
        "client_id": "conformance",
        "iat": now,
        "exp": now + 600,
        "jti": "conformance",
        "authorization_details": [
            {"type": DETAIL_TYPE, "actions": ["publish", "subscribe"], "topics": [{"match": "*"}]}
        ],
    }


def sign(algorithm, key, payload, **header):
    return jwt.encode(payload, key, algorithm, headers={"typ": "at+jwt", **header})


def changed(token, part):
    """Flips one bit in the middle of a part."""
    parts = token.split(".")
    text = parts[part]
    data = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    data[len(data) // 2] ^= 1
    parts[part] = base64.urlsafe_b64encode(bytes(data)).rstrip(b"=").decode()
    return ".".join(parts)


def by_hand(header, payload, secret):
    def encoded(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, payload))
    if secret is None:
        return signed + "."
    return signed + "." + encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())


class Signed:
    """Tokens of one issuer: what each case sends. `keys` and `strangers` are made by `make_keys`."""

    def __init__(self, name, keys, strangers):
        self.name, self.keys, self.strangers = name, keys, strangers
        self.key, self.told = keys[name]

    def own(self, **header):
        return sign(self.name, self.key, claims(self.name), **header)

    def with_claims(self, **changed_claims):
        return sign(self.name, self.key, {**claims(self.name), **changed_claims})

    def without_signature(self):
        return self.own().rsplit(".", 1)[0] + "."

    def of_a_stranger(self):
        return sign(self.name, self.strangers[self.name][0], claims(self.name))

    def by_another_issuer(self):
        other = next(name for name in ALGORITHMS if name != self.name)
        return sign(other, self.keys[other][0], claims(self.name))

    def of_the_other_padding(self):
        other = ("PS" if self.name.startswith("RS") else "RS") + self.name[2:]
        return sign(other, self.key, claims(self.name))

    def by_the_public_key(self):
        """Signs with the public key as a secret, by hand, because libraries refuse to."""
        return by_hand({"alg": "HS256", "typ": "at+jwt"}, claims(self.name), self.told)

    def unsigned(self):
        return by_hand({"alg": "none", "typ": "at+jwt"}, claims(self.name), None)


ELSEWHERE = "https://other.example"
# What is sent, how it is made, what the hub answers, and for which algorithms.
CASES = [
    ("its own key", lambda signed: signed.own(), ACCEPTED, ALGORITHMS),
    ("header changed", lambda signed: changed(signed.own(), 0), INVALID, ALGORITHMS),
    ("claims changed", lambda signed: changed(signed.own(), 1), INVALID, ALGORITHMS),
    ("signature changed", lambda signed: changed(signed.own(), 2), INVALID, ALGORITHMS),
    ("signature left out", Signed.without_signature, INVALID, ALGORITHMS),
    ("a stranger's key", Signed.of_a_stranger, INVALID, ALGORITHMS[3:]),
    ("ended", lambda signed: signed.with_claims(exp=int(time.time()) - 1), INVALID, ALGORITHMS),
    ("for another hub", lambda signed: signed.with_claims(aud=ELSEWHERE), INVALID, ALGORITHMS),
    ("for several hubs", lambda signed: signed.with_claims(aud=[ELSEWHERE, PUBLIC_URL]), ACCEPTED, ALGORITHMS),
    ("typ JWT", lambda signed: signed.own(typ="JWT"), INVALID, ALGORITHMS),
    ("crit", lambda signed: signed.own(crit=["x"], x=1), INVALID, ALGORITHMS),
    ("another issuer's key", Signed.by_another_issuer, INVALID, ALGORITHMS),
    ("RSA of the other padding", Signed.of_the_other_padding, INVALID, RSA),
    ("the public key as a secret", Signed.by_the_public_key, INVALID, ALGORITHMS[3:]),
    ("alg none", Signed.unsigned, INVALID, ALGORITHMS),
]
ACTIONS = {
    "publishing": lambda requests, token: requests.send(
        "POST", PATH, token, {"topic": "https://example.com/books/1", "data": "hello"}
    ),
    "subscribing": lambda requests, token: requests.send("HEAD", PATH + "?match=*", token),
}


@pytest.fixture(scope="module")
def keys():
    return make_keys()


@pytest.fixture(scope="module")
def strangers():
    return make_keys()


@pytest.fixture(scope="module")
def requests(start_hub, keys):
    toml = f'[hub]\npublic_url = "{PUBLIC_URL}"\n'
    for name, (_, told) in keys.items():
        toml += (
            f'[[auth.issuers]]\nissuer = "{issuer(name)}"\nalgorithm = "{name}"\n'
            f"key = '''{told.decode()}'''\n"
        )
    return Requests(start_hub(toml + '[[listen]]\naddress = "127.0.0.1:0"\n'))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "name, make, expected",
    [
        pytest.param(name, make, expected, id=f"{name}, {what}")
        for name in ALGORITHMS
        for what, make, expected, names in CASES
        if name in names
    ],
)
def test_token(requests, keys, strangers, name, make, expected, action):
    token = make(Signed(name, keys, strangers))
    assert ACTIONS[action](requests, token) == expected


def pkcs1_pem(private):
    key = serialization.load_pem_private_key(private, None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    "name, form",
    [
        *[pytest.param(name, lambda private: private, id=name) for name in ALGORITHMS],
        *[pytest.param(name, pkcs1_pem, id=f"{name}, PKCS #1") for name in RSA],
    ],
)
def test_made_token(requests, keys, tmp_path, name, form):
    private, told = keys[name]
    key_file = tmp_path / "key"
    key_file.write_bytes(form(private))
    key = ("--key-file", key_file, "--algorithm", name, "--kid", "k1")
    meant = ("--issuer", issuer(name), "--audience", PUBLIC_URL)
    made = tidings("token", "make", *key, *meant, "--publish=*", "--subscribe=*")
    assert (made.returncode, made.stderr) == (0, "")
    token = made.stdout.strip()
    payload = jwt.decode(token, told, [name], audience=PUBLIC_URL, issuer=issuer(name))
    assert {"sub", "client_id", "iat", "exp", "jti"} <= payload.keys()
    assert jwt.get_unverified_header(token) == {"alg": name, "typ": "at+jwt", "kid": "k1"}
    for send in ACTIONS.values():
        assert send(requests, token) == ACCEPTED
