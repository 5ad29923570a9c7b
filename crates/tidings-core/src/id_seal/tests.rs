//! Ids open to what was sealed, and to nothing else.

use expect_test::expect;
use proptest::prelude::*;
use uuid::{Uuid, Variant};

use super::IdSeal;
use crate::position::Position;

#[test]
fn an_id_of_fixed_keys_never_changes() {
    // Ids are stored by subscribers: another spelling of the same position would lose them.
    let ids: Vec<String> = [1, 2, u64::MAX]
        .map(|n| seal().seal(Position::new(n)).to_string())
        .to_vec();
    expect![[r#"
        [
            "urn:uuid:e46cac21-79b4-87d9-af15-df5085cad1e9",
            "urn:uuid:3c0c3c7e-8c3a-8db4-8ace-52c91d29f074",
            "urn:uuid:9a3fcc28-f676-88d1-b8e3-6066620d76e9",
        ]
    "#]]
    .assert_debug_eq(&ids);
}

#[test]
fn an_id_is_a_uuid_of_version_8() {
    for number in 0..1000 {
        let id = seal().seal(Position::new(number));
        let uuid = Uuid::parse_str(id.as_str()).unwrap();
        assert_eq!(uuid.get_version_num(), 8);
        assert_eq!(uuid.get_variant(), Variant::RFC4122);
        assert_eq!(uuid.urn().to_string(), id.as_str());
    }
}

#[test]
fn another_spelling_of_an_id_is_refused() {
    let id = seal().seal(Position::new(7)).to_string();
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
    assert_eq!(seal().open(&id), Some(Position::new(7)));
}

#[test]
fn every_changed_bit_is_noticed() {
    let id = Uuid::parse_str(seal().seal(Position::new(7)).as_str())
        .unwrap()
        .as_u128();
    for bit in 0..128 {
        let forged = Uuid::from_u128(id ^ (1 << bit)).urn().to_string();
        assert_eq!(seal().open(&forged), None, "bit {bit}");
    }
}

#[test]
fn an_id_of_another_epoch_is_unknown() {
    let other = IdSeal::new([9; 32]);
    for number in 0..1000 {
        assert_eq!(
            other.open(seal().seal(Position::new(number)).as_str()),
            None
        );
    }
}

#[test]
fn neighbours_do_not_look_alike() {
    let one = Uuid::parse_str(seal().seal(Position::new(1)).as_str())
        .unwrap()
        .as_u128();
    let two = Uuid::parse_str(seal().seal(Position::new(2)).as_str())
        .unwrap()
        .as_u128();
    assert!((one ^ two).count_ones() > 30);
}

proptest! {
    #[test]
    fn what_was_sealed_opens(number: u64, secret: [u8; 32]) {
        let seal = IdSeal::new(secret);
        let position = Position::new(number);
        prop_assert_eq!(seal.open(seal.seal(position).as_str()), Some(position));
    }

    #[test]
    fn a_random_uuid_never_opens(bits: u128) {
        // Half of them with the right version and variant, so that the tag is what refuses.
        let ours = bits & !(0xf << 76) & !(0b11 << 62) | (8 << 76) | (0b10 << 62);
        prop_assert_eq!(seal().open(&Uuid::from_u128(bits).urn().to_string()), None);
        prop_assert_eq!(seal().open(&Uuid::from_u128(ours).urn().to_string()), None);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(urn:uuid:)?\\PC{0,40}") {
        prop_assert_eq!(seal().open(&text), None);
    }
}

fn seal() -> IdSeal {
    IdSeal::new(std::array::from_fn(|index| u8::try_from(index).unwrap()))
}
