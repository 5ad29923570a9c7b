"""A publisher and a subscriber, as applications use them, and their tokens."""

import http.client
import json
import random
import time
import urllib.parse

import jwt

from .hub import PATH, Hub
from .waiting import DEADLINE_SECS

ISSUER = "https://issuer.example.com"
SECRET = "0123456789abcdef0123456789abcdef"
PUBLIC_URL = "https://localhost" + PATH
GRANT = "https://mercure.rocks/authorization-detail"


def start(settings="", anonymous=True, drain_secs=0, files=()):
    """Starts a hub that knows the tokens below; `settings` comes after its own."""
    return Hub(configuration(settings, anonymous, drain_secs), files)


def configuration(settings="", anonymous=True, drain_secs=0):
    """Returns the configuration of a hub that knows the tokens below."""
    return f"""
[hub]
public_url = "{PUBLIC_URL}"
[[listen]]
address = "127.0.0.1:0"
[[auth.issuers]]
issuer = "{ISSUER}"
key = "{SECRET}"
[server]
drain_secs = {drain_secs}
[subscribe]
anonymous = {str(anonymous).lower()}
{settings}
"""


def token(topics=({"match": "*"},), actions=("publish", "subscribe"), **claims):
    """Returns an access token that grants `actions` on `topics`; `claims` replace its own."""
    now = int(time.time())
    own = {
        "iss": ISSUER,
        "aud": PUBLIC_URL,
        "sub": "test",
        "client_id": "test",
        "iat": now,
        "exp": now + 3600,
        "jti": str(random.random()),
        "authorization_details": [{"type": GRANT, "actions": list(actions), "topics": list(topics)}],
    }
    return jwt.encode({**own, **claims}, SECRET, headers={"typ": "at+jwt"})


class Answer:
    """A whole answer: status, fields, text."""

    def __init__(self, answer):
        self.status = answer.status
        self.headers = answer.headers
        self.text = answer.read().decode()

    def json(self):
        return json.loads(self.text)


def ask(hub, method, path, headers=(), body=None, kind="plain"):
    """Sends one request on a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port(kind), timeout=DEADLINE_SECS)
    try:
        connection.request(method, path, body, dict(headers))
        return Answer(connection.getresponse())
    finally:
        connection.close()


def bearer(value=None):
    return {"Authorization": "Bearer " + (value or token())}


def post(hub, headers=None, **fields):
    """Publishes; returns the answer. A field that is a list is sent once for each of its values."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    headers = {**(bearer() if headers is None else headers), **form}
    return ask(hub, "POST", PATH, headers, urllib.parse.urlencode(fields, doseq=True))


def publish(hub, **fields):
    """Publishes as an application does; returns the event id."""
    answer = post(hub, **fields)
    if answer.status != 200:
        raise AssertionError(f"{answer.status}: {answer.text}")
    return answer.text


class Stream:
    """An event stream, as a browser reads it."""

    def __init__(self, hub, query="match=*", headers=(), timeout=DEADLINE_SECS):
        self.connection = http.client.HTTPConnection("127.0.0.1", hub.port(), timeout=timeout)
        self.connection.request("GET", f"{PATH}?{query}", headers=dict(headers))
        self.answer = self.connection.getresponse()

    def next(self):
        """Returns the fields of the next event; nothing if the stream ends first."""
        fields = {}
        while line := self.answer.readline():
            line = line.decode().rstrip("\n")
            if not line and "data" in fields:
                return fields
            name, _, value = line.partition(": ")
            # A line that begins with a colon is a comment.
            if name.strip(":"):
                fields[name] = value
        return None

    def data(self, count):
        """Returns the data of the next events."""
        return [self.next()["data"] for _ in range(count)]

    def comment(self):
        """Waits for the next comment; returns whether one came before the end."""
        while line := self.answer.readline():
            if line.startswith(b":"):
                return True
        return False

    def close(self):
        self.answer.close()
        self.connection.close()
