"""Access tokens by a library that nobody here wrote: PyJWT signs, the real binary decides.

Each of the twelve algorithms is accepted with its own key, and refused with any other key, under any
other name, and after a change of one byte. Prints `N passed, N failed`.
"""

import base64
import json
import pathlib
import sys
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support.hub import PATH, Checks, Hub, Requests  # noqa: E402

PUBLIC_URL = "https://hub.example.com" + PATH
DETAIL_TYPE = "https://mercure.rocks/authorization-detail"


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
    """Returns for each algorithm what signs and what the hub is told; every key is new."""
    keys = {}
    for name in ("HS256", "HS384", "HS512"):
        secret = (name * 13).encode()
        keys[name] = (secret, secret)
    for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
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


def publish(requests, token):
    return requests.send("POST", PATH, token, {"topic": "https://example.com/books/1", "data": "hello"})


def subscribe(requests, token):
    return requests.send("HEAD", PATH + "?match=*", token)


ACCEPTED = (200, None)
METADATA = "https://hub.example.com/.well-known/oauth-protected-resource/.well-known/mercure"
INVALID = (401, f'Bearer error="invalid_token", resource_metadata="{METADATA}"')


def main():
    keys = make_keys()
    toml = f'[hub]\npublic_url = "{PUBLIC_URL}"\n'
    for name, (_, told) in keys.items():
        toml += (
            f'[[auth.issuers]]\nissuer = "{issuer(name)}"\nalgorithm = "{name}"\n'
            f"key = '''{told.decode()}'''\n"
        )
    hub = Hub(toml + '[[listen]]\naddress = "127.0.0.1:0"\n')
    requests = Requests(hub)
    checks = Checks()

    def expect(what, token, expected):
        checks.equal(f"{what}, publishing", publish(requests, token), expected)
        checks.equal(f"{what}, subscribing", subscribe(requests, token), expected)

    strangers = make_keys()
    for name, (key, told) in keys.items():
        good = sign(name, key, claims(name))
        expect(f"{name}", good, ACCEPTED)
        for part, what in enumerate(("header", "claims", "signature")):
            expect(f"{name}, {what} changed", changed(good, part), INVALID)
        expect(f"{name}, signature left out", good.rsplit(".", 1)[0] + ".", INVALID)
        if not name.startswith("HS"):
            expect(f"{name}, a stranger's key", sign(name, strangers[name][0], claims(name)), INVALID)
        ended = {**claims(name), "exp": int(time.time()) - 1}
        expect(f"{name}, ended", sign(name, key, ended), INVALID)
        elsewhere = {**claims(name), "aud": "https://other.example"}
        expect(f"{name}, for another hub", sign(name, key, elsewhere), INVALID)
        several = {**claims(name), "aud": ["https://other.example", PUBLIC_URL]}
        expect(f"{name}, for several hubs", sign(name, key, several), ACCEPTED)
        expect(f"{name}, typ JWT", sign(name, key, claims(name), typ="JWT"), INVALID)
        expect(f"{name}, crit", sign(name, key, claims(name), crit=["x"], x=1), INVALID)
        # Another issuer's name with this key, and this issuer's name with another algorithm.
        for other, (other_key, _) in keys.items():
            if other != name:
                expect(f"{other} as {name}", sign(other, other_key, claims(name)), INVALID)
                break
        if name[:2] in ("RS", "PS"):
            wrong = ("PS" if name.startswith("RS") else "RS") + name[2:]
            expect(f"{name}'s key for {wrong}", sign(wrong, key, claims(name)), INVALID)
        if not name.startswith("HS"):
            # What a library refuses to sign, written by hand: the public key as a secret.
            header = {"alg": "HS256", "typ": "at+jwt"}
            expect(f"{name}'s public key as a secret", by_hand(header, claims(name), told), INVALID)
        header = {"alg": "none", "typ": "at+jwt"}
        expect(f"{name}, alg none", by_hand(header, claims(name), None), INVALID)
    checks.equal("the hub ends well", hub.stop(), 0)
    checks.finish()


def by_hand(header, payload, secret):
    import hashlib
    import hmac

    def encoded(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, payload))
    if secret is None:
        return signed + "."
    return signed + "." + encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())


if __name__ == "__main__":
    main()
