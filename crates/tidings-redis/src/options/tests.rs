//! Address lines.

use super::*;

#[test]
fn an_address_line_names_a_kind_of_servers() {
    let server = |text| Place::Server(Address::parse(text, 6379).unwrap());
    check("redis://cache", Ok((server("cache"), Encryption::None)));
    check(
        "rediss://10.0.0.1:6380",
        Ok((server("10.0.0.1:6380"), Encryption::Tls)),
    );
    check(
        "redis://[::1]:6380/",
        Ok((server("[::1]:6380"), Encryption::None)),
    );
    let sentinels = ["a:26379", "b:26379", "c:5"].map(|text| Address::parse(text, 1).unwrap());
    let place = Place::Sentinel {
        sentinels: sentinels.to_vec(),
        service: "hub".to_owned(),
    };
    check(
        "rediss+sentinel://a,b,c:5/hub",
        Ok((place, Encryption::Tls)),
    );
    let nodes = ["a:7000", "b:7001"].map(|text| Address::parse(text, 1).unwrap());
    let place = Place::Cluster {
        nodes: nodes.to_vec(),
    };
    check(
        "redis+cluster://a:7000,b:7001",
        Ok((place, Encryption::None)),
    );
}

#[test]
fn a_wrong_part_of_an_address_line_is_named() {
    let host = |part: &str| {
        Err(PlaceError::Host {
            part: part.to_owned(),
        })
    };
    let scheme = |scheme: &str| {
        Err(PlaceError::Scheme {
            scheme: scheme.to_owned(),
        })
    };
    check("redis://user:secret@cache", Err(PlaceError::Login));
    check("localhost:6379", scheme(""));
    check("http://cache", scheme("http"));
    check("redis+other://cache", scheme("redis+other"));
    check("redis://", host(""));
    check("redis://cache:0", host("cache:0"));
    check("redis://cache:70000", host("cache:70000"));
    check("redis://::1", host("::1"));
    check("redis://[::1", host("[::1"));
    check("redis+cluster://a,,b", host(""));
    check("redis+sentinel://a,b,c", Err(PlaceError::Service));
    check(
        "redis://cache/2",
        Err(PlaceError::Path {
            path: "2".to_owned(),
        }),
    );
    check(
        "redis://a,b",
        Err(PlaceError::Count {
            scheme: "redis".to_owned(),
            count: 2,
            min: 1,
            max: 1,
        }),
    );
}

#[track_caller]
fn check(url: &str, expected: Result<(Place, Encryption), PlaceError>) {
    assert_eq!(Place::parse(url), expected, "{url:?}");
}
