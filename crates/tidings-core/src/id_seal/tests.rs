//! Ids open to what was sealed, and vouch for that update and no other.

use expect_test::expect;
use proptest::prelude::*;
use uuid::{Uuid, Variant};

use super::{Claim, IdSeal};
use crate::position::Position;
use crate::print::Print;

#[test]
fn an_id_of_fixed_keys_never_changes() {
    // Subscribers store ids: another spelling for the same update would invalidate them.
    let ids = |print| {
        let id = |number| seal().seal(Position::new(number), print).to_string();
        [1, 2, u64::MAX].map(id).to_vec()
    };
    expect![[r#"
        [
            "urn:uuid:e46cac21-79b4-87d9-af15-df5085cad1e9",
            "urn:uuid:3c0c3c7e-8c3a-8db4-8ace-52c91d29f074",
            "urn:uuid:9a3fcc28-f676-88d1-b8e3-6066620d76e9",
        ]
    "#]]
    .assert_debug_eq(&ids(None));
    expect![[r#"
        [
            "urn:uuid:51ae0b6c-3038-80ea-8511-42a8d538cbe7",
            "urn:uuid:fc2aa367-94e7-87ae-9dbb-a0a395063742",
            "urn:uuid:3f7bdd89-584d-861b-a818-d954049152e4",
        ]
    "#]]
    .assert_debug_eq(&ids(Some(PRINT)));
}

#[test]
fn an_id_is_a_uuid_of_version_8() {
    for number in 0..1000 {
        let id = seal().seal(Position::new(number), Some(PRINT));
        let uuid = Uuid::parse_str(id.as_str()).unwrap();
        assert_eq!(uuid.get_version_num(), 8);
        assert_eq!(uuid.get_variant(), Variant::RFC4122);
        assert_eq!(uuid.urn().to_string(), id.as_str());
    }
}

#[test]
fn another_spelling_of_an_id_is_refused() {
    let id = seal().seal(Position::new(7), Some(PRINT)).to_string();
    let uuid = Uuid::parse_str(&id).unwrap();
    let others = [
        id.to_uppercase(),
        id.replacen("urn", "URN", 1),
        id.strip_prefix("urn:uuid:").unwrap().to_owned(),
        format!("urn:uuid:{}", uuid.simple()),
        format!("urn:uuid:{}", uuid.braced()),
        format!("urn:uuid:{id}"),
        format!("{id} "),
        format!("urn:uuid:{}", uuid.hyphenated().to_string().to_uppercase()),
    ];
    for other in others {
        assert_eq!(seal().open(&other), None, "{other}");
    }
    assert_eq!(open(&seal(), &id, Some(PRINT)), Some(Position::new(7)));
}

#[test]
fn every_changed_bit_is_noticed() {
    let id = seal().seal(Position::new(7), Some(PRINT));
    let id = Uuid::parse_str(id.as_str()).unwrap().as_u128();
    for bit in 0..128 {
        let forged = Uuid::from_u128(id ^ (1 << bit)).urn().to_string();
        assert_eq!(open(&seal(), &forged, Some(PRINT)), None, "bit {bit}");
    }
}

#[test]
fn an_id_of_another_epoch_opens_to_a_position_that_no_history_reaches() {
    let other = IdSeal::new([9; 32]);
    for number in 0..1000 {
        let id = seal().seal(Position::new(number), Some(PRINT));
        let claim = other.open(id.as_str()).unwrap();
        assert!(claim.position().get() > 1 << 48, "{claim:?}");
        assert!(!other.vouches(claim, Some(PRINT)));
    }
}

#[test]
fn an_id_vouches_for_one_update_at_its_position() {
    let other = Print::new([4; 16]);
    for number in 0..1000 {
        let position = Position::new(number);
        let id = |print| seal().seal(position, print);
        assert_eq!(id(Some(PRINT)), id(Some(PRINT)));
        for (one, another) in [(Some(PRINT), Some(other)), (Some(PRINT), None)] {
            assert_ne!(id(one), id(another));
            assert_eq!(open(&seal(), id(one).as_str(), one), Some(position));
            assert_eq!(open(&seal(), id(one).as_str(), another), None);
            assert_eq!(open(&seal(), id(another).as_str(), one), None);
        }
    }
}

#[test]
fn neighbours_do_not_look_alike() {
    let bits = |number| {
        let id = seal().seal(Position::new(number), Some(PRINT));
        Uuid::parse_str(id.as_str()).unwrap().as_u128()
    };
    assert!((bits(1) ^ bits(2)).count_ones() > 30);
}

proptest! {
    #[test]
    fn what_was_sealed_opens(number: u64, secret: [u8; 32], print: Option<[u8; 16]>) {
        let (seal, print) = (IdSeal::new(secret), print.map(Print::new));
        let position = Position::new(number);
        let id = seal.seal(position, print);
        prop_assert_eq!(open(&seal, id.as_str(), print), Some(position));
    }

    #[test]
    fn a_random_uuid_never_fits(bits: u128, print: Option<[u8; 16]>) {
        // Half of the ids have the right version and variant, so that the tag is what refuses them.
        let ours = bits & !(0xf << 76) & !(0b11 << 62) | (8 << 76) | (0b10 << 62);
        let print = print.map(Print::new);
        for bits in [bits, ours] {
            prop_assert_eq!(open(&seal(), &Uuid::from_u128(bits).urn().to_string(), print), None);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(urn:uuid:)?\\PC{0,40}") {
        prop_assert_eq!(seal().open(&text), None);
    }
}

/// Returns the position of `id` if the update there has this print.
fn open(seal: &IdSeal, id: &str, print: Option<Print>) -> Option<Position> {
    let claim = seal.open(id)?;
    seal.vouches(claim, print).then(|| Claim::position(claim))
}

fn seal() -> IdSeal {
    IdSeal::new(std::array::from_fn(|index| u8::try_from(index).unwrap()))
}

const PRINT: Print = Print::new([3; 16]);
