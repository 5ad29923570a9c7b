//! Address lines, and files with secrets.

use super::*;

#[test]
fn an_address_line_names_servers() {
    let server = |host: &str, port| Address {
        host: host.to_owned(),
        port,
    };
    let place = Place::parse("nats://a,b:4333,[::1]:4444").unwrap();
    assert_eq!(
        place.servers,
        [server("a", 4222), server("b", 4333), server("::1", 4444)]
    );
    assert!(!place.tls);
    assert!(Place::parse("tls://a").unwrap().tls);
}

#[test]
fn what_is_no_address_line_is_refused() {
    for url in ["redis://a", "a:4222", ""] {
        assert!(matches!(Place::parse(url), Err(PlaceError::Scheme { .. })));
    }
    assert_eq!(Place::parse("nats://me:secret@a"), Err(PlaceError::Login));
    let path = "x".to_owned();
    assert_eq!(Place::parse("nats://a/x"), Err(PlaceError::Path { path }));
    for url in ["nats://", "nats://a,", "nats://a:0", "nats://a b"] {
        assert!(
            matches!(Place::parse(url), Err(PlaceError::Host { .. })),
            "{url}"
        );
    }
    let many = format!("nats://{}", vec!["a"; ADDRESSES_MAX + 1].join(","));
    assert_eq!(
        Place::parse(&many),
        Err(PlaceError::Count {
            count: ADDRESSES_MAX + 1
        })
    );
}

#[test]
fn a_seed_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed");
    for (text, is_seed) in [
        (
            "SUAAVLYIMH6MYIIKBKVXLU3PNWRFRHSQ3KPSO6NXBZ7GF4JMQPFOXQP3OA\n",
            true,
        ),
        ("password", false),
        ("", false),
        ("-----BEGIN USER NKEY SEED-----\nSUA\n", false),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(Access::nkey(&path).is_ok(), is_seed, "{text}");
    }
    std::fs::write(&path, vec![b'x'; 65 * 1024]).unwrap();
    assert!(matches!(
        Access::nkey(&path),
        Err(AccessError::Length { .. })
    ));
    assert!(matches!(
        Access::credentials(folder.path().join("none").as_path()),
        Err(AccessError::Read { .. })
    ));
    std::fs::write(&path, "no credentials").unwrap();
    assert!(matches!(
        Access::credentials(&path),
        Err(AccessError::NotCredentials { .. })
    ));
}
