<?php
// A ZeroMQ socket by its name, for messages that are one JSON text each.

final class DataSource
{
    private ?ZMQSocket $socket = null;

    public function __construct(private string $name)
    {
    }

    public function send(mixed $what): void
    {
        $this->open()->send(json_encode($what, JSON_THROW_ON_ERROR));
    }

    /** Waits for the next message; null if it is no JSON. */
    public function receive(): mixed
    {
        return json_decode($this->open()->recv(), true);
    }

    /** Opens the socket, which the first use does too. */
    public function open(): ZMQSocket
    {
        if ($this->socket) {
            return $this->socket;
        }
        if (!preg_match('/^zmq(-bind)?:\/\/(PUSH|PULL|PUB|SUB)@(.+)$/', $this->name, $found)) {
            throw new RuntimeException("'{$this->name}' is no data source");
        }
        [, $bind, $type, $hosts] = $found;
        $socket = new ZMQSocket(new ZMQContext(), constant("ZMQ::SOCKET_$type"));
        if ($type === 'SUB') {
            $socket->setSockOpt(ZMQ::SOCKOPT_SUBSCRIBE, '');
        }
        foreach (array_map('trim', explode(';', $hosts)) as $host) {
            $bind ? $socket->bind("tcp://$host") : $socket->connect("tcp://$host");
        }
        return $this->socket = $socket;
    }
}
