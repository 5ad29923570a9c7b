"""What the conformance tests share: named checks, and hubs that stop at the end of their test."""

import pytest

from support import mercure, zeromq
from support.hub import Hub


@pytest.fixture
def check(subtests):
    """Compares two values under a name. A test continues after a failed check, and reports all failures."""

    def compare(name, found, expected=True):
        with subtests.test(name):
            assert found == expected

    return compare


def started(start):
    """Yields a function like `start`, and stops everything that it has started."""
    hubs = []

    def keep(*arguments, **options):
        hubs.append(start(*arguments, **options))
        return hubs[-1]

    yield keep
    codes = [hub.stop() for hub in hubs if hub.is_running()]
    assert not any(codes), f"exit codes of the hubs: {codes}"


@pytest.fixture
def start():
    """Starts hubs that know the tokens of `support.mercure`."""
    yield from started(mercure.start)


@pytest.fixture(scope="module")
def start_hub():
    """Starts hubs with a complete configuration, which run until the module's tests end."""
    yield from started(Hub)


@pytest.fixture
def start_broker():
    """Starts `tidings broker` with arguments."""
    yield from started(zeromq.Broker)


@pytest.fixture
def pyzmq():
    """Opens pyzmq sockets, and closes them: an open one would keep connecting, perhaps to the port
    of a later broker."""
    sockets = zeromq.Sockets()
    yield sockets
    sockets.close()
