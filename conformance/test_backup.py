"""`docs/guide/backup.md`: its commands are run as they stand, on a hub in folders of the test.

A block ```` ```console run=STEP ```` is a step. `systemctl` and `journalctl` are scripts that start, stop and
read the hub; only the paths of folders are replaced.
"""

import pathlib
import re
import subprocess
import tempfile
import threading

import pytest

from support import mercure
from support.dev import ENVIRONMENT
from support.hub import BINARY, ROOT, free_port
from support.mercure import Stream, ask, publish
from support.waiting import DEADLINE_SECS, until

PAGE = ROOT / "docs/guide/backup.md"
STEPS = dict(re.findall(r"^```console run=(\S+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
TOPIC = "https://example.com/1"
SYSTEMCTL = r"""#!/bin/sh -eu
case "$1" in
start)
    tidings serve --config ROOT/etc/tidings/tidings.toml 2>>ROOT/log &
    echo $! >ROOT/pid
    ;;
stop)
    kill "$(cat ROOT/pid)"
    while kill -0 "$(cat ROOT/pid)" 2>/dev/null; do sleep 0.02; done
    ;;
esac
"""


class Machine:
    """A machine with an installed hub, below a folder."""

    def __init__(self, port):
        self._folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self._folder.name)
        self._port = port
        (self.root / "bin").mkdir()
        (self.root / "bin/tidings").symlink_to(BINARY)
        self._script("systemctl", SYSTEMCTL)
        self._script("journalctl", "#!/bin/sh -eu\ncat ROOT/log\n")
        (self.root / "var/lib/tidings").mkdir(parents=True)
        (self.root / "etc/tidings").mkdir(parents=True)

    def _script(self, name, text):
        path = self.root / "bin" / name
        path.write_text(text.replace("ROOT", str(self.root)))
        path.chmod(0o755)

    def configure(self):
        config = mercure.configuration().replace("127.0.0.1:0", f"127.0.0.1:{self._port}")
        config += f'[data]\ndir = "{self.root}/var/lib/tidings"\n'
        (self.root / "etc/tidings/tidings.toml").write_text(config)

    def run(self, step, check=True):
        """Runs a step of the page; returns what it printed."""
        return self.shell(STEPS[step], check)

    def shell(self, commands, check=True):
        for path in ("/etc/tidings", "/var/lib/tidings", "/var/backups/tidings"):
            commands = commands.replace(path, str(self.root) + path)
        commands = commands.replace("-C / ", f"-C {self.root}/ ")
        environment = {**ENVIRONMENT, "PATH": f"{self.root}/bin:{ENVIRONMENT['PATH']}"}
        # A file: a hub that a step starts would keep a pipe open.
        with open(self.root / "output", "w+") as output:
            code = subprocess.run(
                ["sh", "-euc", commands],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                env=environment,
                timeout=DEADLINE_SECS,
            ).returncode
            output.seek(0)
            printed = output.read()
        assert not check or code == 0, f"{commands}\nended with {code}:\n{printed}"
        return printed

    def start(self):
        self.shell("systemctl start tidings")
        self.wait()

    def wait(self):
        """Waits until the hub is ready."""
        assert until(self.ready), self.log()

    def ready(self):
        try:
            return ask(self, "GET", "/health/ready").status == 200
        except OSError:
            return False

    def port(self, _kind="plain"):
        return self._port

    def log(self):
        return (self.root / "log").read_text()

    def close(self):
        # It may have been stopped, or have refused to start.
        self.shell("systemctl stop tidings", check=False)
        self._folder.cleanup()


@pytest.fixture
def machines():
    made = []

    def machine(port=None):
        made.append(Machine(port or free_port()))
        return made[-1]

    yield machine
    for each in made:
        each.close()


@pytest.fixture
def machine(machines):
    machine = machines()
    machine.configure()
    machine.start()
    return machine


def test_every_step_of_the_page_is_run():
    assert sorted(STEPS) == [
        "backup", "format", "pack", "refused", "rest", "restore", "unpack", "verify"
    ]


def test_a_copy_of_a_hub_that_is_published_to_is_restored(machine, check):
    cursor = publish(machine, topic=TOPIC, data="before")
    stop = threading.Event()
    writer = threading.Thread(target=publish_until, args=(machine, stop), daemon=True)
    writer.start()
    assert until(lambda: stored(machine) > 20)
    machine.run("backup")
    check("the hub went on", writer.is_alive())
    stop.set()
    writer.join(DEADLINE_SECS)
    verified = machine.run("verify")
    check("whole", verified.startswith("ok\n"))
    mode = lambda name: (machine.root / "var/backups/tidings" / name).stat().st_mode & 0o777
    check("private", [mode("history.db"), mode("rest.tar.gz")], [0o600, 0o600])
    late = publish(machine, topic=TOPIC, data="late")
    first = all_data(machine)

    config = machine.root / "etc/tidings/tidings.toml"
    lost = config.read_text()
    config.unlink()
    machine.run("rest")
    check("configuration", config.read_text(), lost)
    machine.run("restore")
    machine.wait()
    restored = all_data(machine)
    check("a part, from the first on", restored == first[: len(restored)] and len(restored) > 20)
    check("without the last", "late" not in restored)
    check("a cursor of the copy", resumed(machine, cursor), cursor)
    check("a cursor that is lost", resumed(machine, late), "earliest")
    new = publish(machine, topic=TOPIC, data="new")
    check("a new id", new not in (cursor, late) and resumed(machine, new) == new)


def test_a_hub_moves_to_another_machine_and_cursors_stay(machine, machines, check):
    cursor = publish(machine, topic=TOPIC, data="1")
    publish(machine, topic=TOPIC, data="2")
    machine.run("pack")
    other = machines(machine.port())
    (other.root / "tidings.tar.gz").write_bytes((machine.root / "tidings.tar.gz").read_bytes())
    # The test's machines are folders, so the configuration names another one.
    with_other_root = STEPS["unpack"].replace(
        "chown", f"sed -i s,{machine.root},{other.root}, /etc/tidings/tidings.toml\nchown", 1
    )
    check("configuration", "ok" in other.shell(with_other_root))
    other.wait()
    check("resumed", resumed(other, cursor), cursor)
    stream = Stream(other, f"match=*&last_event_id={cursor}")
    check("missed", stream.data(1), ["2"])
    publish(other, topic=TOPIC, data="3")
    check("live", stream.data(1), ["3"])
    stream.close()


def test_an_older_version_refuses_a_newer_file_and_a_copy_brings_it_back(machine, check):
    cursor = publish(machine, topic=TOPIC, data="1")
    machine.run("backup")
    version, written = machine.run("format").splitlines()
    check("version", version.startswith("tidings "))
    check("format", written, newest_format())
    machine.shell("systemctl stop tidings")
    # As a later version would leave the file.
    newer = "UPDATE meta SET value = value + 1 WHERE name = 'format'"
    machine.shell(f'sqlite3 /var/lib/tidings/history.db "{newer}"')
    machine.shell("systemctl start tidings")
    assert until(lambda: "this version reads up to format" in machine.log()), machine.log()
    check("said", "reads up to format" in machine.run("refused"))
    check("not ready", machine.ready(), False)
    restore = STEPS["restore"].replace("systemctl stop tidings\n", "")
    machine.shell(restore)
    machine.wait()
    check("back", resumed(machine, cursor), cursor)


def publish_until(machine, stop):
    number = 0
    while not stop.is_set():
        publish(machine, topic=TOPIC, data=str(number))
        number += 1


def stored(machine):
    return len(all_data(machine))


def all_data(machine):
    """Returns the data of all stored updates, in order."""
    headers = {"Prefer": "wait=0"}
    answer = ask(machine, "GET", f"{mercure.PATH}?match=*&last_event_id=earliest", headers)
    return [update["data"] for update in answer.json()["updates"]]


def resumed(machine, cursor):
    """Returns what the hub says about a cursor."""
    stream = Stream(machine, f"match=*&last_event_id={cursor}")
    said = stream.answer.headers["Mercure-Last-Event-ID"]
    stream.close()
    return said


def newest_format():
    text = (ROOT / "docs/formats/history.md").read_text()
    return re.search(r"^# The history file, format (\d+)$", text, re.M)[1]
