//! The record: its bytes, its digests, and the differences that it shows.

use super::*;

fn setting(group: &str, needed: Needed, key: &str, value: &str) -> Setting {
    Setting {
        group: group.into(),
        needed,
        key: key.into(),
        value: value.into(),
    }
}

fn record(settings: &[Setting]) -> Record {
    Record::new(Some("http://a".into()), settings, Epoch::new([7; 32]))
}

#[test]
fn the_bytes_of_version_1_never_change() {
    let record = Record {
        address: Some("http://a".into()),
        groups: vec![
            Group {
                name: "ids".into(),
                needed: Needed::Equal,
                settings: vec![("uni".into(), [0; 8])],
            },
            Group {
                name: "test".into(),
                needed: Needed::Similar,
                settings: vec![],
            },
        ],
    };
    let bytes = record.encode();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "0108687474703a2f2f610203696473010103756e6900000000000000000474657374\
         0000"
    );
    assert_eq!(Record::decode(&bytes), Some(record));
}

/// As `sha1sum` computes it.
#[test]
fn a_digest_is_keyed_by_the_secret() {
    let record = record(&[setting("grants", Needed::Equal, "auth.issuers", "one")]);
    let digest = record.groups[0].settings[0].1;
    assert_eq!(digest, 0xbdc3_b958_5a23_ab68_u64.to_be_bytes());
}

#[test]
fn nothing_that_was_cut_or_changed_passes() {
    let bytes = record(&[setting("grants", Needed::Equal, "auth.issuers", "one")]).encode();
    for length in 0..bytes.len() {
        assert_eq!(Record::decode(&bytes[..length]), None, "{length}");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(Record::decode(&longer), None);
    let mut newer = bytes.to_vec();
    newer[0] = 2;
    assert_eq!(Record::decode(&newer), None);
    assert_eq!(Record::decode(&vec![1; RECORD_BYTES_MAX + 1]), None);
}

#[test]
fn a_difference_names_its_key() {
    let ours = record(&[
        setting("grants", Needed::Equal, "auth.issuers", "one"),
        setting("grants", Needed::Equal, "auth.audiences", "a"),
        setting("sizes", Needed::Similar, "limits.body", "1"),
        setting("new", Needed::Equal, "x", "1"),
    ]);
    let theirs = record(&[
        setting("grants", Needed::Equal, "auth.issuers", "two"),
        setting("grants", Needed::Equal, "auth.audiences", "a"),
        setting("sizes", Needed::Similar, "limits.other", "1"),
    ]);
    let found = ours.differences(&theirs);
    let keys: Vec<(&str, Needed)> = found
        .iter()
        .map(|difference| (&*difference.key, difference.needed))
        .collect();
    assert_eq!(
        keys,
        [
            ("auth.issuers", Needed::Equal),
            ("limits.body", Needed::Similar),
            ("limits.other", Needed::Similar)
        ]
    );
    assert_eq!(ours.differences(&ours), []);
}
