<?php
// Pushes a JSON text, or many of them with their numbers, as \Temma\Datasources\ZeroMQ does.
// php push.php PORT JSON [COUNT]

$push = new ZMQSocket(new ZMQContext(), ZMQ::SOCKET_PUSH);
$push->connect("tcp://127.0.0.1:{$argv[1]}");
if (!isset($argv[3])) {
    $push->send($argv[2]);
    exit;
}
for ($number = 0; $number < (int)$argv[3]; $number++) {
    $push->send(json_encode(['number' => $number] + json_decode($argv[2], true)));
}
