<?php
// A list of orders. What is sold is inserted and published in one transaction: both happen, or neither.
declare(strict_types=1);

const TOPIC = 'https://example.com/orders';

$database = new PDO(getenv('DATABASE') ?: 'pgsql:host=127.0.0.1;dbname=shop', getenv('DATABASE_USER') ?: 'shop', getenv('DATABASE_PASSWORD') ?: null);
$hub = getenv('HUB') ?: 'http://localhost:4400/.well-known/mercure';

// Reads the state and the cursor of the same snapshot: in one statement. What is not in the state comes after the cursor.
function state(PDO $database): string
{
    return $database->query(
        "SELECT json_build_object(
            'cursor', tidings.position(),
            'orders', (SELECT coalesce(json_agg(o ORDER BY id), '[]') FROM orders AS o))"
    )->fetchColumn();
}

function sell(PDO $database, string $article, bool $payment_succeeds): int
{
    $database->beginTransaction();
    $insert = $database->prepare('INSERT INTO orders (article) VALUES (?) RETURNING id');
    $insert->execute([$article]);
    $id = $insert->fetchColumn();
    $publish = $database->prepare('SELECT tidings.publish(topic => ?, data => ?, type => ?)');
    $publish->execute([TOPIC, json_encode(['id' => $id, 'article' => $article]), 'sold']);
    // Whatever fails after it takes the order and its update back.
    if (!$payment_succeeds) {
        $database->rollBack();
        return 402;
    }
    $database->commit();
    return 201;
}

switch ($_SERVER['REQUEST_METHOD'] . ' ' . strtok($_SERVER['REQUEST_URI'], '?')) {
    case 'GET /':
        header('Content-Type: text/html; charset=utf-8');
        $values = ['{{hub}}' => json_encode($hub), '{{topic}}' => json_encode(TOPIC)];
        echo strtr(file_get_contents(__DIR__ . '/page.html'), $values);
        break;
    case 'GET /orders':
        header('Content-Type: application/json');
        echo state($database);
        break;
    case 'POST /orders':
        try {
            http_response_code(sell($database, $_POST['article'] ?? '', ($_POST['payment'] ?? '') === 'succeeds'));
        } catch (PDOException $error) {
            // Also what publish() refuses; it says what to change.
            error_log($error->getMessage());
            http_response_code(500);
        }
        break;
    default:
        http_response_code(404);
}
