//! Publishing by SQL: real programs on a real PostgreSQL. `docs/guide/publish-from-sql.md`.

mod failover;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tidings_wire::sse_decoder::Decoded;

use crate::harness::inbox::{Database, Sql};
use crate::harness::tokens::{detail, token_with};
use crate::harness::{EventStream, HUB_PATH, Request, TestHub, wait_until};

const TOPIC: &str = "https://example.com/orders";

#[test]
fn what_is_committed_is_published_and_what_is_rolled_back_is_not() {
    let server = Database::start();
    let hub = server.hub("");
    let mut stream = hub.subscribe(&format!("match={TOPIC}"));
    let mut shop = server.publisher();
    shop.run("BEGIN");
    shop.publish(TOPIC, "rolled back");
    shop.run("ROLLBACK; BEGIN");
    shop.publish(TOPIC, "1");
    shop.run("SAVEPOINT s");
    shop.publish(TOPIC, "rolled back to the savepoint");
    shop.run("ROLLBACK TO s");
    shop.publish(TOPIC, "2");
    shop.run("COMMIT");
    shop.publish(TOPIC, "3");
    assert_eq!(stream.data(3), ["1", "2", "3"]);
    hub.wait_for_metric("tidings_inbox_published_total", |count| count == 3.0);
    hub.wait_for_metric("tidings_inbox_held", |held| held == 1.0);
    // What was published is removed.
    let mut owner = server.owner();
    wait_until("an empty inbox", || {
        (owner.value::<i64>("SELECT count(*) FROM tidings.inbox", &[]) == 0).then_some(())
    });
}

#[test]
fn all_fields_arrive() {
    let server = Database::start();
    let hub = server.hub("");
    let reader = token_with(json!([detail(&["subscribe"], &[TOPIC])]));
    let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}/alternate"));
    let mut anonymous = hub.subscribe_by(request);
    let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}"));
    let mut reading = hub.subscribe_by(request.bearer(&reader));
    let mut shop = server.publisher();
    shop.run(&format!(
        "SELECT tidings.publish(topics => ARRAY['{TOPIC}', '{TOPIC}/alternate'], data => E'a\\nb', \
         private => true, id => 'urn:example:1', type => 'sold', retry => 1500)"
    ));
    shop.run(&format!(
        "SELECT tidings.publish(topics => ARRAY['{TOPIC}', '{TOPIC}/alternate'])"
    ));
    let retry = wait_until("a reconnection time", || match reading.next_decoded()? {
        Decoded::Retry(ms) => Some(ms),
        Decoded::Comment(_) => None,
        Decoded::Event(event) => panic!("{event:?} without a reconnection time"),
    });
    assert_eq!(retry, 1500);
    let event = reading.event();
    assert_eq!(event.last_event_id, "urn:example:1");
    assert_eq!(event.event_type, "sold");
    assert_eq!(event.data, "a\nb");
    assert_eq!(reading.event().data, "");
    assert_eq!(
        anonymous.event().data,
        "",
        "the private update is not for it"
    );
}

#[test]
fn a_row_that_the_hub_refuses_is_put_aside_and_the_rest_goes_on() {
    let server = Database::start();
    let hub = server.hub("[publish]\nbody_bytes_max = 2000\n");
    let mut stream = hub.subscribe(&format!("match={TOPIC}"));
    let mut shop = server.publisher();
    shop.publish(TOPIC, "1");
    assert_eq!(stream.data(1), ["1"]);
    // The hub has told the database its limit.
    let long = "x".repeat(2000);
    let error = shop.ask("SELECT tidings.publish($1::text, $2)", &[&TOPIC, &long]);
    let error = error.expect_err("too long");
    let said = error.as_db_error().expect("an error of the server");
    assert_eq!(said.code().code(), "54000");
    assert!(
        said.hint()
            .is_some_and(|hint| hint.contains("publish.body_bytes_max"))
    );
    // Limits that were higher when it was published.
    let mut owner = server.owner();
    owner.run("UPDATE tidings.inbox_limits SET body_bytes_max = 1000000, hub_path = '/elsewhere'");
    shop.run("BEGIN");
    shop.publish(TOPIC, "2");
    shop.publish(TOPIC, &long);
    shop.publish(
        "https://example.com/.well-known/mercure/subscriptions",
        "reserved",
    );
    shop.publish(TOPIC, "3");
    shop.run("COMMIT");
    assert_eq!(stream.data(2), ["2", "3"]);
    let refused = owner.ask(
        "SELECT reason, data FROM tidings.inbox_refused ORDER BY id",
        &[],
    );
    let refused = refused.expect("rows");
    let reasons: Vec<&str> = refused.iter().map(|row| row.get(0)).collect();
    assert!(
        reasons[0].contains("2026 bytes, more than 2000"),
        "{reasons:?}"
    );
    assert!(reasons[1].contains("reserved"), "{reasons:?}");
    assert_eq!(refused[0].get::<_, &str>(1), long, "nothing is lost");
    for name in ["body-too-large", "topic-reserved"] {
        assert_eq!(hub.metric_for("tidings_inbox_refused_total", name), 1.0);
    }
    hub.wait_for_metric("tidings_inbox_refused_rows", |rows| rows == 2.0);
    assert!(hub.log().contains("moved to the table inbox_refused"));
    // As the guide says.
    owner.run(
        "WITH again AS (DELETE FROM tidings.inbox_refused WHERE reason LIKE '%bytes%' RETURNING *) \
         SELECT tidings.publish(topics, 'shorter', private, event_id, type, retry) FROM again",
    );
    assert_eq!(stream.data(1), ["shorter"]);
}

/// Looks come less often if they take long, so that they do not occupy the database: a single one says little.
#[test]
fn an_update_waits_for_seconds_at_most_after_a_look_that_waited_for_a_lock() {
    let server = Database::start();
    let hub = server.hub("");
    let mut stream = hub.subscribe(&format!("match={TOPIC}"));
    let (mut shop, mut owner, mut other) = (server.publisher(), server.owner(), server.owner());
    shop.publish(TOPIC, "1");
    assert_eq!(stream.data(1), ["1"]);
    // For less than the two seconds after which the look is an error.
    owner.run("BEGIN; LOCK TABLE tidings.inbox");
    wait_until("a look waits", || {
        let waiting = "SELECT count(*) FROM pg_locks AS l, pg_stat_activity AS a \
                       WHERE a.pid = l.pid AND a.usename = 'hub' AND NOT l.granted";
        (other.value::<i64>(waiting, &[]) > 0).then_some(())
    });
    owner.run("SELECT pg_sleep(1.2); COMMIT");
    let begun = Instant::now();
    shop.publish(TOPIC, "2");
    assert_eq!(stream.data(1), ["2"]);
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(15), "it waited for {waited:?}");
}

#[test]
fn a_hub_that_stops_hands_over_and_updates_wait_while_there_is_none() {
    let server = Database::start();
    let (one, two) = (server.hub(""), server.hub(""));
    let mut shop = server.publisher();
    shop.publish(TOPIC, "1");
    let (mut holder, mut other) = held(one, two);
    let mut stream = other.subscribe(&format!("match={TOPIC}&last_event_id=earliest"));
    assert_eq!(stream.data(1), ["1"]);
    assert!(holder.stop(), "a clean end");
    shop.publish(TOPIC, "2");
    assert_eq!(stream.data(1), ["2"]);
    assert!(other.stop(), "a clean end");
    shop.publish(TOPIC, "3");
    other.restart();
    let mut stream = other.subscribe(&format!("match={TOPIC}&last_event_id=earliest"));
    assert_eq!(stream.data(3), ["1", "2", "3"]);
}

/// Returns the hub that reads the inbox, and the other one.
fn held(one: TestHub, two: TestHub) -> (TestHub, TestHub) {
    let holds = |hub: &TestHub| hub.metric("tidings_inbox_held") == 1.0;
    wait_until("one of the hubs reads", || {
        (holds(&one) || holds(&two)).then_some(())
    });
    match holds(&one) {
        true => (one, two),
        false => (two, one),
    }
}

#[test]
fn a_position_joins_what_is_read_and_what_follows() {
    let server = Database::start();
    let hub = server.hub("");
    server
        .owner()
        .run("CREATE TABLE state (n int); GRANT ALL ON state TO shop");
    let (mut writer, mut reader) = (server.publisher(), server.publisher());
    let from = |cursor: &str| hub.subscribe(&format!("match={TOPIC}&last_event_id={cursor}"));
    let write = |writer: &mut Sql, n: i32| {
        writer.run(&format!(
            "BEGIN; INSERT INTO state VALUES ({n}); SELECT tidings.publish('{TOPIC}', '{n}'); COMMIT"
        ));
    };
    let read = |reader: &mut Sql| -> (String, BTreeSet<i32>) {
        let rows = reader.ask("SELECT tidings.position(), array(SELECT n FROM state)", &[]);
        let rows = rows.expect("a state");
        let state: Vec<i32> = rows[0].get(1);
        (rows[0].get(0), state.into_iter().collect())
    };
    // Nothing was published: everything comes.
    let begun = read(&mut reader);
    assert!(begun.1.is_empty());
    // A snapshot that stays while others write.
    write(&mut writer, 1);
    let mut first = from(&begun.0);
    assert_eq!(first.data(1), ["1"]);
    reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let early = read(&mut reader);
    let last = 200;
    let mut joined = vec![begun, early];
    for n in 2..=last {
        write(&mut writer, n);
        if n % 40 == 0 {
            joined.push(read(&mut reader));
        }
        if n == 100 {
            reader.run("COMMIT");
        }
    }
    let repeated = joined.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    assert!(repeated.count() >= 2, "the snapshot kept its position");
    for (cursor, state) in joined {
        let mut stream = from(&cursor);
        let mut came = BTreeSet::new();
        while !came.contains(&last) {
            came.insert(stream.event().data.parse::<i32>().expect("a number"));
        }
        let all: BTreeSet<i32> = state.union(&came).copied().collect();
        assert_eq!(all, (1..=last).collect(), "after {cursor}");
    }
    // In sum most cursors are inside the log and not at its beginning.
    let (cursor, state) = wait_until("everything is published", || {
        let (cursor, state) = read(&mut reader);
        let mut stream = from(&cursor);
        write(&mut writer, last + 1);
        let came = stream.event().data;
        (came == (last + 1).to_string() && cursor != "earliest").then_some((cursor, state))
    });
    assert!(cursor.starts_with("urn:uuid:"), "{cursor}");
    assert!(state.len() >= 200);
}

/// Users whose transactions see each other's commits, and a hub that dies while it publishes them.
#[test]
fn causes_come_before_effects_and_everything_once_while_hubs_die() {
    audit(250);
}

#[test]
#[ignore = "slow: ten thousand transactions"]
fn causes_come_before_effects_over_ten_thousand_transactions() {
    audit(10_000 / USERS as i64);
}

const USERS: usize = 6;

/// What a user did.
struct Done {
    kept: Vec<i64>,
    rolled_back: usize,
}

#[track_caller]
fn audit(transactions: i64) {
    let server = Database::start();
    let hubs = [server.hub(""), server.hub(""), server.hub("")];
    let latest: [AtomicI64; USERS] = std::array::from_fn(|_| AtomicI64::new(0));
    let begun = Instant::now();
    let (done, events, killed) = std::thread::scope(|scope| {
        let users: Vec<_> = (0..USERS)
            .map(|me| {
                let (mut shop, latest) = (server.publisher(), &latest);
                scope.spawn(move || user(&mut shop, me, transactions, latest))
            })
            .collect();
        let [one, two, three] = hubs;
        let mut hubs = vec![one, two, three];
        // The hub that reads dies in the middle of it.
        let holder = wait_until("a hub has published some", || {
            hubs.iter()
                .position(|hub| hub.metric("tidings_inbox_published_total") >= 200.0)
        });
        let mut holder = hubs.remove(holder);
        holder.kill();
        let survivor = hubs.pop().expect("two are left");
        let mut stream = survivor.subscribe(&format!("match={TOPIC}&last_event_id=earliest"));
        let done: Vec<Done> = users
            .into_iter()
            .map(|user| user.join().expect("a user"))
            .collect();
        let kept: usize = done.iter().map(|user| user.kept.len()).sum();
        let events = read_all(&mut stream, kept);
        // Nothing comes after the last one, and nothing is left.
        let mut shop = server.publisher();
        shop.publish(TOPIC, "end");
        assert_eq!(stream.data(1), ["end"], "nothing came twice");
        (done, events, holder)
    });
    drop(killed);
    let kept: usize = done.iter().map(|user| user.kept.len()).sum();
    let rolled_back: usize = done.iter().map(|user| user.rolled_back).sum();
    assert!(rolled_back > 0, "some were rolled back");
    let published: BTreeSet<(usize, i64)> = events.iter().map(Said::name).collect();
    let committed = (0..)
        .zip(&done)
        .flat_map(|(me, user)| user.kept.iter().map(move |n| (me, *n)));
    assert_eq!(published, committed.collect());
    let pairs = check_causes(&events);
    crate::harness::note(&format!(
        "{kept} updates kept, {rolled_back} rolled back, {pairs} pairs in causal order, {:.0} updates/s",
        kept as f64 / begun.elapsed().as_secs_f64()
    ));
}

/// An update of the audit.
#[derive(Debug)]
struct Said {
    user: usize,
    number: i64,
    /// The newest commit of each user when it was inserted.
    seen: Vec<i64>,
}

impl Said {
    fn parse(data: &str) -> Self {
        let (user, number, seen) = serde_json::from_str(data).expect("an update");
        Self { user, number, seen }
    }

    fn name(&self) -> (usize, i64) {
        (self.user, self.number)
    }
}

/// What a user does next: not random, so that a failure can be repeated; different for each user.
struct Dice(u64);

impl Dice {
    fn of(user: usize) -> Self {
        Self(user as u64 + 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1);
        (self.0 >> 33) % sides
    }

    /// Returns how many updates a transaction has.
    fn size(&mut self) -> usize {
        match self.roll(4) {
            0 | 1 => 1,
            2 => 2,
            _ => 5,
        }
    }
}

/// Checks that each update is there once, after those of its own user and after those that its user had seen.
/// Returns how many it had seen in all.
#[track_caller]
fn check_causes(events: &[Said]) -> usize {
    let mut newest = BTreeMap::new();
    let mut pairs = 0;
    for event in events {
        for (other, number) in event
            .seen
            .iter()
            .enumerate()
            .filter(|(_, number)| **number > 0)
        {
            pairs += 1;
            assert!(
                newest.get(&other).is_some_and(|newest| newest >= number),
                "{event:?} came before {number} of user {other}, which it had seen"
            );
        }
        let before = newest.insert(event.user, event.number);
        assert!(
            before < Some(event.number),
            "{event:?} came after {before:?} of its user"
        );
    }
    pairs
}

fn user(shop: &mut Sql, me: usize, transactions: i64, latest: &[AtomicI64]) -> Done {
    let mut dice = Dice::of(me);
    let mut done = Done {
        kept: Vec::new(),
        rolled_back: 0,
    };
    let mut number = 0;
    for _ in 0..transactions {
        shop.run("BEGIN");
        let mut mine = Vec::new();
        for _ in 0..dice.size() {
            number += 1;
            let seen: Vec<i64> = latest
                .iter()
                .map(|latest| latest.load(Ordering::SeqCst))
                .collect();
            let data = json!([me, number, seen]).to_string();
            shop.publish(TOPIC, &data);
            mine.push(number);
            if dice.roll(10) < 3 {
                let pause = dice.roll(4000) as f64 / 1e6;
                shop.ask("SELECT pg_sleep($1)", &[&pause]).expect("a pause");
            }
        }
        if dice.roll(5) == 0 {
            shop.run("ROLLBACK");
            done.rolled_back += mine.len();
        } else {
            shop.run("COMMIT");
            latest[me].store(number, Ordering::SeqCst);
            done.kept.extend(mine);
        }
    }
    done
}

/// Reads so many updates of the audit.
#[track_caller]
fn read_all(stream: &mut EventStream, count: usize) -> Vec<Said> {
    (0..count)
        .map(|_| Said::parse(&stream.event().data))
        .collect()
}
