"""What the conformance tests have in common: checks with names, and hubs that end with their test."""

import pytest

from support import mercure, zeromq
from support.hub import Hub


@pytest.fixture
def check(subtests):
    """Compares two values under a name. A test goes on after a check that fails, and shows all that fail."""

    def compare(name, found, expected=True):
        with subtests.test(name):
            assert found == expected

    return compare


def started(start):
    """Yields a function like `start`, and ends in good form what it has started."""
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
    """Starts hubs with a whole configuration, which live as long as the module's tests."""
    yield from started(Hub)


@pytest.fixture
def start_broker():
    """Starts `tidings broker` with arguments."""
    yield from started(zeromq.Broker)


@pytest.fixture
def pyzmq():
    """Opens sockets of pyzmq that connect, and closes them: an open one would go on connecting,
    perhaps to the port of a later broker."""
    sockets = zmq_sockets()
    next(sockets)
    yield sockets


@pytest.fixture
def pyzmq():
    """Opens sockets of pyzmq, and closes them: an open one would go on connecting, perhaps to the port
    of a later broker."""
    sockets = zeromq.Sockets()
    yield sockets
    sockets.close()
