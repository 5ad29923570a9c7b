"""The OpenAPI document of the admin API, by an outside validator, and the hub's real responses, by `jsonschema`."""

import http.client
import json

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from support import mercure
from support.hub import PATH, ROOT
from support.waiting import DEADLINE_SECS

OPERATOR = "4b7c2e9f0d1a6853b7c2e9f0d1a68534"
JSON = "application/json"
SOURCE = ROOT / "crates/tidings/src/http/admin/openapi.json"


class Operator:
    """Asks a hub, and compares each response with what its document promises for it."""

    def __init__(self, hub):
        self.hub = hub
        self.seen = set()
        self.document = json.loads(SOURCE.read_text())
        self.document = self.ask("GET", "openapi.json")

    def ask(self, method, name, body=None, status=200, token=OPERATOR, **fields):
        path = f"/admin/v1/{name}"
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port("admin"), timeout=DEADLINE_SECS)
        headers = {"Authorization": f"Bearer {token}", **fields}
        connection.request(method, path, body and json.dumps(body), headers)
        response = connection.getresponse()
        content = json.loads(response.read())
        connection.close()
        assert response.status == status, content
        path = path.split("?")[0]
        media_type = response.getheader("Content-Type")
        operation = (path, method.lower())
        self.check(content, *operation, "responses", str(status), "content", media_type, "schema")
        if body is not None and status < 300:
            self.check(body, *operation, "requestBody", "content", JSON, "schema")
        self.seen.add(operation)
        return content

    def check(self, content, *place):
        """Checks a value by the schema at a place below `paths`. References in it are to the same document."""
        schema = self.document["paths"]
        for name in place:
            assert name in schema, f"the document does not promise {'.'.join(place)}"
            schema = schema[name]
        pointer = "/".join(name.replace("~", "~0").replace("/", "~1") for name in place)
        problems = Draft202012Validator({**self.document, "$ref": f"#/paths/{pointer}"}).iter_errors(content)
        assert not [f"{problem.json_path}: {problem.message}" for problem in problems], (place, content)


@pytest.fixture
def operator(start):
    """An operator of a hub that knows the token. The settings of `Hub` have the table already."""
    hub = start(drain_secs=1)
    text = hub.config.read_text()
    hub.config.write_text(text.replace("[admin]\n", f'[admin]\ntoken = "{OPERATOR}"\n'))
    hub.reload()
    return Operator(hub)


def test_the_document_is_valid():
    validate(json.loads(SOURCE.read_text()))


def test_a_document_with_a_mistake_is_noticed():
    document = json.loads(SOURCE.read_text())
    document["paths"]["/admin/v1/state"]["get"]["responses"] = 7
    with pytest.raises(Exception, match="7"):
        validate(document)


def test_every_response_of_the_hub_is_one_that_the_document_promises(operator, check):
    hub, ask = operator.hub, operator.ask
    token = mercure.token(sub="alice", jti="alice's")
    stream = subscribe(hub, token)
    check("it is there", hub.wait_for_metric("tidings_subscribers", 1))
    # From here on, topics are counted.
    check("no topic yet", ask("GET", "topics")["topics"], [])
    for data in ("1", "2"):
        check("published", publish(hub, token, data), 200)
    check("one topic", [topic["topic"] for topic in ask("GET", "topics")["topics"]], ["/books/1"])
    check("the document is that of the source", operator.document, json.loads(SOURCE.read_text()))
    check("one subscriber", ask("GET", "state")["subscribers"], 1)
    ask("GET", "rates")
    (connection,) = ask("GET", "connections?subject=alice")["connections"]
    check("two updates", len(ask("GET", "history?topic=/books/1")["updates"]), 2)
    ask("GET", "history?id=urn:x:unknown", status=404)
    ask("GET", "connections?transport=pigeon", status=400)
    ask("POST", "explain", {"topics": ["/books/1"], "private": True, "token": token})
    ask("POST", "explain", {"topics": []}, status=400)
    check("purged", ask("POST", "purge", {"topic": "/books/1"})["purged"], 2)
    ask("POST", "revoke", {"id": "somebody's"})
    ask("GET", "revocations")
    ask("POST", "reinstate", {"id": "somebody's"})
    check("ended", ask("POST", "disconnect", {"connection": connection["id"]})["disconnected"], 1)
    ask("POST", "disconnect", {"connection": connection["id"]}, status=404)
    ask("POST", "disconnect", {}, status=400)
    ask("POST", "reload")
    ask("GET", "state", token="f" * 32, status=401)
    ask("GET", "state", status=403, Origin="https://elsewhere.example")
    ask("POST", "drain", status=202)
    stream.close()
    promised = {(path, method) for path, methods in operator.document["paths"].items() for method in methods}
    check("every operation was asked", promised - operator.seen, set())
    check("the hub ends", hub.wait(), 0)


def subscribe(hub, token):
    connection = http.client.HTTPConnection("127.0.0.1", hub.port(), timeout=DEADLINE_SECS)
    connection.request("GET", f"{PATH}?match=/books/1", headers={"Authorization": f"Bearer {token}"})
    assert connection.getresponse().status == 200
    return connection


def publish(hub, token, data):
    connection = http.client.HTTPConnection("127.0.0.1", hub.port(), timeout=DEADLINE_SECS)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", PATH, f"topic=/books/1&data={data}", headers)
    status = connection.getresponse().status
    connection.close()
    return status
