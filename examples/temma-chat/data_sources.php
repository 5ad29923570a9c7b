<?php
// The four sockets of the tutorial. The application uses the two client sides; Tidings is the broker, started with the
// other two. A socket is opened when it is used for the first time.

return [
    'zmq_client_push' => 'zmq://PUSH@' . (getenv('CHAT_PULL') ?: '127.0.0.1:5000'),
    'zmq_broker_pull' => 'zmq-bind://PULL@127.0.0.1:5000',
    'zmq_broker_pub'  => 'zmq-bind://PUB@127.0.0.1:6000',
    'zmq_client_sub'  => 'zmq://SUB@' . (getenv('CHAT_PUB') ?: '127.0.0.1:6000'),
];
