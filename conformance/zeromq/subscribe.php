<?php
// Prints each message that a subscription to everything receives, as a JSON object with its parts.
// php subscribe.php PORT COUNT

$sub = new ZMQSocket(new ZMQContext(), ZMQ::SOCKET_SUB);
$sub->setSockOpt(ZMQ::SOCKOPT_SUBSCRIBE, '');
$sub->connect("tcp://127.0.0.1:{$argv[1]}");
for ($number = 0; $number < (int)$argv[2]; $number++) {
    echo json_encode(['parts' => $sub->recvMulti()]), "\n";
}
