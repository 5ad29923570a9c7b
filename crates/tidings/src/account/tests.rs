//! Tests of the account.

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
    };
    Account::new(bounds, CONNECTIONS, CONNECTIONS)
}

fn held(account: &Account) -> usize {
    account.held.load(Ordering::Relaxed)
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// Returns somebody for whom anything may be held.
pub(crate) fn holder() -> Arc<Holder> {
    account().admit_always(ip(9))
}

#[test]
fn both_limits_of_places_hold_and_places_come_back() {
    let account = account();
    let admit = |last| account.admit(ip(last), Place::Connection);
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
    let connection = account.admit(ip(1), Place::Connection).unwrap();
    let stream = connection.seat_stream().unwrap();
    assert_eq!(connection.seat_stream().unwrap_err(), Crowded::Address);
    let refused = account.admit(ip(1), Place::Connection);
    assert_eq!(refused.unwrap_err(), Crowded::Address);
    drop(stream);
    assert_eq!((account.connections(), account.streams()), (1, 0));
    assert!(account.admit(ip(1), Place::Connection).is_ok());
}

#[test]
fn sessions_have_places_of_their_own() {
    let account = account();
    let _connections = [
        account.admit(ip(1), Place::Connection).unwrap(),
        account.admit(ip(1), Place::Connection).unwrap(),
    ];
    assert!(account.admit(ip(1), Place::SockJsSession).is_ok());
}

#[test]
fn each_limit_of_bytes_refuses_in_its_turn_and_bytes_come_back() {
    let account = account();
    let holder = |last| account.admit(ip(last), Place::Connection).unwrap();
    let (a, b, c) = (holder(1), holder(1), holder(2));
    let limit = |result: Result<Charge, Refusal>| result.map(drop).map_err(|refusal| refusal.limit);
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
    let sockjs = account.admit(ip(3), Place::SockJsSession).unwrap();
    assert_eq!(limit(sockjs.take(Kind::SockJs, 51)), Err(Limit::SockJs));
}

#[test]
fn a_charge_follows_what_it_stands_for() {
    let account = account();
    let holder = account.admit(ip(1), Place::Connection).unwrap();
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
    let peer = account.admit(ip(2), Place::Connection).unwrap();
    let _full = operator.book(Kind::Answer, 1000);
    assert_eq!(peer.take(Kind::Answer, 1).unwrap_err().limit, Limit::Total);
    for _ in 0..5 {
        let _again = account.admit_always(ip(1));
    }
}
