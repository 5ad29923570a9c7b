"""The Helm chart and the manifests: rendered by Helm's own library, judged by Kubernetes' schemas, and tried
with the hub, which must accept their settings and answer their probes."""

import base64
import contextlib
import re
import subprocess
import urllib.request
from pathlib import Path

import jwt
import kubernetes_validate
import pytest
import yaml
from helm_python import Chart

from support.hub import BINARY, free_port
from support.waiting import until

ROOT = Path(__file__).parent.parent
CHART = ROOT / "ops" / "helm" / "tidings"
MANIFESTS = ROOT / "ops" / "kubernetes" / "tidings.yaml"
KUBERNETES = "1.31"

# The values of the Mercure hub's chart, 0.21.
MERCURE_VALUES = """
affinity autoscaling caddyExtraConfig caddyExtraDirectives dev extraDirectives fullnameOverride globalOptions image
imagePullSecrets ingress license nameOverride nodeSelector persistence podAnnotations podSecurityContext
publisherJwtAlg publisherJwtKey replicaCount resources securityContext service serviceAccount subscriberJwtAlg
subscriberJwtKey tolerations transportUrl
""".split()

VALUES = {
    "defaults": {},
    "everything": {
        "publicUrl": "https://example.com/.well-known/mercure",
        "extraDirectives": "anonymous\ncors_origins https://example.com\n",
        "publisherJwtKey": "p" * 64,
        "dev": True,
        "env": {"TIDINGS_LOG__FORMAT": "json"},
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"a": "b"},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
            "tls": [{"secretName": "tls", "hosts": ["example.com"]}],
        },
        "persistence": {"enabled": True, "storageClass": "fast", "size": "5Gi"},
        "resources": {"limits": {"memory": "256Mi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "topologySpreadConstraints": (
            "- maxSkew: 1\n  topologyKey: kubernetes.io/hostname\n  whenUnsatisfiable: DoNotSchedule\n"
            "  labelSelector:\n    matchLabels:\n      {{- include \"tidings.selectorLabels\" . | nindent 6 }}"
        ),
    },
    "without extras": {"metrics": {"enabled": False}, "serviceAccount": {"create": False}},
}


def rendered(values):
    with Chart.load(str(CHART)) as chart:
        files = chart.render(values=values, name="push", namespace="web")
    texts = files.items() if isinstance(files, dict) else ((file["name"], file["data"]) for file in files)
    documents = [yaml.safe_load(text) for name, text in texts if not name.endswith(".txt")]
    return {document["kind"]: document for document in documents if document}


def container(documents):
    return documents["Deployment"]["spec"]["template"]["spec"]["containers"][0]


def environment(documents):
    """The variables of the container, with the keys of the secret."""
    secret = documents["Secret"]["data"]

    def value(variable):
        if "value" in variable:
            return variable["value"]
        return base64.b64decode(secret[variable["valueFrom"]["secretKeyRef"]["key"]]).decode()

    return {variable["name"]: value(variable) for variable in container(documents)["env"]}


def test_the_values_are_named_as_in_the_chart_of_the_mercure_hub():
    with Chart.load(str(CHART)) as chart:
        assert not set(MERCURE_VALUES) - set(chart.values)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_what_the_chart_renders_is_valid(values):
    documents = rendered(values)
    for document in documents.values():
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    assert ("Ingress" in documents) == bool(values.get("ingress"))
    assert ("PersistentVolumeClaim" in documents) == bool(values.get("persistence"))
    labels = documents["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert documents["Service"]["spec"]["selector"] == labels


@pytest.mark.parametrize(
    "values",
    [
        {"replicaCount": 2},
        {"autoscaling": {"enabled": True}},
        {"license": "x"},
        {"globalOptions": "debug"},
        {"caddyExtraDirectives": "encode gzip"},
    ],
)
def test_what_would_be_ignored_is_an_error(values):
    with pytest.raises(Exception, match="replicaCount|license|Caddy"):
        rendered(values)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_a_hub_starts_with_the_variables_of_the_chart_and_answers_its_probes(values, tmp_path):
    documents = rendered(values)
    variables = environment(documents)
    shown = run("config", "show", environment=variables)
    assert 'address = "[::]:8080"' in shown
    hub, metrics = free_port(), free_port()
    variables |= {"TIDINGS_LISTEN__0__ADDRESS": f"127.0.0.1:{hub}", "TIDINGS_DATA__DIR": str(tmp_path)}
    if "TIDINGS_ADMIN__ADDRESS" in variables:
        variables["TIDINGS_ADMIN__ADDRESS"] = f"127.0.0.1:{metrics}"
    with serving(["serve"], variables):
        ports = {port["name"] for port in container(documents)["ports"]}
        probes = [container(documents)[f"{kind}Probe"]["httpGet"] for kind in ("readiness", "liveness", "startup")]
        for probe in probes:
            assert probe["port"] in ports
            assert answers(hub, probe["path"])
        if "metrics" in ports:
            assert b"tidings_" in answers(metrics, "/metrics")
        # A publisher of the other hub goes on with its token.
        claims = {"mercure": {"publish": ["*"]}}
        token = jwt.encode(claims, variables["MERCURE_PUBLISHER_JWT_KEY"], "HS256")
        request = urllib.request.Request(f"http://127.0.0.1:{hub}/.well-known/mercure", b"topic=a&data=b")
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert re.match(rb"urn:uuid:", answer.read())


def test_the_manifests_are_valid_and_a_hub_starts_with_their_file(tmp_path):
    documents = {}
    for document in yaml.safe_load_all(MANIFESTS.read_text()):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        documents[document["kind"]] = document
    hub, metrics = free_port(), free_port()
    key = tmp_path / "key"
    key.write_text("k" * 64)
    text = documents["ConfigMap"]["data"]["tidings.toml"]
    spec = documents["Deployment"]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"] for mount in container(documents)["volumeMounts"]}
    assert mounts == {"/etc/tidings/tidings.toml", "/etc/tidings/secret", "/data"}
    assert {volume["name"] for volume in spec["volumes"]} == {"config", "secret", "data"}
    for written, here in [
        ("/etc/tidings/secret/key", key),
        ('"/data"', f'"{tmp_path}"'),
        ("[::]:8080", f"127.0.0.1:{hub}"),
        ("[::]:9090", f"127.0.0.1:{metrics}"),
    ]:
        assert written in text
        text = text.replace(str(written), str(here))
    config = tmp_path / "tidings.toml"
    config.write_text(text)
    arguments = container(documents)["args"]
    arguments = [str(config) if word == "/etc/tidings/tidings.toml" else word for word in arguments]
    with serving(arguments, {}):
        assert answers(hub, "/health/ready")
        assert b"tidings_" in answers(metrics, "/metrics")


class serving:
    """A hub that ends with its block."""

    def __init__(self, arguments, variables):
        self.process = subprocess.Popen([BINARY, *arguments], env=variables, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def answers(port, path):
    """Asks until there is an answer, and returns it."""

    read = []

    def ask():
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            read.append(answer.read() or b"empty")
        return read

    assert until(ask), path
    return read[0]


def run(*arguments, environment):
    done = subprocess.run([BINARY, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
