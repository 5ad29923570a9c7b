"""examples/sql-publish and docs/guide/publish-from-sql.md as they say, on a server, a hub and an application of its own."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

import httpx
import pytest

from support import postgresql
from support.hub import BINARY, PATH, ROOT, free_port
from support.waiting import DEADLINE_SECS, until

EXAMPLE = ROOT / "examples/sql-publish"
GUIDE = ROOT / "docs/guide/publish-from-sql.md"
TOPIC = "https://example.com/orders"


@pytest.fixture(scope="module")
def shop():
    """The application and its hub; returns their addresses and the environment of the database's clients."""
    started = []
    with tempfile.TemporaryDirectory() as server, tempfile.TemporaryDirectory() as folder:
        with postgresql.server(server) as environment:
            try:
                yield run(pathlib.Path(folder), environment, started)
            finally:
                for process in started:
                    process.terminate()
                    process.wait()


def run(folder, environment, started):
    """Does what the README says, in a copy of the example with free ports."""
    hub, application = free_port(), free_port()
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    programs = folder / "bin"
    programs.mkdir()
    (programs / "tidings").symlink_to(BINARY)
    ports = {"4400": hub, "8000": application, "127.0.0.1/shop": f"127.0.0.1:{environment['PGPORT']}/shop"}
    for name in ["hub.toml", "README.md"]:
        text = (folder / name).read_text()
        for before, after in ports.items():
            text = text.replace(before, str(after))
        (folder / name).write_text(text)
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    prepare, serve = re.findall(r"```console\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    done = subprocess.run(["bash", "-ec", prepare], cwd=folder, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    assert "ERROR" not in done.stderr, done.stderr
    own = {
        "HUB": f"http://127.0.0.1:{hub}{PATH}",
        "DATABASE": f"pgsql:host=127.0.0.1;port={environment['PGPORT']};dbname=shop",
    }
    for command in serve.strip().splitlines():
        with open(folder / f"log-{len(started)}", "w") as log:
            started.append(
                subprocess.Popen(["bash", "-ec", f"{with_exec(command)}"], cwd=folder, env={**environment, **own}, stderr=log)
            )
    addresses = f"http://127.0.0.1:{hub}", f"http://localhost:{application}"
    for address, path in zip(addresses, ["/health/ready", "/orders"]):
        assert until(lambda: answers(address + path)), "\n".join(log.read_text() for log in folder.glob("log-*"))
    return *addresses, environment


def with_exec(command):
    """Returns a command that takes the place of its shell, after the variables that it sets."""
    variables, program = re.fullmatch(r"((?:\w+=\S+ )*)(.*)", command).groups()
    return f"export {variables}; exec {program}" if variables else f"exec {program}"


def answers(url):
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def sell(application, article, payment="succeeds"):
    form = {"article": article, "payment": payment}
    return httpx.post(f"{application}/orders", data=form, timeout=DEADLINE_SECS).status_code


def read(url):
    # By itself httpx waits five seconds.
    return httpx.get(url, timeout=DEADLINE_SECS)


def orders(hub, cursor, last):
    """Reads what follows a cursor, up to an article; returns the articles by id."""
    found = {}
    query = {"match": TOPIC, "last_event_id": cursor}
    with httpx.stream("GET", hub + PATH, params=query, timeout=30) as stream:
        kinds = []
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kinds.append(line)
            if line.startswith("data: "):
                order = json.loads(line.removeprefix("data: "))
                assert order["id"] not in found, "nothing twice"
                found[order["id"]] = order["article"]
                if order["article"] == last:
                    assert set(kinds) == {"event: sold"}
                    return found


def test_the_state_and_what_follows_are_all_that_was_sold(shop):
    hub, application, environment = shop
    assert "EventSource" in read(application).text
    begun = read(f"{application}/orders").json()
    assert begun == {"cursor": "earliest", "orders": []}
    assert sell(application, "lamp", "fails") == 402
    assert sell(application, "chair") == 201
    assert list(orders(hub, "earliest", "chair").values()) == ["chair"], "and no lamp"

    # Pages that are opened while others sell.
    states = []

    def sell_all():
        for number in range(60):
            assert sell(application, f"article {number}", "fails" if number % 5 == 0 else "succeeds") in (201, 402)

    seller = threading.Thread(target=sell_all)
    seller.start()
    while seller.is_alive():
        states.append(read(f"{application}/orders").json())
    assert sell(application, "last") == 201
    sold = {order["id"]: order["article"] for order in read(f"{application}/orders").json()["orders"]}
    assert len(sold) == 50
    inside = [state for state in states if 1 < len(state["orders"]) < 49]
    assert len(inside) > 5
    assert len({state["cursor"] for state in inside}) > 3, "the position moves with the log"
    for state in inside[:: len(inside) // 5]:
        stated = {order["id"]: order["article"] for order in state["orders"]}
        assert {**stated, **orders(hub, state["cursor"], "last")} == sold

    # The application's role cannot read what others published.
    for table in ["inbox", "log", "head"]:
        assert "permission denied" in psql(as_shop(environment), f"SELECT * FROM tidings.{table}").stderr


def test_the_guide_says_what_happens(shop):
    hub, _, environment = shop
    transaction, snapshot, again = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    for example in [transaction, snapshot]:
        assert not psql(as_shop(environment), example).stderr
    assert comes(hub, '{"article": "chair"}')
    (error,) = re.findall(r"```text\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    said = psql(as_shop(environment), "SELECT tidings.publish(topic => 'a', type => E'sales\\nx')").stderr
    assert said.startswith(error)
    owner = {**environment, "PGDATABASE": "shop"}
    row = "INSERT INTO tidings.inbox_refused VALUES (4711, gen_random_uuid(), now(), now(), 'x', '{a}', 'b', false)"
    assert not psql(owner, row).stderr
    assert not psql(owner, again).stderr
    assert psql(owner, "SELECT count(*) FROM tidings.inbox_refused").stdout == "0\n"


def as_shop(environment):
    return {**environment, "PGUSER": "shop", "PGPASSWORD": "shop", "PGDATABASE": "shop"}


def psql(environment, sql):
    return subprocess.run(["psql", "-XqAtc", sql], env=environment, capture_output=True, text=True)


def comes(hub, data):
    """Waits for an update with this data; a stream without it ends by its time-out."""
    with httpx.stream("GET", hub + PATH, params={"match": TOPIC, "last_event_id": "earliest"}, timeout=30) as stream:
        return f"data: {data}" in stream.iter_lines()
