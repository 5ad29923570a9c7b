//! Slots, and what nodes say of themselves.

use super::*;

#[test]
fn a_slot_is_that_of_the_specification() {
    // "The CRC16 of 123456789 is 0x31C3."
    assert_eq!(slot_of(b"123456789"), 0x31c3);
    assert_eq!(slot_of(b""), 0);
}

#[test]
fn a_node_says_what_it_owns() {
    let line = "07c3 127.0.0.1:30004@31004,name master - 0 1426238317239 4 connected 0-5460 7000 \
                [93-<-292f]";
    let claim = Claim::parse(line, &asked()).unwrap();
    assert_eq!(claim.address.to_string(), "127.0.0.1:30004");
    assert_eq!(claim.config_epoch, 4);
    assert!(claim.owns(0) && claim.owns(5460) && claim.owns(7000));
    assert!(!claim.owns(5461));
}

#[test]
fn a_replica_owns_nothing() {
    let line = "07c3 127.0.0.1:30004@31004 slave 67ed 0 1426238317239 4 connected";
    let claim = Claim::parse(line, &asked()).unwrap();
    assert!((0..SLOTS).all(|slot| !claim.owns(slot)));
}

#[test]
fn a_node_without_an_address_is_the_one_that_was_asked() {
    let line = "07c3 :30004@31004 myself,master - 0 0 1 connected 0-16383";
    let claim = Claim::parse(line, &asked()).unwrap();
    assert_eq!(claim.address.to_string(), "seed:30004");
}

#[test]
fn a_node_that_is_down_says_nothing() {
    for line in [
        "07c3 127.0.0.1:30004@31004 master,fail - 1 1 4 disconnected 0-16383",
        "07c3 :0@0 master,noaddr - 1 1 4 disconnected 0-16383",
        "07c3 127.0.0.1:30004@31004 handshake - 1 1 0 connected",
        "07c3 127.0.0.1:30004",
        "",
    ] {
        assert!(Claim::parse(line, &asked()).is_none(), "{line}");
    }
}

fn asked() -> Address {
    Address::parse("seed:1", 1).unwrap()
}
