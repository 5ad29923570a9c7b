//! Publishing by SQL while the database goes away and comes back, and while its standby takes its place.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use serde_json::json;

use super::{Dice, Said, TOPIC, check_causes, read_all};
use crate::harness::inbox::{Pair, Sql, Values};
use crate::harness::{TestHub, note, wait_until};

const USERS: usize = 4;
/// So many updates are published before and after each fault.
const BETWEEN: f64 = 100.0;

/// What an application sees of a database that restarts, and of one whose standby is promoted: a commit may
/// have no answer, and is there or not. What is there is published, once.
#[test]
fn what_was_committed_is_published_once_over_an_outage_and_a_failover() {
    audit(1);
}

#[test]
#[ignore = "slow: ten outages and ten failovers"]
fn what_was_committed_is_published_once_over_ten_outages_and_failovers() {
    audit(10);
}

/// What the users have seen in sum.
#[derive(Default)]
struct Seen {
    rolled_back: usize,
    /// Commits without an answer that were there afterwards, and those that were not.
    doubts: (usize, usize),
    /// The newest update of each user that was committed.
    newest: Vec<i64>,
}

#[track_caller]
fn audit(rounds: usize) {
    let mut pair = Pair::start();
    pair.sql(
        "CREATE TABLE sold (seller bigint, number bigint, data text); GRANT ALL ON sold TO shop",
    );
    let mut hubs = [pair.hub(), pair.hub(), pair.hub()];
    let latest: [AtomicI64; USERS] = std::array::from_fn(|_| AtomicI64::new(0));
    let (ports, over) = (pair.ports(), AtomicBool::new(false));
    let seen = std::thread::scope(|scope| {
        let end = EndOfUsers(&over);
        let users: Vec<_> = (0..USERS)
            .map(|me| {
                let user = User::new(me, &ports, &latest);
                let over = &over;
                scope.spawn(move || user.work_until(over))
            })
            .collect();
        for round in 1..=rounds {
            wait_for_more(&hubs);
            match round % 3 {
                0 => kill_reader(&mut hubs, || pair.interrupt()),
                _ => pair.interrupt(),
            }
            wait_for_more(&hubs);
            match round % 2 {
                0 => pair.fail_over(),
                _ => pair.fail_over_in_commits(USERS),
            }
            wait_for_more(&hubs);
            if round < rounds {
                pair.replace_standby();
            }
        }
        drop(end);
        let mut seen = Seen::default();
        for user in users {
            let user = user.join().expect("a user");
            seen.rolled_back += user.rolled_back;
            seen.doubts.0 += user.doubts.0;
            seen.doubts.1 += user.doubts.1;
            seen.newest.extend(user.newest);
        }
        seen
    });
    // Each failover in commits waited until every user's was on both disks.
    let in_commits = USERS * rounds.div_ceil(2);
    assert!(seen.doubts.0 >= in_commits, "{:?}", seen.doubts);
    check(&pair, &hubs, &seen);
}

/// A user of an application, who publishes within transactions.
struct User<'a> {
    me: usize,
    ports: &'a [u16],
    /// The newest update of each user that is known to be committed.
    latest: &'a [AtomicI64],
    shop: Sql,
    dice: Dice,
    number: i64,
    seen: Seen,
}

/// Where a transaction was when its connection broke.
enum Broken {
    Open,
    AtCommit,
}

impl<'a> User<'a> {
    fn new(me: usize, ports: &'a [u16], latest: &'a [AtomicI64]) -> Self {
        Self {
            me,
            ports,
            latest,
            shop: Sql::open_primary(ports, "shop"),
            dice: Dice::of(me),
            number: 0,
            seen: Seen::default(),
        }
    }

    fn work_until(mut self, over: &AtomicBool) -> Seen {
        while !over.load(Ordering::SeqCst) {
            if let Err(broken) = self.transaction() {
                self.look_after(&broken);
            }
        }
        let newest = self.latest[self.me].load(Ordering::SeqCst);
        self.seen.newest.push(newest);
        self.seen
    }

    /// Sells something once or several times, and announces each sale.
    fn transaction(&mut self) -> Result<(), Broken> {
        self.ask("BEGIN", &[])?;
        for _ in 0..self.dice.size() {
            self.number += 1;
            let latest = self.latest.iter();
            let seen: Vec<i64> = latest.map(|latest| latest.load(Ordering::SeqCst)).collect();
            let data = json!([self.me, self.number, seen]).to_string();
            let (me, number) = (self.me as i64, self.number);
            let sell = "INSERT INTO sold VALUES ($1, $2, $3)";
            self.ask(sell, &[&me, &number, &data])?;
            let announce = "SELECT tidings.publish($1::text, $2)";
            self.ask(announce, &[&TOPIC, &data])?;
            let pause = self.dice.roll(20_000) as f64 / 1e6;
            self.ask("SELECT pg_sleep($1)", &[&pause])?;
        }
        if self.dice.roll(5) == 0 {
            self.ask("ROLLBACK", &[])?;
            self.seen.rolled_back += 1;
            return Ok(());
        }
        let committed = self.shop.ask("COMMIT", &[]);
        committed.map_err(|_no_answer| Broken::AtCommit)?;
        self.latest[self.me].store(self.number, Ordering::SeqCst);
        Ok(())
    }

    fn ask(&mut self, sql: &str, values: &Values<'_>) -> Result<(), Broken> {
        let answer = self.shop.ask(sql, values);
        answer.map(drop).map_err(|_no_answer| Broken::Open)
    }

    /// Connects again, and looks whether what had no answer was committed.
    fn look_after(&mut self, broken: &Broken) {
        let (me, number, ports) = (self.me as i64, self.number, self.ports);
        let (shop, found) = wait_until("a server says what was committed", || {
            let mut shop = Sql::open_primary(ports, "shop");
            let look = "SELECT FROM sold WHERE seller = $1 AND number = $2";
            let found = shop.ask(look, &[&me, &number]).ok()?;
            Some((shop, !found.is_empty()))
        });
        self.shop = shop;
        match (broken, found) {
            (Broken::Open, _) => {}
            (Broken::AtCommit, true) => {
                self.seen.doubts.0 += 1;
                self.latest[self.me].store(number, Ordering::SeqCst);
            }
            (Broken::AtCommit, false) => self.seen.doubts.1 += 1,
        }
    }
}

/// Ends the users, also if the test fails before: it waits for them.
struct EndOfUsers<'a>(&'a AtomicBool);

impl Drop for EndOfUsers<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Kills the hub that reads the inbox, and starts it again after `meanwhile`.
#[track_caller]
fn kill_reader(hubs: &mut [TestHub], meanwhile: impl FnOnce()) {
    let reader = wait_until("a hub reads", || {
        hubs.iter()
            .position(|hub| hub.metric("tidings_inbox_held") == 1.0)
    });
    hubs[reader].kill();
    meanwhile();
    hubs[reader].restart();
    hubs[reader].wait_until_ready();
}

/// Waits until the hubs have published more.
#[track_caller]
fn wait_for_more(hubs: &[TestHub]) {
    let published = || -> f64 {
        let of_hub = |hub: &TestHub| hub.metric("tidings_inbox_published_total");
        hubs.iter().map(of_hub).sum()
    };
    let before = published();
    wait_until("the hubs publish", || {
        (published() >= before + BETWEEN).then_some(())
    });
}

/// Compares what the application has in its table with what each hub has in its history.
#[track_caller]
fn check(pair: &Pair, hubs: &[TestHub], seen: &Seen) {
    wait_until("an empty inbox", || {
        (pair.sql("SELECT count(*) FROM tidings.inbox") == "0").then_some(())
    });
    assert_eq!(pair.sql("SELECT count(*) FROM tidings.inbox_refused"), "0");
    let sold = pair.sql("SELECT data FROM sold");
    let sold: BTreeSet<(usize, i64)> = sold.lines().map(|data| Said::parse(data).name()).collect();
    for (me, newest) in seen.newest.iter().enumerate() {
        assert!(
            sold.contains(&(me, *newest)),
            "the last commit of user {me} is gone"
        );
    }
    pair.sql(&format!("SELECT tidings.publish('{TOPIC}', 'end')"));
    let mut pairs = 0;
    for hub in hubs {
        let mut stream = hub.subscribe(&format!("match={TOPIC}&last_event_id=earliest"));
        let events = read_all(&mut stream, sold.len());
        assert_eq!(stream.data(1), ["end"], "nothing came twice");
        pairs = check_causes(&events);
        let published: BTreeSet<(usize, i64)> = events.iter().map(Said::name).collect();
        assert_eq!(published, sold);
    }
    assert!(seen.rolled_back > 0, "some were rolled back");
    note(&format!(
        "{} updates kept, {} rolled back, {pairs} pairs in causal order, of the commits without an answer \
         {} were there and {} were not",
        sold.len(),
        seen.rolled_back,
        seen.doubts.0,
        seen.doubts.1,
    ));
}
