"""ZeroMQ in a cluster: a real Redis, hubs, and libzmq at the other end of PUSH outputs and SUB inputs, of which
one hub serves each. What a hand-over doubles or loses is in docs/guide/cluster.md, and measured here."""

import threading
import time

import pytest
import zmq

from support.hub import config_check, free_port, tidings
from support.mercure import Stream, configuration, post, publish
from support.redis import Redis, is_ready
from support.slow import slow
from support.waiting import until

JOBS = "https://example.com/jobs"
HEARD = "https://example.com/heard"
# Longer than a lease and two looks at the leases of others.
HANDED_OVER_SECS = 30
# The holder notes how far it has sent at least every second, and a test machine may be busy.
DOUBLED_SECS = 3


@pytest.fixture
def redis():
    server = Redis()
    yield server
    server.stop()


@pytest.fixture
def join(start, redis):
    """Starts hubs of one cluster with sockets, one after the other, and waits until each is ready."""
    redis.begin()

    def start_member(sockets):
        hub = start(redis.member(sockets))
        assert until(lambda: is_ready(hub)), hub.log
        return hub

    return start_member


def output(port):
    return f'[[zeromq.outputs]]\nsocket = "zmq://PUSH@127.0.0.1:{port}"\nformat = "data"\nmatch_exact = ["{JOBS}"]\n'


def subscribed(port):
    return f'[[zeromq.inputs]]\nsocket = "zmq://SUB@127.0.0.1:{port}"\ntopic = "{HEARD}"\n'


def holders(hubs):
    return [hub for hub in hubs if hub.is_running() and hub.metric("tidings_zeromq_held") > 0]


def the_holder(hubs):
    """Waits until one hub holds all sockets of the cluster, and returns it and the others."""
    sockets = hubs[0].config.read_text().count("[[zeromq.")
    assert until(lambda: [hub.metric("tidings_zeromq_held") for hub in holders(hubs)] == [sockets])
    (holder,) = holders(hubs)
    return holder, [hub for hub in hubs if hub is not holder]


def node_of(hub):
    return (hub.config.parent / "data/history.db.node").read_text().strip()


def leases_of(hub):
    """Returns the nodes that hold the leases of the hub's cluster."""
    lines = tidings("cluster", "status", "--config", hub.config).stdout.splitlines()
    held = [line.split()[-1] for line in lines if line.startswith("lease ")]
    assert held, lines
    return held


def kill(hub):
    hub.process.kill()
    hub.process.wait(30)


class Worker:
    """A PULL socket that keeps what comes."""

    def __init__(self, address):
        self.got, self.running = [], True
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.PULL)
        self.socket.linger = 0
        if address.endswith(":0"):
            self.port = self.socket.bind_to_random_port(address.removesuffix(":0"))
        else:
            self.socket.bind(address)
        self.thread = threading.Thread(target=self.pull, daemon=True)
        self.thread.start()

    def pull(self):
        while self.running:
            if self.socket.poll(50):
                self.got.append(int(self.socket.recv()))

    def close(self):
        self.running = False
        self.thread.join()
        self.context.destroy()

    def has(self, wanted):
        return until(lambda: set(wanted) <= set(self.got))


@pytest.fixture
def pull():
    """Binds PULL sockets; the address of the first is that of the hubs' outputs."""
    workers = []

    def bind(port=0):
        workers.append(Worker(f"tcp://127.0.0.1:{port}"))
        return workers[-1]

    yield bind
    for worker in workers:
        worker.close()


@pytest.fixture
def worker(pull):
    return pull()


@pytest.fixture
def publisher():
    """Binds an XPUB socket, which also tells who subscribes."""
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.linger = 0
    socket.sndhwm = 0
    socket.xpub_verboser = True
    socket.rcvtimeo = HANDED_OVER_SECS * 1000
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    yield socket, port
    context.destroy(linger=0)


class Load:
    """Publishes numbers to one of several hubs after the other, until it is stopped."""

    def __init__(self, hubs, pause=0.002):
        self.hubs, self.pause = hubs, pause
        self.taken, self.refused, self.times = [], [], {}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.publish, daemon=True)
        self.thread.start()

    def publish(self):
        number = 0
        while not self.stopped.wait(self.pause):
            number += 1
            hub = self.hubs[number % len(self.hubs)]
            try:
                answer = post(hub, topic=JOBS, data=str(number))
                taken = answer.status == 200
            except OSError:
                taken = False
            (self.taken if taken else self.refused).append(number)
            self.times[number] = time.monotonic()

    def stop(self):
        self.stopped.set()
        self.thread.join()


class Sending:
    """Sends numbers, some of which nobody takes."""

    PAUSE_SECS = 0.01

    def __init__(self, socket):
        self.socket, self.stopped = socket, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        number = 0
        while not self.stopped.wait(self.PAUSE_SECS):
            self.socket.send(str(number).encode())
            number += 1

    def stop(self):
        self.stopped.set()
        self.thread.join()


def grows(length, wanted):
    """Waits until something is so long; each fifty of it has the time of one wait."""
    return all(until(lambda: length() >= part) for part in range(50, wanted + 1, 50))


def read_over_a_gap(stream, got):
    """Reads until a hundred numbers follow a gap; returns its size. No number comes twice."""
    gap, after = 0, 0
    while after < 100:
        number = int(stream.next()["data"])
        assert number > got[-1], "twice"
        if number > got[-1] + 1:
            assert not gap, "two gaps"
            gap = number - got[-1] - 1
        after += gap > 0
        got.append(number)
    return gap


def test_one_hub_pushes_each_message_once(join, worker, check):
    hubs = [join(output(worker.port)) for _ in range(3)]
    holder, others = the_holder(hubs)
    load = Load(hubs, 0)
    assert grows(lambda: len(load.taken), 300)
    load.stop()
    assert worker.has(load.taken)
    last = len(load.taken) + len(load.refused) + 1
    publish(hubs[0], topic=JOBS, data=str(last))
    assert worker.has([last])
    check("each once, in order", worker.got, [*load.taken, last])
    check("the others sent nothing", sum(hub.metric("tidings_zeromq_sent_total") for hub in others), 0)
    done = tidings("cluster", "status", "--config", others[0].config)
    lines = [line for line in done.stdout.splitlines() if line.startswith("lease    zeromq-out-push-127-0-0-1")]
    check("the status says who holds it", [line.split()[-1] for line in lines], [node_of(holder)])
    lines = [line for line in holder.log if "does now what one hub" in line]
    check("so does its log", any("zeromq-out-push" in line for line in lines))


def test_a_holder_that_is_killed_or_stopped(join, worker, publisher, check):
    """The output loses nothing, and doubles what was sent last if its hub was killed. The input loses what comes
    before the hand-over, and doubles nothing."""
    pub, port = publisher
    hubs = [join(output(worker.port) + subscribed(port)) for _ in range(3)]
    holder, others = the_holder(hubs)
    assert pub.recv() == b"\x01"
    stream = Stream(others[1], f"match={HEARD}")
    load, sending = Load(others[1:]), Sending(pub)
    got = [int(stream.next()["data"])]
    assert grows(lambda: len(worker.got), 300)
    killed = time.monotonic()
    kill(holder)
    before = len(load.taken)
    second, (last,) = the_holder(others)
    handed_over = time.monotonic() - killed
    lost = read_over_a_gap(stream, got)
    assert grows(lambda: len(load.taken) - before, 300)
    assert worker.has(list(load.taken)), "an acknowledged update was not pushed"
    pushed = list(worker.got)
    doubled = [number for number in set(pushed) if pushed.count(number) > 1]
    oldest = max((killed - load.times[number] for number in doubled), default=0)
    print(f"killed: handed over after {handed_over:.1f} s; doubled {len(doubled)}, the oldest of {oldest:.2f} s")
    print(f"killed: {lost} messages lost of one each {Sending.PAUSE_SECS} s")
    check("nothing three times", max(pushed.count(number) for number in doubled or [pushed[0]]) <= 2)
    check("only what was sent at last is doubled", oldest < DOUBLED_SECS)
    check("only what came before the hand-over is lost", lost * Sending.PAUSE_SECS < HANDED_OVER_SECS)

    node, stopped = node_of(second), time.monotonic()
    check("it stops", second.stop(), 0)
    # Others wait for no lease of it to lapse.
    check("it has given back what it held", node in leases_of(last), False)
    the_holder([last])
    handed_over = time.monotonic() - stopped
    lost = read_over_a_gap(stream, got)
    before = len(load.taken)
    assert grows(lambda: len(load.taken) - before, 100)
    load.stop()
    sending.stop()
    assert worker.has(load.taken), "an acknowledged update was not pushed"
    pushed = worker.got[len(pushed) :]
    print(f"stopped: handed over after {handed_over:.1f} s; {lost} messages lost of one each {Sending.PAUSE_SECS} s")
    check("nothing is doubled", len(set(pushed)), len(pushed))
    check("all in order", pushed, sorted(pushed))


@slow("waits for leases to lapse")
def test_an_engine_that_was_away_for_long_doubles_nothing(join, redis, worker, check):
    hubs = [join(output(worker.port)) for _ in range(2)]
    holder, _ = the_holder(hubs)
    for number in range(50):
        publish(hubs[number % 2], topic=JOBS, data=str(number))
    assert worker.has(range(50))
    redis.kill()
    # Its lease lapses.
    assert until(lambda: not holders(hubs))
    redis.start()
    assert until(lambda: all(map(is_ready, hubs)))
    the_holder(hubs)
    for number in range(50, 100):
        publish(hubs[number % 2], topic=JOBS, data=str(number))
    assert worker.has(range(100))
    check("each once, in order", worker.got, list(range(100)))


@slow("waits for leases to lapse")
def test_what_waits_for_a_worker_is_sent_by_whichever_hub(join, pull, check):
    """Nobody pulls, the holder dies with everything in its queue, and then somebody does."""
    port = free_port()
    hubs = [join(output(port)) for _ in range(2)]
    holder, (other,) = the_holder(hubs)
    for number in range(100):
        publish(other, topic=JOBS, data=str(number))
    kill(holder)
    assert until(lambda: other.metric("tidings_zeromq_held") == 1)
    worker = pull(port)
    assert worker.has(range(100))
    check("each once, in order", worker.got, list(range(100)))


def test_one_hub_takes_each_message_of_a_publisher_once(join, publisher, check):
    pub, port = publisher
    hubs = [join(subscribed(port)) for _ in range(3)]
    holder, others = the_holder(hubs)
    check("one hub subscribes", pub.recv(), b"\x01")
    stream = Stream(others[0], f"match={HEARD}")
    for number in range(300):
        pub.send(str(number).encode())
    check("each once, in order", [int(stream.next()["data"]) for _ in range(300)], list(range(300)))
    check("the others took nothing", sum(hub.metric("tidings_zeromq_received_total") for hub in others), 0)
    check("nobody else subscribed", pub.poll(0), 0)


def test_names_of_sockets_are_checked(check):
    cluster = '[cluster]\nengine = "redis"\nurl = "redis://127.0.0.1:1"\n[data]\ndir = "/tmp/none"\n'

    def errors(sockets):
        return config_check(configuration(sockets + cluster)).stderr

    check("two of one name", "two of them have the name" in errors(output(5000) + output(5000)))
    check("named apart", errors(output(5000) + output(5000) + 'name = "other"\n'), "")
    check("a bad name", "lower-case letters" in errors(output(5000) + 'name = "A b"\n'))
    pull = '[[zeromq.inputs]]\nsocket = "zmq-bind://PULL@127.0.0.1:0"\ntopic = "https://example.com/x"\nname = "x"\n'
    check("every hub has its PULL socket", "remove the name" in errors(pull))
