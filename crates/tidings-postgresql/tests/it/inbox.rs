//! The inbox without a hub: the functions that applications call, and what hubs read.

mod failover;

use tidings_cluster::engine::EngineError;
use tidings_core::event_id::EventId;
use tidings_core::id_seal::IdSeal;
use tidings_core::position::Position;
use tidings_core::print::Print;
use tidings_core::topic::Topic;
use tidings_core::update::EventType;
use tidings_postgresql::inbox::{Inbox, ROWS_MAX, Row, RowId};
use tidings_postgresql::{Options, Postgresql, Problem, Roles, schema};
use tokio::runtime::{Builder, Runtime};

use crate::harness::{Server, Sql};

const TOPIC: &str = "https://example.com/orders";

#[test]
fn publish_refuses_what_the_http_door_refuses_and_says_what_to_do() {
    let server = Database::start();
    let mut shop = server.publisher();
    let long = |bytes: usize| "x".repeat(bytes);
    let (full, over) = (long(4096), long(4097));
    let topics = [
        TOPIC,
        "",
        "*",
        "**",
        " ",
        "/a",
        "a\u{200b}b",
        "a\nb",
        "\u{7f}",
        "é日🦀",
        "\u{a0}",
        &full,
        &over,
        "\u{85}",
    ];
    for topic in topics {
        let refused = Topic::parse(topic).err().map(|error| error.to_string());
        check(&mut shop, "topics => ARRAY[$1::text]", topic, refused);
    }
    let (full, over) = (long(1024), long(1025));
    let ids = [
        "1",
        "",
        "earliest",
        "earliest2",
        "#1",
        "a#",
        " 1",
        "1 ",
        "1 2",
        "urn:uuid:x",
        "a\rb",
        "\u{ad}",
        &full,
        &over,
    ];
    for id in ids {
        let refused = (!id.is_empty()).then(|| EventId::parse(id).err()).flatten();
        let refused = refused.map(|error| error.to_string());
        check(&mut shop, "topic => 'a', id => $1::text", id, refused);
    }
    let (full, over) = (long(256), long(257));
    for name in [
        "sold",
        "",
        "mercure",
        "mercure2",
        "a\u{2028}b",
        "a\u{feff}b",
        " a ",
        &full,
        &over,
    ] {
        let refused = (!name.is_empty())
            .then(|| EventType::parse(name).err())
            .flatten();
        let refused = refused.map(|error| error.to_string());
        check(&mut shop, "topic => 'a', type => $1::text", name, refused);
    }
}

/// Publishes with an argument. What the hub would say is what the database says, and there is a hint.
#[track_caller]
fn check(shop: &mut Sql, arguments: &str, value: &str, refused: Option<String>) {
    let answer = shop.ask(&format!("SELECT tidings.publish({arguments})"), &[&value]);
    let error = answer.err();
    let error = error.as_ref().and_then(tokio_postgres::Error::as_db_error);
    assert_eq!(
        error.is_some(),
        refused.is_some(),
        "{value:?}: {error:?}, {refused:?}"
    );
    let (Some(error), Some(refused)) = (error, refused) else {
        return;
    };
    assert!(error.hint().is_some(), "{error:?}");
    assert!(error.code().code().starts_with("22"), "{error:?}");
    // The text names a character in another way.
    if !refused.contains("control or format") {
        assert_eq!(error.message(), refused);
    }
}

#[test]
fn publish_refuses_lists_and_nulls_that_would_be_surprises() {
    let server = Database::start();
    let mut shop = server.publisher();
    let cases = [
        ("topics => NULL", "an update has no topic"),
        ("topics => '{}'", "an update has no topic"),
        ("topics => ARRAY['a', NULL]", "topic 2 is null"),
        (
            "topics => ARRAY[['a'], ['b']]",
            "the topics are an array of 2 dimensions",
        ),
        (
            "topics => array_fill('a'::text, ARRAY[1001])",
            "an update has 1001 topics, more than 1000",
        ),
        ("topic => NULL", "topic 1 is null"),
        ("topic => 'a', data => 'x' || NULL", "data is null"),
        ("topic => 'a', private => NULL", "private is null"),
        ("topic => 'a', retry => -1", "retry is -1"),
        (
            "topic => 'a', data => repeat('x', 1048576)",
            "an update has 1048577 bytes, more than 1048576",
        ),
        (
            "topic => 'https://example.com/.well-known/mercure/subscriptions'",
            "topic 'https://example.com/.well-known/mercure/subscriptions' is inside /.well-known/mercure, which \
             is reserved for what the hub publishes itself",
        ),
        (
            "topic => '/.well-known/mercure?x'",
            "topic '/.well-known/mercure?x' is inside /.well-known/mercure, which is reserved for what the hub \
             publishes itself",
        ),
    ];
    for (arguments, message) in cases {
        let error = shop.ask(&format!("SELECT tidings.publish({arguments})"), &[]);
        let error = error.expect_err(arguments);
        let said = error.as_db_error().expect("an error of the server");
        assert_eq!(said.message(), message);
        assert!(said.hint().is_some(), "{arguments}");
    }
    for arguments in [
        "topics => array_fill('a'::text, ARRAY[1000])",
        "topic => 'a', data => repeat('x', 1048575)",
        "topic => 'https://example.com/.well-known/mercurial'",
        "'a', 'b'",
    ] {
        shop.run(&format!("SELECT tidings.publish({arguments})"));
    }
    let count: i64 = server
        .owner()
        .value("SELECT count(*) FROM tidings.inbox", &[]);
    assert_eq!(count, 4, "and nothing else");
}

#[test]
fn names_lack_the_same_characters_as_in_the_hub() {
    let server = Database::start();
    let rows = server.owner().ask(
        "SELECT chr(n) FROM generate_series(1, 1114111) AS n WHERE n NOT BETWEEN 55296 AND 57343 \
         AND tidings.forbidden_character(chr(n)) IS NOT NULL",
        &[],
    );
    let found: String = rows
        .expect("rows")
        .iter()
        .map(|row| row.get::<_, &str>(0))
        .collect();
    // Text of PostgreSQL has no NUL.
    let forbidden = ('\u{1}'..=char::MAX).filter(|one| Topic::parse(&format!("a{one}")).is_err());
    assert_eq!(found, forbidden.collect::<String>());
}

#[test]
fn event_ids_are_those_of_the_hub() {
    let server = Database::start();
    let mut owner = server.owner();
    let mut seed = 7_u64;
    let mut byte = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_be_bytes()[0]
    };
    for position in [1, 2, 255, 256, 1 << 31, 1 << 32, (1 << 53) - 1] {
        for _ in 0..20 {
            let secret: [u8; 32] = std::array::from_fn(|_| byte());
            let print: [u8; 16] = std::array::from_fn(|_| byte());
            let wanted = IdSeal::new(secret).seal(Position::new(position), Some(Print::new(print)));
            let place = i64::try_from(position).expect("a place");
            let found: String = owner.value(
                "SELECT tidings.event_id($1, $2, $3)",
                &[&secret.as_slice(), &place, &print.as_slice()],
            );
            assert_eq!(found, wanted.as_str());
        }
    }
    let none: String = owner.value("SELECT tidings.position()", &[]);
    assert_eq!(none, "earliest", "nothing was published");
}

#[test]
fn a_publisher_publishes_and_does_nothing_else() {
    let server = Database::start();
    let mut shop = server.publisher();
    shop.publish(TOPIC, "1");
    shop.run("SELECT tidings.position()");
    for forbidden in [
        "SELECT * FROM tidings.inbox",
        "SELECT * FROM tidings.inbox_refused",
        "SELECT * FROM tidings.head",
        "SELECT * FROM tidings.log",
        "INSERT INTO tidings.inbox (topics, data, private) VALUES ('{a}', '', false)",
        "UPDATE tidings.inbox_limits SET body_bytes_max = 1",
        "SELECT tidings.inbox_done('{1}')",
        "SELECT tidings.inbox_done('', '{1}', '{}')",
        "SELECT tidings.inbox_next('{}', 0, '{}', 1, 1, false)",
        "SELECT tidings.inbox_next('{}', '{}', '{}', '', 0, 1, 1, false)",
        "SELECT tidings.inbox_refuse(1, 'x')",
        "SELECT tidings.inbox_refuse(1, gen_random_uuid(), 'x')",
        "SELECT tidings.inbox_limit(1, 'x')",
        "SELECT tidings.event_id('', 1, '')",
        "SELECT tidings.bump('', 0, '')",
        "CREATE TABLE tidings.mine (n int)",
    ] {
        let error = shop.ask(forbidden, &[]).expect_err(forbidden);
        let code = error.code().map(tokio_postgres::error::SqlState::code);
        assert_eq!(code, Some("42501"), "{forbidden}: {error:?}");
    }
    // Names of the caller's own do not take the place of those of the functions.
    shop.run(
        "CREATE TEMP TABLE inbox (id bigint); CREATE TEMP TABLE inbox_limits (n int); \
         CREATE FUNCTION pg_temp.cardinality(anyarray) RETURNS int LANGUAGE sql AS 'SELECT 0'; \
         SET search_path = pg_temp, pg_catalog",
    );
    shop.publish(TOPIC, "2");
    assert_eq!(shop.value::<i64>("SELECT count(*) FROM inbox", &[]), 0);
    let count: i64 = server
        .owner()
        .value("SELECT count(*) FROM tidings.inbox", &[]);
    assert_eq!(count, 2);
}

#[test]
fn no_transaction_waits_for_another_one() {
    let server = Database::start();
    let mut open: Vec<Sql> = (0..8).map(|_| server.publisher()).collect();
    for (number, shop) in open.iter_mut().enumerate() {
        // Any wait for a lock would be an error.
        shop.run("SET lock_timeout = '1ms'; BEGIN ISOLATION LEVEL SERIALIZABLE");
        shop.publish(TOPIC, &number.to_string());
    }
    let reader = Reader::new(&server);
    let mut reader = reader;
    assert!(reader.next(&[], &[]).is_empty(), "none has committed");
    // In the opposite order, and read in between.
    let mut read = Vec::new();
    while let Some(mut shop) = open.pop() {
        shop.publish(TOPIC, "again");
        shop.run("COMMIT");
        let busy: Vec<RowId> = read.iter().map(|row: &Row| row.id).collect();
        let rows = reader.next(&[], &busy);
        assert_eq!(rows.len(), 2);
        read.extend(rows);
    }
    let first: Vec<&str> = read
        .iter()
        .step_by(2)
        .map(|row| row.data.as_str())
        .collect();
    assert_eq!(first, ["7", "6", "5", "4", "3", "2", "1", "0"]);
}

#[test]
fn a_page_is_bounded_and_in_order_and_a_large_row_passes() {
    let server = Database::start();
    let mut shop = server.publisher();
    let mut reader = Reader::new(&server);
    let max = usize::try_from(ROWS_MAX).expect("a bound");
    shop.ask(
        "SELECT tidings.publish($1::text, n::text) FROM generate_series(1, 600) AS n",
        &[&TOPIC],
    )
    .expect("published");
    let first = reader.next(&[], &[]);
    assert_eq!(first.len(), max);
    let ids = ids(&first);
    let rest = reader.next(&[], &ids);
    assert_eq!(rest.len(), 600 - max);
    assert!(first.iter().chain(&rest).map(|row| row.id).is_sorted());
    let data = first
        .iter()
        .chain(&rest)
        .map(|row| row.data.parse::<usize>());
    assert!(data.map(Result::unwrap).eq(1..=600));
    let others = self::ids(&rest);
    assert!(reader.next(&ids, &others).is_empty());
    assert!(reader.next(&others, &[]).is_empty());
    // Three of 700 kB: one each time.
    shop.ask(
        "SELECT tidings.publish($1::text, repeat('x', 700000)) FROM generate_series(1, 3)",
        &[&TOPIC],
    )
    .expect("published");
    for _ in 0..3 {
        let rows = reader.next(&[], &[]);
        assert_eq!(rows.len(), 1);
        assert!(reader.next(&[rows[0].id], &[]).len() <= 1);
    }
    assert!(reader.next(&[], &[]).is_empty());
}

/// A backup, say, keeps removed rows from being vacuumed. A look does not go through them.
#[test]
fn a_long_transaction_that_reads_costs_a_look_nothing() {
    let server = Database::start();
    let (mut shop, mut backup) = (server.publisher(), server.owner());
    let mut reader = Reader::new(&server);
    backup.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tidings.inbox");
    let mut removed = 0;
    let mut done = Vec::new();
    for _ in 0..10 {
        let sql = "SELECT tidings.publish($1::text, 'x') FROM generate_series(1, 500)";
        shop.ask(sql, &[&TOPIC]).expect("published");
        let rows = reader.next(&done, &[]);
        removed += rows.len();
        done = ids(&rows);
    }
    assert_eq!(removed, 5000);
    for _ in 0..3 {
        assert!(reader.next(&done, &[]).is_empty());
        done.clear();
    }
    let after = reader.inbox.floor();
    assert_eq!(after, 5000, "everything up to here is known to be gone");
    let mut owner = server.owner();
    owner.run("VACUUM tidings.inbox");
    let pages = |owner: &mut Sql, after: i64| -> i64 {
        let plan = owner.text(&format!(
            "EXPLAIN (ANALYZE, BUFFERS) \
             SELECT * FROM tidings.inbox_next('{{}}', '{{}}', '{{}}', tidings.inbox_numbering(), {after}, 512, \
             1048576, false)"
        ));
        let hit = plan.split("shared hit=").nth(1).expect("pages");
        let digits: String = hit.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    };
    // The first call of a session reads the catalogue.
    pages(&mut owner, after);
    let (from_floor, whole) = (pages(&mut owner, after), pages(&mut owner, 0));
    assert!(
        from_floor < 20,
        "{from_floor} pages, and {whole} without the floor"
    );
    assert!(whole > 50, "the removed rows are there: {whole} pages");
    // A row that comes late is found.
    let mut late = server.publisher();
    late.run("BEGIN");
    late.publish(TOPIC, "late");
    shop.publish(TOPIC, "early");
    let early = reader.next(&[], &[]);
    assert_eq!(early.len(), 1);
    for _ in 0..3 {
        assert!(reader.next(&[early[0].id], &[]).is_empty());
    }
    late.run("COMMIT");
    assert_eq!(
        reader.next(&[], &[]).first().map(|row| row.data.as_str()),
        Some("late")
    );
}

#[test]
fn an_operator_is_told_of_refused_updates() {
    let server = Database::start();
    server.publisher().publish(TOPIC, "1");
    let mut reader = Reader::new(&server);
    let problems = |reader: &Reader| {
        let engine = Postgresql::new(server.options());
        let problems = reader
            .runtime
            .block_on(engine.problems(None))
            .expect("an answer");
        let of_inbox = |one: &Problem| matches!(one, Problem::RefusedUpdates { rows: 1, .. });
        problems.iter().any(of_inbox)
    };
    assert!(!problems(&reader), "it waits");
    let id = reader.next(&[], &[])[0].id;
    let refused = reader.inbox.refuse(id, "why not");
    reader.runtime.block_on(refused).expect("refused");
    assert!(problems(&reader));
    assert!(reader.next(&[], &[]).is_empty());
    server
        .owner()
        .run("DELETE FROM tidings.inbox_refused WHERE reason = 'why not'");
    assert!(!problems(&reader));
}

/// Nor does it stop what comes after it.
#[test]
fn a_row_is_refused_whose_id_was_refused_before_the_sequence_was_set_back() {
    let server = Database::start();
    let mut reader = Reader::new(&server);
    for reason in ["the first one", "the second one"] {
        server.publisher().publish(TOPIC, reason);
        let row = &reader.next(&[], &[])[0];
        assert_eq!((row.id.place, &*row.data), (1, reason));
        let refused = reader.inbox.refuse(row.id, reason);
        reader.runtime.block_on(refused).expect("refused");
        server
            .owner()
            .run("ALTER TABLE tidings.inbox ALTER COLUMN id RESTART WITH 1");
    }
    let refused = server
        .owner()
        .ask(
            "SELECT reason FROM tidings.inbox_refused ORDER BY refused_at",
            &[],
        )
        .expect("an answer");
    let reasons: Vec<String> = refused.iter().map(|row| row.get(0)).collect();
    assert_eq!(reasons, ["the first one", "the second one"]);
}

/// Scripts for restored databases do so, and ids that hubs know to be gone are given out again.
#[test]
fn rows_are_read_after_the_sequence_was_set_back() {
    let server = Database::start();
    let mut reader = Reader::new(&server);
    let mut done = Vec::new();
    for data in ["1", "2", "3"] {
        server.publisher().publish(TOPIC, data);
        done.extend(ids(&reader.next(&[], &done)));
    }
    for _ in 0..3 {
        assert!(reader.next(&done, &[]).is_empty());
    }
    assert_eq!(reader.inbox.floor(), 3);
    server
        .owner()
        .run("SELECT setval('tidings.inbox_id_seq', 1, false)");
    server.publisher().publish(TOPIC, "again");
    let rows = reader.next(&[], &[]);
    assert_eq!((rows.len(), &*rows[0].data), (1, "again"));
    assert!(reader.next(&ids(&rows), &[]).is_empty());
    assert!(reader.inbox.floor() <= 1);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn the_oldest_server_has_an_inbox() {
    let server = Database::on(Server::start_oldest());
    let mut reader = Reader::new(&server);
    for data in ["1", "2", "3"] {
        server.publisher().publish(TOPIC, data);
    }
    let rows = reader.next(&[], &[]);
    assert_eq!(rows.len(), 3);
    let refused = reader.inbox.refuse(rows[0].id, "why not");
    reader.runtime.block_on(refused).expect("refused");
    assert!(reader.next(&[rows[1].id], &[rows[2].id]).is_empty());
    let last = [rows[2].id];
    let removed = reader.inbox.remove(&last);
    reader.runtime.block_on(removed).expect("removed");
    let state = reader.runtime.block_on(reader.inbox.state());
    let state = state.expect("an answer");
    assert_eq!((state.waiting, state.refused), (0, 1));
    server.publisher().publish(TOPIC, "4");
    let earlier = "SELECT data FROM tidings.inbox_next('{}', 0, '{}', 512, 1048576, true)";
    assert_eq!(server.owner().text(earlier), "4");
}

/// Its names of rows are ids alone.
#[test]
fn a_hub_of_an_earlier_build_reads_the_inbox_of_this_one() {
    let server = Database::start();
    let (mut shop, mut hub) = (server.publisher(), server.owner());
    for data in ["1", "2", "3", "4"] {
        shop.publish(TOPIC, data);
    }
    let look = "SELECT last, newest, oldest, id, key, waited_ms, topics, data, private, event_id, type, retry \
        FROM tidings.inbox_next($1, $2, $3, 512, 1048576, true)";
    let mut next = |done: &[i64], after: i64, busy: &[i64]| -> Vec<(Option<i64>, Option<String>)> {
        let rows = hub.ask(look, &[&done, &after, &busy]).expect("an answer");
        let row = |row: &tokio_postgres::Row| (row.get("id"), row.get("data"));
        rows.iter().map(row).collect()
    };
    let row = |id: i64| (Some(id), Some(id.to_string()));
    assert_eq!(next(&[], 0, &[]), [row(1), row(2), row(3), row(4)]);
    assert_eq!(next(&[1], 0, &[2]), [row(3), row(4)]);
    assert_eq!(next(&[], 2, &[]), [row(3), row(4)]);
    server.owner().run("SELECT tidings.inbox_done('{2}')");
    server
        .owner()
        .run("SELECT tidings.inbox_refuse(3, 'why not')");
    assert_eq!(next(&[4], 0, &[]), [(None, None)]);
    let refused = server
        .owner()
        .text("SELECT data FROM tidings.inbox_refused");
    assert_eq!(refused, "3");
}

fn ids(rows: &[Row]) -> Vec<RowId> {
    rows.iter().map(|row| row.id).collect()
}

fn publish(server: &Server, data: &str, count: i32) {
    let sql = "SELECT tidings.publish($1::text, $2) FROM generate_series(1, $3)";
    let published = Sql::open(server.port, "shop").ask(sql, &[&TOPIC, &data, &count]);
    published.expect("published");
}

/// A server with the cluster `tidings`, in which applications log in as `shop`.
struct Database(Server);

impl Database {
    fn start() -> Self {
        Self::on(Server::start(&[]))
    }

    fn on(server: Server) -> Self {
        server.sql("CREATE ROLE shop LOGIN");
        let roles = Roles {
            publisher: Some("shop".to_owned()),
            ..Roles::default()
        };
        let name = "tidings".parse().expect("a name");
        // Twice: it may be run again at any time.
        for _ in 0..2 {
            server.sql(&schema(&name, &roles));
        }
        Self(server)
    }

    fn options(&self) -> Options {
        options(&self.0)
    }

    fn publisher(&self) -> Sql {
        Sql::open(self.0.port, "shop")
    }

    fn owner(&self) -> Sql {
        Sql::open(self.0.port, "postgres")
    }
}

/// What a hub of the cluster on a server is told.
fn options(server: &Server) -> Options {
    Options {
        name: "tidings".parse().expect("a name"),
        ..server.options()
    }
}

/// A hub's client of the inbox, used by one thread.
struct Reader {
    runtime: Runtime,
    inbox: Inbox,
}

impl Reader {
    fn new(server: &Database) -> Self {
        Self::with(server.options())
    }

    fn of_both(primary: &Server, standby: &Server) -> Self {
        let mut options = options(primary);
        options.place.servers.push(standby.address());
        Self::with(options)
    }

    fn with(options: Options) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self {
            runtime: runtime.expect("a runtime"),
            inbox: Inbox::new(options),
        }
    }

    fn look_up(&mut self) -> Result<(), EngineError> {
        self.runtime.block_on(self.inbox.look_up())
    }

    fn try_next(&mut self, done: &[RowId], busy: &[RowId]) -> Result<Vec<Row>, EngineError> {
        self.runtime.block_on(self.inbox.next(done, busy))
    }

    #[track_caller]
    fn next(&mut self, done: &[RowId], busy: &[RowId]) -> Vec<Row> {
        self.try_next(done, busy).expect("an answer")
    }
}
