<?php
// The two actions of the chat and its page, for PHP's own web server.

require __DIR__ . '/../DataSource.php';
$sources = array_map(fn ($name) => new DataSource($name), require __DIR__ . '/../data_sources.php');

/** Passes what somebody says to the broker. Answers true even if there is nothing to pass on. */
function broadcast(DataSource $push): void
{
    $from = $_POST['from'] ?? '';
    $text = $_POST['text'] ?? '';
    if (trim($from) !== '' && trim($text) !== '') {
        $push->send(['from' => $from, 'text' => $text]);
    }
    header('Content-Type: text/x-json; charset=UTF-8');
    header('Cache-Control: no-cache');
    echo 'true';
}

/** Sends what the broker publishes to one browser, for as long as it stays. */
function fetch(DataSource $sub): void
{
    set_time_limit(0);
    header('Content-Type: text/event-stream');
    header('Cache-Control: no-cache');
    header('X-Accel-Buffering: no');
    while (ob_get_level() > 0) {
        ob_end_flush();
    }
    $sub->open();
    echo ": open\r\n\r\n";
    flush();
    while (!connection_aborted()) {
        $said = $sub->receive();
        echo "event: msg\r\ndata: ", json_encode($said, JSON_THROW_ON_ERROR), "\r\n\r\n";
        flush();
    }
}

match (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    '/' => readfile(__DIR__ . '/page.html'),
    '/message/broadcast' => broadcast($sources['zmq_client_push']),
    '/event/fetch' => fetch($sources['zmq_client_sub']),
    '/chat.js' => (function () {
        header('Content-Type: text/javascript; charset=utf-8');
        readfile(__DIR__ . '/chat.js');
    })(),
    default => http_response_code(404),
};
