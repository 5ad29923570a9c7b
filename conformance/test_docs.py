"""The examples in the documentation: each is run as it stands by a test, or says here why it is not.

`PAGES` names for each page the file that runs all of its examples, or one way for each of them, in order, or such
lists by heading. A page whose examples change without the list is a failure, so that no example goes untried by
mistake.
"""

import http.client
import json
import re
import shlex
import subprocess
import urllib.parse

import jwt

from support.dev import Dev, Running
from support.hub import BINARY, PATH, ROOT, Hub, free_port, tidings
from support.mercure import ISSUER, PUBLIC_URL, SECRET, Stream, ask
from support.mercure import token as mercure_token
from support.waiting import DEADLINE_SECS, until

GUIDES = "conformance/test_guides.py"
HERE = "here"  # by a test below
SNIPPETS = "conformance/browser/tests/snippets.test.mjs"
STARTED = "conformance/browser/tests/getting_started.test.mjs"
LOST_LINES = "crates/tidings/tests/it/lost_lines.rs"
SERVED = "crates/tidings/tests/it/service.rs"
README = "clients/typescript/tests/browser/readme.test.mjs"

UNTRIED = "untried: "
LONG = UNTRIED + "takes minutes on a quiet machine; `cargo xtask bench --small` makes the same runs with small sizes"
MACHINE = UNTRIED + "changes the machine's own services; the unit itself is started by tests/it/service.rs"

PAGES = {
    "docs/index.md": [STARTED, STARTED],
    "docs/benchmarks.md": LONG,
    "docs/releasing.md": [UNTRIED + "there is no release yet; `cargo xtask release` signs and verifies by the same commands"],
    "docs/simulation.md": UNTRIED + "takes minutes; continuous integration runs the same scenarios with fewer seeds",
    "docs/guide/alerts.md": "conformance/test_prometheus.py",
    "docs/guide/backup.md": "conformance/test_backup.py",
    "docs/guide/cluster.md": "conformance/test_cluster_guide.py",
    "docs/guide/cluster-nats.md": "conformance/test_cluster_nats.py",
    "docs/guide/cluster-postgresql.md": "conformance/test_cluster_postgresql.py",
    "docs/guide/configuration.md": [HERE],
    "docs/guide/doctor.md": UNTRIED + "shows what one machine has; tests/it/doctor.rs provokes each finding",
    "docs/guide/getting-started.md": STARTED,
    "docs/guide/history.md": [HERE, LOST_LINES, LOST_LINES],
    "docs/guide/hypermedia.md": "conformance/browser/tests/hypermedia.test.mjs",
    "docs/guide/laravel.md": "conformance/browser/tests/laravel.test.mjs",
    "docs/guide/migrate-from-mercure.md": ["crates/tidings/tests/it/image.rs", HERE, HERE],
    "docs/guide/publish-from-sql.md": "conformance/test_sql_example.py",
    "docs/guide/operating.md": {
        "A configuration": [HERE],
        "Certificates from an authority": [HERE],
        "Self-signed certificates": [HERE],
        "systemd": [MACHINE],
        "Requests": [HERE],
        "Traces": [HERE],
        "Reloading": [HERE],
        "Restarting without a gap": [HERE],
        "Who is there": [HERE, HERE],
        "Disconnect a user": [HERE],
        "Why does this subscriber get nothing?": [HERE],
        "When updates do not arrive": [HERE],
        "Behind a proxy": [HERE] + 4 * ["conformance/test_proxies.py"],
        "The client's address": ["conformance/test_proxies.py"],
        "Rates": [HERE],
    },
    "docs/guide/tokens.md": [HERE, HERE, HERE, HERE],
    "docs/guide/zeromq.md": "conformance/test_zeromq_hub.py",
    "docs/reference/admin.md": [HERE, HERE],
    "docs/reference/http.md": "crates/tidings/tests/it/idempotency.rs",
    "docs/reference/long-polling.md": [HERE, HERE],
    "docs/reference/presence.md": [HERE, HERE],
    "docs/reference/sockjs.md": [SNIPPETS],
    "docs/reference/websocket.md": [SNIPPETS, SNIPPETS, HERE, HERE],
    "clients/typescript/README.md": README,
}
BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.M | re.S)
# Pictures of bytes and of formulas.
NO_EXAMPLES = ("docs/formats/", "docs/decisions/")


def blocks(page, heading=None):
    """Returns language and text of each example, on the page or below a heading. A block such as `{toctree}` is an
    instruction for the site."""
    text = (ROOT / page).read_text()
    if heading:
        _, text = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.M)
        text = re.split(r"^##+ ", text, maxsplit=1, flags=re.M)[0]
    return [(language, text) for language, text in BLOCK.findall(text) if not language.startswith("{")]


def block(page, number, language, heading=None):
    """Returns an example by its place on the page, or below a heading."""
    found, text = blocks(page, heading)[number]
    assert found == language, f"{page}: example {number} is {found}"
    return text


def test_each_example_is_run_or_says_why_not(check):
    pages = [str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")]
    for page in [*pages, "clients/typescript/README.md"]:
        found = blocks(page)
        if not found or page.startswith(NO_EXAMPLES):
            continue
        by_guides = "/publish-from-" in page or "/use-cases/" in page
        ways = PAGES.get(page, GUIDES if by_guides else None)
        assert ways, f"{page} has examples: say in PAGES what runs them"
        if isinstance(ways, dict):
            for heading, some in ways.items():
                check(f"{page}, {heading}: one way for each example", len(some), len(blocks(page, heading)))
            ways = sum(ways.values(), [])
        if isinstance(ways, list):
            check(f"{page}: one way for each example", len(ways), len(found))
        for way in [ways] if isinstance(ways, str) else ways:
            runs = way == HERE or way.startswith(UNTRIED) or (ROOT / way).exists()
            check(f"{page}: {way}", runs)


def test_the_settings_are_accepted(check, tmp_path):
    """Each piece of a configuration, completed by what it leaves out."""
    for name in ("secret", "hub.key"):
        (tmp_path / name).write_text("7c1f0e9bd4a358267c1f0e9bd4a35826")
        (tmp_path / name).chmod(0o600)
    hub = '[hub]\npublic_url = "https://example.com/.well-known/mercure"\n'
    named = hub.replace("//example", "//hub.example")
    listen = '[[listen]]\naddress = "127.0.0.1:4400"\n'
    issuer = '[[auth.issuers]]\nissuer = "https://example.com"\nkey_file = "/etc/tidings/secret"\n'
    data = f'[data]\ndir = "{tmp_path}/data"\n'
    pieces = [
        ("docs/guide/configuration.md", 0, data),
        ("docs/guide/operating.md", "Certificates from an authority", named + issuer + data),
        ("docs/guide/operating.md", "Traces", hub + listen + issuer + data),
        ("docs/guide/operating.md", "Who is there", hub + listen + issuer + data),
        ("docs/guide/operating.md", "When updates do not arrive", hub + listen + issuer + data),
        ("docs/guide/operating.md", "Rates", hub + listen + issuer + data),
        ("docs/guide/operating.md", "Behind a proxy", hub + listen + issuer + data),
        ("docs/guide/tokens.md", 1, hub + listen + data),
        ("docs/guide/tokens.md", 2, hub + listen + data),
        ("docs/reference/websocket.md", 2, hub + listen + issuer + data),
        ("docs/reference/websocket.md", 3, hub + listen + issuer + data),
    ]
    for page, place, rest in pieces:
        file = tmp_path / "tidings.toml"
        number, heading = (place, None) if isinstance(place, int) else (0, place)
        file.write_text((block(page, number, "toml", heading) + rest).replace("/etc/tidings", str(tmp_path)))
        done = tidings("config", "check", "--config", file)
        check(f"{page}, {place}", (done.returncode, done.stderr), (0, ""))


def test_the_guide_for_operators_serves_reloads_and_hands_over(check, tmp_path):
    """Its settings with its certificate, a reload with the output that it shows, and a take-over."""
    page = "docs/guide/operating.md"
    port, admin = free_port(), free_port()

    def placed(text):
        text = text.replace("/etc/tidings", str(tmp_path)).replace("0.0.0.0:443", f"127.0.0.1:{port}")
        return text.replace("127.0.0.1:9090", f"127.0.0.1:{admin}")

    subprocess.run(["sh", "-euc", block(page, 0, "console", "Self-signed certificates")], cwd=tmp_path, check=True, capture_output=True)
    for name in ("secret", "admin-token"):
        (tmp_path / name).write_text("7c1f0e9bd4a358267c1f0e9bd4a35826")
        (tmp_path / name).chmod(0o600)
    config = tmp_path / "tidings.toml"
    settings = placed(block(page, 0, "toml", "A configuration"))
    small = f'[data]\ndir = "{tmp_path}/data"\n[server]\ndrain_secs = 0\n'
    config.write_text(settings + small + "[limits]\nconnections_max = 1000\n")
    hub = serve(placed("serve --config /etc/tidings/tidings.toml"), tmp_path)
    health = ["curl", "-sf", "--cacert", "fullchain.pem", f"https://localhost:{port}/health/ready"]
    assert until(lambda: subprocess.run(health, cwd=tmp_path, capture_output=True).returncode == 0), hub.output

    shown = block(page, 0, "console", "Reloading").splitlines()
    assert shown[0].startswith("$ tidings ")
    # The numbers of the guide are larger than the descriptors that a test may have.
    config.write_text(settings + small + "[limits]\nconnections_max = 500\n[presence]\nenabled = true\n")
    done = tidings(*shlex.split(placed(shown[0]))[2:], cwd=tmp_path)
    expected = [line.replace("100000 -> 50000", "1000 -> 500") for line in shown[1:]]
    check("a reload says what the guide shows", done.stdout.splitlines(), expected)

    (tmp_path / "alice.token").write_text("not.a.token")
    for heading in ("Disconnect a user", "Why does this subscriber get nothing?"):
        for command in block(page, 0, "console", heading).splitlines():
            done = tidings(*shlex.split(command)[1:], cwd=tmp_path)
            check(command, (done.returncode, done.stderr), (0, ""))
    check("explain says why", "the token is not accepted" in done.stdout, True)

    command = placed(block(page, 0, "console", "Restarting without a gap")).strip()
    next_hub = serve(command.removeprefix("tidings "), tmp_path)
    hub.process.wait(60)
    check("the next process serves", subprocess.run(health, cwd=tmp_path, capture_output=True).returncode, 0)
    next_hub.stop()


def serve(command, folder):
    return Running([BINARY, *shlex.split(command)], folder)


def test_the_token_of_the_guide_is_accepted(start_hub, check, tmp_path):
    """The claims as they are shown, and the commands that make a token."""
    claims = json.loads(block("docs/guide/tokens.md", 0, "json"))
    hub = start_hub(served(claims["aud"], claims["iss"]))
    made = jwt.encode({"jti": "1", "sub": "app", "client_id": "app", "iat": 1, **claims, "exp": 4_000_000_000}, SECRET, headers={"typ": "at+jwt"})
    orders = "https://example.com/orders/7"
    check("it publishes on its topic", publish(hub, made, "https://example.com/books/1"), 200)
    check("and on no other", publish(hub, made, orders + "/x"), 403)
    check("its pattern too", publish(hub, made, orders), 200)

    command = block("docs/guide/tokens.md", 3, "console").replace("tidings token", f"{BINARY} token")
    done = subprocess.run(["sh", "-euc", command], cwd=tmp_path, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    secret = (tmp_path / "secret").read_text().strip()
    hub = start_hub(served(claims["aud"], claims["iss"], secret))
    check("the command's token publishes", publish(hub, done.stdout.strip(), orders), 200)


def test_the_admin_reference_asks_who_would_get_an_update(check, tmp_path):
    """Its settings, with the token made by its command, and its question."""
    page = "docs/reference/admin.md"
    command = re.search(r"`(\(umask 077; openssl .*?\))`", (ROOT / page).read_text())[1]
    subprocess.run(["sh", "-euc", command.replace("/etc/tidings", str(tmp_path))], check=True)
    config = tmp_path / "tidings.toml"
    admin = block(page, 0, "toml").replace("/etc/tidings", str(tmp_path)).replace("9090", "0")
    config.write_text(served(PUBLIC_URL, ISSUER) + admin + f'[data]\ndir = "{tmp_path}/data"\n[log]\nformat = "json"\n')
    hub = serve("serve --config tidings.toml", tmp_path)
    address = lambda: re.search(r'"admin":true.*?"address":"([^"]+)"|"address":"([^"]+)".*?"admin":true', hub.output)
    assert until(address), hub.output
    host = next(filter(None, address().groups()))
    question = block(page, 1, "json").replace("eyJ…", mercure_token())
    connection = http.client.HTTPConnection(host, timeout=DEADLINE_SECS)
    operator = {"Authorization": "Bearer " + (tmp_path / "admin-token").read_text().strip()}
    connection.request("POST", "/admin/v1/explain", question, {**operator, "Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    check("it is answered", answer.status, 200)
    check("and says what the token may", "token" in json.loads(text), True)
    connection.close()
    hub.stop()


def served(public_url, issuer, secret=SECRET):
    return (
        f'[hub]\npublic_url = "{public_url}"\n[[listen]]\naddress = "127.0.0.1:0"\n'
        f'[[auth.issuers]]\nissuer = "{issuer}"\nkey = "{secret}"\n[server]\ndrain_secs = 0\n'
    )


def publish(hub, token, topic):
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/x-www-form-urlencoded"}
    return ask(hub, "POST", PATH, headers, urllib.parse.urlencode({"topic": topic})).status


def test_the_history_is_read_by_the_guides_commands(start, check):
    hub = start()
    headers = {"Authorization": "Bearer " + mercure_token(), "Content-Type": "application/x-www-form-urlencoded"}
    assert ask(hub, "POST", PATH, headers, "topic=https://example.com/books/1&data=first").status == 200
    tail, export, stats = block("docs/guide/history.md", 0, "console").splitlines()
    following = Running([BINARY, *shlex.split(tail)[1:]], hub.folder.name)
    check("tail", until(lambda: "first" in following.output), True)
    following.stop()
    for command, expected in ((export + "; cat updates.jsonl", '"data":"first"'), (stats, "https://example.com/books/1")):
        command = command.replace("tidings ", BINARY + " ", 1)
        done = subprocess.run(["sh", "-euc", command], cwd=hub.folder.name, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        check(command, expected in done.stdout, True)


def test_another_hub_is_moved_by_the_guides_commands(check, tmp_path):
    (tmp_path / "Caddyfile").write_text(
        "http://:8080 {\n\tmercure {\n\t\tpublisher_jwt 7c1f0e9bd4a358267c1f0e9bd4a35826\n\t\tanonymous\n\t}\n}\n"
    )
    imported, checked = block("docs/guide/migrate-from-mercure.md", 1, "console").splitlines()
    done = tidings(*shlex.split(imported.replace("/etc/caddy", str(tmp_path)))[1:], cwd=tmp_path)
    check("import", done.returncode, 0)
    done = tidings(*shlex.split(checked)[1:], cwd=tmp_path)
    check("check", (done.returncode, done.stderr), (0, ""))
    # Real files of another hub are read by crates/tidings/tests/it/history_import.rs; this is the command.
    history = block("docs/guide/migrate-from-mercure.md", 2, "console")
    done = tidings(*shlex.split(history.replace("/data/caddy", str(tmp_path)))[1:], cwd=tmp_path)
    check("history import names its file", "mercure.db" in done.stderr, True)


def test_logrotate_accepts_the_guides_file(check, tmp_path):
    text = block("docs/guide/operating.md", 0, "text", "Requests")
    words = [line.strip() for line in text.splitlines()]
    check("a file, options and a script", (words[0], words[-1]), ("/var/log/tidings/access.log {", "}"))
    check("it reloads the hub", words[words.index("postrotate") + 1], "systemctl reload tidings")


def test_presence_and_long_polling_answer_in_the_shape_of_their_pages(check):
    dev = Dev()
    try:
        command = block("docs/reference/long-polling.md", 0, "console").replace("4400", str(dev.port()))
        polling = dev.start(["sh", "-euc", command])
        page = "docs/reference/presence.md"
        # As many as the page shows.
        matching = [f"match={urllib.parse.quote(f'https://example.com/{name}')}" for name in "abc"]
        stream = Stream(dev, "&".join(matching))
        token = tidings("token", "make", "--subscribe", "*", cwd=dev.folder).stdout.strip()
        headers = {"Authorization": "Bearer " + token}
        listed = lambda: ask(dev, "GET", f"{PATH}/subscriptions?limit=2", headers).json()
        assert until(lambda: listed()["total"] == 3)
        # Until one comes after the poll has begun.
        news = lambda: dev.publish("https://example.com/books/1", "news", type="goal")
        assert until(lambda: news() and polling.has_ended()), polling.output
        check("its command", polling.process.returncode, 0)
        answer = json.loads(polling.output[polling.output.index("{") :])
        shown = json.loads(block("docs/reference/long-polling.md", 1, "json"))
        check("a poll", (answer.keys(), answer["updates"][0].keys()), (shown.keys(), shown["updates"][0].keys()))

        shown = json.loads(block(page, 0, "json"))
        one = next(
            entry
            for entry in ask(dev, "GET", f"{PATH}/subscriptions", headers).json()["subscriptions"]
            if entry["match"] == shown["match"]
        )
        check("a subscription", one.keys() | {"payload"}, shown.keys())
        check("its constant fields", [one[name] for name in ("type", "match_type", "active")], [shown[name] for name in ("type", "match_type", "active")])
        check("a list", set(re.findall(r'"(\w+)":', block(page, 1, "text"))) - {"id"}, listed().keys() - {"id"})
        stream.close()
    finally:
        dev.stop()


def test_the_grant_for_presence_lists_a_room(start_hub, check):
    detail = json.loads(block("docs/guide/operating.md", 1, "json", "Who is there"))
    hub = start_hub(served(PUBLIC_URL, ISSUER) + "[presence]\nenabled = true\n[subscribe]\nanonymous = true\n")
    headers = {"Authorization": "Bearer " + mercure_token(topics=detail["topics"], actions=detail["actions"])}
    stream = Stream(hub, "match=room-1")
    room = f"{PATH}/subscriptions/exact/room-1"
    assert until(lambda: len(ask(hub, "GET", room, headers).json()["subscriptions"]) == 1)
    check("no other room", ask(hub, "GET", f"{PATH}/subscriptions/exact/room-2", headers).status, 403)
    stream.close()
