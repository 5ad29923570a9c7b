//! Tests of the account.

use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::{Matcher, MatcherType};

use super::matchers::CROWD_MIN;
use super::*;

const CONNECTIONS: PlaceBounds = PlaceBounds {
    total_max: 3,
    per_address_max: 2,
};

fn account() -> Arc<Account> {
    let bounds = Bounds {
        holder_max: 100,
        address_max: 150,
        total_max: 200,
        sockjs_max: 50,
        unindexed_address_max: 3,
        unindexed_max: 5,
        rates: RateBounds::default(),
    };
    Account::new(bounds, CONNECTIONS, CONNECTIONS)
}

fn held(account: &Account) -> usize {
    account.held.load(Ordering::Relaxed)
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// Returns a holder without limits.
pub(crate) fn holder() -> Arc<Holder> {
    account().admit_always(ip(9))
}

#[test]
fn both_limits_of_places_hold_and_places_come_back() {
    let account = account();
    let admit = |last| account.admit(ip(last), Place::Connection, Scope::All);
    let first = admit(1).unwrap();
    let _second = admit(1).unwrap();
    assert_eq!(admit(1).unwrap_err(), Crowded::Address);
    let _third = admit(2).unwrap();
    assert_eq!(admit(2).unwrap_err(), Crowded::Total);
    drop(first);
    assert_eq!(account.connections(), 2);
    assert!(admit(1).is_ok());
}

#[test]
fn a_stream_takes_the_place_of_a_connection() {
    let account = account();
    let connection = account.admit(ip(1), Place::Connection, Scope::All).unwrap();
    let stream = connection.seat_stream().unwrap();
    assert_eq!(connection.seat_stream().unwrap_err(), Crowded::Address);
    let refused = account.admit(ip(1), Place::Connection, Scope::All);
    assert_eq!(refused.unwrap_err(), Crowded::Address);
    drop(stream);
    assert_eq!((account.connections(), account.streams()), (1, 0));
    assert!(account.admit(ip(1), Place::Connection, Scope::All).is_ok());
}

#[test]
fn sessions_have_places_of_their_own() {
    let account = account();
    let _connections = [
        account.admit(ip(1), Place::Connection, Scope::All).unwrap(),
        account.admit(ip(1), Place::Connection, Scope::All).unwrap(),
    ];
    assert!(
        account
            .admit(ip(1), Place::SockJsSession, Scope::All)
            .is_ok()
    );
}

#[test]
fn each_limit_of_bytes_refuses_in_its_turn_and_bytes_come_back() {
    let account = account();
    let holder = |last| {
        account
            .admit(ip(last), Place::Connection, Scope::All)
            .unwrap()
    };
    let (a, b, c) = (holder(1), holder(1), holder(2));
    let limit =
        |result: Result<Charge, OverLimit>| result.map(drop).map_err(|refusal| refusal.limit);
    let first = a.take(Kind::Answer, 100).unwrap();
    assert_eq!(limit(a.take(Kind::Poll, 1)), Err(Limit::Connection));
    let _second = b.take(Kind::Answer, 50).unwrap();
    assert_eq!(limit(b.take(Kind::Poll, 1)), Err(Limit::Address));
    let _third = c.take(Kind::Answer, 50).unwrap();
    assert_eq!(limit(c.take(Kind::Poll, 1)), Err(Limit::Total));
    assert_eq!((held(&account), account.held_of(Kind::Answer)), (200, 200));
    assert_eq!(account.refused(Limit::Total, Kind::Poll), 1);
    assert!(!c.may_hold(Kind::Poll));
    drop(first);
    assert_eq!(held(&account), 100);
    assert_eq!(limit(c.take(Kind::SockJs, 51)), Err(Limit::Connection));
    let sockjs = account
        .admit(ip(3), Place::SockJsSession, Scope::All)
        .unwrap();
    assert_eq!(limit(sockjs.take(Kind::SockJs, 51)), Err(Limit::SockJs));
}

#[test]
fn a_charge_follows_what_it_stands_for() {
    let account = account();
    let holder = account.admit(ip(1), Place::Connection, Scope::All).unwrap();
    let mut charge = holder.take(Kind::Poll, 10).unwrap();
    charge.resize(30).unwrap();
    charge.give_back(5);
    assert!(charge.grow(200).is_err());
    charge.add(200);
    assert_eq!((charge.bytes, held(&account)), (225, 225));
    charge.resize(4).unwrap();
    let bytes = charge.wrap(Bytes::from_static(b"abcd"));
    let part = bytes.slice(2..);
    drop(bytes);
    assert_eq!((&*part, held(&account)), (&b"cd"[..], 4));
    drop(part);
    assert_eq!(held(&account), 0);
}

#[test]
fn operators_are_never_refused() {
    let account = account();
    let operator = account.admit_always(ip(1));
    assert!(operator.take(Kind::Answer, 1000).is_ok());
    let peer = account.admit(ip(2), Place::Connection, Scope::All).unwrap();
    let _full = operator.book(Kind::Answer, 1000);
    assert_eq!(peer.take(Kind::Answer, 1).unwrap_err().limit, Limit::Total);
    for _ in 0..5 {
        let _again = account.admit_always(ip(1));
    }
}

#[test]
fn a_pattern_counts_once_for_an_address_and_in_total() {
    let account = roomy();
    let [here, beside, elsewhere] = [1, 1, 2].map(|last| {
        account
            .admit(ip(last), Place::Connection, Scope::All)
            .unwrap()
    });
    let book = |holder: &Arc<Holder>| {
        let mut matchers = [pattern("https://e.com/:a/x(\\w+)")];
        let mut booked = Booked::default();
        booked.add(holder, &mut matchers).unwrap();
        let [matcher] = matchers;
        (booked, matcher)
    };
    let (first, shared) = book(&here);
    let one = held(&account);
    assert!(one > shared.bytes());
    let (second, other) = book(&beside);
    assert!(
        std::ptr::eq(shared.pattern(), other.pattern()),
        "each has one of its own"
    );
    let (third, _) = book(&elsewhere);
    assert_eq!(held(&account), one);
    assert_eq!(account.held_of(Kind::Matchers), one);
    for holder in [&here, &beside, &elsewhere] {
        assert_eq!(holder.held.load(Ordering::Relaxed), one);
        assert_eq!(holder.address.held.load(Ordering::Relaxed), one);
    }
    drop(first);
    assert_eq!(here.address.held.load(Ordering::Relaxed), one);
    drop(second);
    assert_eq!(here.address.held.load(Ordering::Relaxed), 0);
    assert_eq!(held(&account), one);
    drop(third);
    assert_eq!(held(&account), 0);
}

#[test]
fn short_texts_are_covered_and_long_ones_booked() {
    let account = roomy();
    let holder = account.admit(ip(1), Place::Connection, Scope::All).unwrap();
    let mut booked = Booked::default();
    booked
        .add(&holder, &mut [exact("https://e.com/a")])
        .unwrap();
    assert_eq!(held(&account), 0);
    let long = exact(&"a".repeat(4000));
    booked.add(&holder, &mut [long.clone()]).unwrap();
    assert!(held(&account) > 4000);
    booked.remove(&[long]);
    assert_eq!(held(&account), 0);
}

#[test]
fn what_is_too_much_is_refused_whole() {
    let bounds = Bounds {
        holder_max: 5000,
        ..BOUNDS
    };
    let account = Account::new(bounds, CONNECTIONS, CONNECTIONS);
    let holder = account.admit(ip(1), Place::Connection, Scope::All).unwrap();
    let mut booked = Booked::default();
    booked.add(&holder, &mut [pattern("/a/:b")]).unwrap();
    let before = held(&account);
    let mut more: Vec<Matcher> = (0..10)
        .map(|number| pattern(&format!("/:b/{number}")))
        .collect();
    more.push(exact(&"a".repeat(2000)));
    let refusal = booked.add(&holder, &mut more).unwrap_err();
    assert_eq!(
        (refusal.limit, refusal.kind),
        (Limit::Connection, Kind::Matchers)
    );
    assert_eq!(account.refused(Limit::Connection, Kind::Matchers), 1);
    assert_eq!(held(&account), before);
    drop(booked);
    assert_eq!(held(&account), 0);
}

#[test]
fn patterns_that_nothing_tells_apart_are_few() {
    let account = roomy();
    let holders = [1, 2].map(|last| {
        account
            .admit(ip(last), Place::Connection, Scope::All)
            .unwrap()
    });
    let ask = |holder: usize, text: &str| {
        let mut booked = Booked::default();
        booked
            .add(&holders[holder], &mut [pattern(text)])
            .map(|()| booked)
    };
    let crowd = |number: usize| format!("https://e.com/a{number}*");
    let mut kept: Vec<Booked> = (0..CROWD_MIN).map(|n| ask(0, &crowd(n)).unwrap()).collect();
    assert_eq!(account.unindexed_patterns(), 0);
    kept.extend((20..23).map(|number| ask(0, &crowd(number)).unwrap()));
    assert_eq!(account.unindexed_patterns(), 3);
    assert_eq!(
        ask(0, &crowd(23)).unwrap_err().limit,
        Limit::UnindexedPerAddress
    );
    kept.extend((30..32).map(|number| ask(1, &crowd(number)).unwrap()));
    assert_eq!(ask(1, &crowd(32)).unwrap_err().limit, Limit::Unindexed);
    // A pattern that is in use already adds no work, and patterns that literals distinguish add none.
    kept.push(ask(1, &crowd(20)).unwrap());
    kept.extend((0..100).map(|number| ask(0, &format!("https://e.com/:a/x{number}")).unwrap()));
    kept.extend((0..100).map(|number| ask(0, &format!("https://e.com/x{number}/:a")).unwrap()));
    assert_eq!(account.unindexed_patterns(), 5);
    drop(kept);
    assert_eq!((account.unindexed_patterns(), held(&account)), (0, 0));
    assert!(ask(0, &crowd(23)).is_ok());
}

const BOUNDS: Bounds = Bounds {
    holder_max: usize::MAX,
    address_max: usize::MAX,
    total_max: usize::MAX,
    sockjs_max: usize::MAX,
    unindexed_address_max: 3,
    unindexed_max: 5,
    rates: RateBounds {
        publishes: [None; 2],
        published_bytes: [None; 2],
        subscribes: [None; 2],
        burst: std::time::Duration::ZERO,
    },
};

fn roomy() -> Arc<Account> {
    Account::new(BOUNDS, CONNECTIONS, CONNECTIONS)
}

fn pattern(text: &str) -> Matcher {
    Matcher::parse(MatcherType::UrlPattern, text, &hub()).unwrap()
}

fn exact(text: &str) -> Matcher {
    Matcher::parse(MatcherType::Exact, text, &hub()).unwrap()
}

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example/.well-known/mercure").unwrap()
}

#[test]
fn clients_behind_a_trusted_proxy_count_for_their_own_addresses() {
    let account = account();
    let admit = |last, scope| account.admit(ip(last), Place::Connection, scope);
    let proxy = [(); 3].map(|()| admit(1, Scope::Total).unwrap());
    assert_eq!(admit(1, Scope::Total).unwrap_err(), Crowded::Total);
    // The proxy's connections are counted already, and a client's address is full with two.
    let client = |last| proxy[0].for_client(ip(last), Scope::All);
    let both = [client(2).unwrap(), client(2).unwrap()];
    assert_eq!(client(2).unwrap_err(), Crowded::Address);
    let elsewhere = client(3).unwrap();
    let bytes = both.each_ref().map(|holder| holder.take(Kind::Poll, 75));
    let bytes = bytes.map(Result::unwrap);
    let refused = both[0].take(Kind::Poll, 1).unwrap_err();
    assert_eq!(refused.limit, Limit::Address);
    assert!(elsewhere.take(Kind::Poll, 1).is_ok());
    assert_eq!(both[0].for_session().unwrap().ip(), ip(2));
    drop((bytes, both));
    assert!(client(2).is_ok());
    // The proxy's place is taken for as long as a client needs it.
    drop(proxy);
    assert_eq!(account.connections(), 1);
    drop(elsewhere);
    assert_eq!((account.connections(), held(&account)), (0, 0));
    assert!(account.addresses().is_empty());
}

#[test]
fn no_limit_of_an_address_applies_to_a_trusted_proxy() {
    let account = account();
    let admit = || account.admit(ip(1), Place::Connection, Scope::Total);
    let [one, other, _third] = [admit(), admit(), admit()].map(Result::unwrap);
    let _first = one.take(Kind::Poll, 100).unwrap();
    let _second = other.take(Kind::Poll, 100).unwrap();
    let refused = one.take(Kind::Poll, 1).unwrap_err();
    assert_eq!(refused.limit, Limit::Connection);
    assert!(other.for_session().is_ok());
}
