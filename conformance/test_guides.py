"""The guides for publishers, `docs/guide/publish-from-*.md`: the code in them is run as it stands.

A block ```` ```LANGUAGE file=NAME ```` is saved as a file, ```` ```console run=STEP ```` is a command. The
steps are the same on every page: `build` (if the language needs it), `app` (runs until the end),
`publish`, `private` and `presence`. Only the ports of the hub and of the application are replaced.

`<!-- needs: PROGRAM, python:MODULE, php:FILE -->` says what the page needs; `vendor/autoload.php` loads the PHP
files, which are Debian's in place of Composer's. `<!-- cookie at: PATH -->` says where the application sets the
cookie, if not at `/`. A page with `<!-- by hand: REASON -->` is skipped unless RUN_GUIDES_BY_HAND=1: what it needs
is too large for CI, and takes longer than pytest's limit (`-o timeout=600`).

The pages of `docs/guide/use-cases` quote the examples: a block ```` ```LANGUAGE from=FILE ```` is a part of that file.
The examples themselves are run by `conformance/browser/tests/examples.test.mjs`.
"""

import http.client
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest

from support.dev import ENVIRONMENT, Dev
from support.hub import PATH, ROOT, free_port, tidings
from support.mercure import Stream, ask
from support.waiting import DEADLINE_SECS, until

# Publishing from SQL needs no token and no request: conformance/test_sql_example.py runs its page.
PAGES = sorted(set((ROOT / "docs/guide").glob("publish-from-*.md")) - {ROOT / "docs/guide/publish-from-sql.md"})
BLOCK = re.compile(r"^```(\w+)(?: (file|run)=(\S+))?\n(.*?)^```$", re.M | re.S)
USE_CASES = sorted((ROOT / "docs/guide/use-cases").glob("*.md"))
QUOTE = re.compile(r"^```\w+ from=(\S+)\n(.*?)^```$", re.M | re.S)
STEPS = ("build", "publish", "app", "private", "presence")
HEADINGS = ["Install", "Make a token", "Publish", "Authorise a browser", "Publish a private update", "Read presence"]
STOCK = "https://example.com/books/1"
ADA = "https://example.com/users/ada"


class Guide:
    """A page: its files, its commands and what it needs."""

    def __init__(self, path):
        self.text = path.read_text()
        self.name = path.stem.removeprefix("publish-from-")
        self.files, self.commands = {}, {}
        for _language, kind, name, content in BLOCK.findall(self.text):
            if kind:
                (self.files if kind == "file" else self.commands)[name] = content

    def remark(self, name):
        found = re.search(rf"<!-- {name}: (.*?) -->", self.text)
        return found and found[1]

    def missing(self):
        """Returns what the page needs and this machine lacks."""
        return [need for need in self.remark("needs").split(", ") if not has(need)]

    def save(self, folder, replaced):
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(replaced(content))
        loaded = [need[4:] for need in self.remark("needs").split(", ") if need.startswith("php:")]
        if loaded:
            (folder / "vendor").mkdir()
            lines = [f"require_once '{file}';" for file in loaded]
            (folder / "vendor/autoload.php").write_text("\n".join(["<?php", *lines, ""]))


def has(need):
    kind, _, name = need.rpartition(":")
    if kind == "python":
        command = ["python3", "-c", f"import {name}"]
    elif kind == "php":
        command = ["php", "-r", f"exit((int) !stream_resolve_include_path('{name}'));"]
    else:
        return shutil.which(name, path=ENVIRONMENT["PATH"]) is not None
    try:
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


GUIDES = {guide.name: guide for guide in map(Guide, PAGES)}


@pytest.fixture
def dev():
    hub = Dev()
    yield hub
    hub.stop()


@pytest.mark.parametrize("name", GUIDES)
def test_each_page_has_the_same_shape(name):
    guide = GUIDES[name]
    assert re.findall(r"^## (.*)$", guide.text, re.M)[: len(HEADINGS)] == HEADINGS
    assert set(guide.commands) | {"build"} == set(STEPS)


@pytest.mark.parametrize("name", GUIDES)
def test_the_code_of_the_page_publishes_authorises_and_reads_presence(name, dev, check):
    guide = GUIDES[name]
    if guide.remark("by hand") and os.environ.get("RUN_GUIDES_BY_HAND") != "1":
        pytest.skip(guide.remark("by hand"))
    if missing := guide.missing():
        pytest.fail(f"not installed: {', '.join(missing)}; run `cargo xtask deps`")
    app_port = free_port()

    def replaced(text):
        return text.replace("localhost:4400", f"localhost:{dev.port()}").replace("3000", str(app_port))

    guide.save(dev.folder, replaced)
    commands = {step: replaced(command) for step, command in guide.commands.items()}
    if "build" in commands:
        dev.run(commands["build"], deadline_secs=300)

    watching = Stream(dev, "match=" + STOCK)
    printed = dev.run(commands["publish"])
    check("publish prints the event id", bool(re.search(r"urn:uuid:[0-9a-f-]{36}", printed)))
    check("the update arrives", json.loads(watching.next()["data"]), {"stock": 3})
    watching.close()

    app = dev.start(["sh", "-euc", commands["app"]])
    check("the page subscribes with the cookie", "withCredentials: true" in "".join(guide.files.values()))
    cookie = sign_in(app, app_port, guide.remark("cookie at") or "/", check)
    query = "match=" + urllib.parse.quote(ADA)
    ada = Stream(dev, query, headers={"Cookie": cookie})
    stranger = Stream(dev, query)
    assert until(lambda: subscriptions(dev) == 2)

    # An application may publish after it has answered, so the update for all waits until the private one is out.
    dev.run(commands["private"])
    check("the private update arrives with the cookie", json.loads(ada.next()["data"]), {"text": "Hello Ada"})
    dev.publish(ADA, "for all")
    check("and does not without it", json.loads(stranger.next()["data"]), "for all")

    printed = dev.run(commands["presence"])
    check("presence names who is there", sorted(printed.split()), ["ada", "anonymous"])
    ada.close()
    stranger.close()


@pytest.mark.parametrize("page", USE_CASES, ids=lambda page: page.stem)
def test_a_use_case_quotes_its_example_as_it_is(page):
    quotes = QUOTE.findall(page.read_text())
    assert quotes
    for file, text in quotes:
        assert text in (ROOT / file).read_text(), f"{file} has no such lines:\n{text}"


def test_the_index_for_language_models_names_each_page():
    docs = ROOT / "docs"
    named = re.findall(r"^- \[.*?\]\((.*?)\)", (docs / "llms.txt").read_text(), re.M)
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")}
    # The list of decisions names each decision.
    unnamed = {"index.md", *(page for page in pages if page.startswith("decisions/") and page != "decisions/README.md")}
    assert sorted(named) == sorted((pages - unnamed) | {"../clients/typescript/README.md"})


def sign_in(app, port, path, check):
    """Asks the application for its page, as a browser does; returns the cookie for the hub."""
    answers = []

    def ready():
        connection = http.client.HTTPConnection("localhost", port, timeout=DEADLINE_SECS)
        try:
            connection.request("GET", path, headers={"Accept": "text/html"})
            answer = connection.getresponse()
            answers.append((answer.status, answer.headers, answer.read().decode()))
        except OSError:
            assert app.process.poll() is None, app.output
            return False
        finally:
            connection.close()
        return True

    assert until(ready), app.output
    status, headers, page = answers[-1]
    assert status in (200, 204), f"{page}\n{app.output}"
    cookies = [line for line in headers.get_all("Set-Cookie", []) if "mercure_access_token" in line]
    assert len(cookies) == 1, headers
    value, *attributes = [part.strip() for part in cookies[0].split(";")]
    found = {part.lower() for part in attributes}
    check("the cookie is for the hub alone", {f"path={PATH}", "httponly", "samesite=strict"} <= found)
    return value


def subscriptions(dev):
    """Returns how many subscriptions to Ada's topic the hub lists."""
    token = tidings("token", "make", "--subscribe", "*", cwd=dev.folder).stdout.strip()
    path = f"{PATH}/subscriptions?topic={urllib.parse.quote(ADA, safe='')}&count_only"
    return ask(dev, "GET", path, {"Authorization": "Bearer " + token}).json()["total"]
