//! Address lines and names.

use super::*;

#[test]
fn an_address_line_names_servers_and_a_database() {
    check(
        "postgresql://localhost",
        Ok(("localhost:5432", "tidings", Encryption::None)),
    );
    check(
        "postgres://127.0.0.1:6432/app",
        Ok(("127.0.0.1:6432", "app", Encryption::None)),
    );
    check(
        "postgresql://[::1]:5433/app",
        Ok(("[::1]:5433", "app", Encryption::None)),
    );
    let two = Ok(("db-1:5432 db-2:5433", "app", Encryption::Tls));
    check("postgresql://db-1,db-2:5433/app", two);
}

#[test]
fn only_this_machine_is_reached_in_clear_unless_it_is_asked_for() {
    check(
        "postgresql://db/app",
        Ok(("db:5432", "app", Encryption::Tls)),
    );
    check(
        "postgresql://db/app?sslmode=disable",
        Ok(("db:5432", "app", Encryption::None)),
    );
    check(
        "postgresql://localhost,db/app",
        Ok(("localhost:5432 db:5432", "app", Encryption::Tls)),
    );
    let here = Ok(("localhost:5432", "app", Encryption::Tls));
    check("postgresql://localhost/app?sslmode=verify-full", here);
    for mode in ["allow", "prefer", "require", "verify-ca"] {
        let mode = mode.to_owned();
        let url = format!("postgresql://db/app?sslmode={mode}");
        check(&url, Err(PlaceError::Unchecked { mode }));
    }
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
    check("localhost:5432", scheme(""));
    check("redis://localhost", scheme("redis"));
    check("postgresql://hub:secret@db/app", Err(PlaceError::Login));
    check("postgresql://", host(""));
    check("postgresql://a,,b", host(""));
    check("postgresql://db:0", host("db:0"));
    let path = "a/b".to_owned();
    check("postgresql://db/a/b", Err(PlaceError::Database { path }));
    let parameter = "user=hub".to_owned();
    check(
        "postgresql://db/app?user=hub",
        Err(PlaceError::Parameter { parameter }),
    );
    let many = format!("postgresql://{}", ["db"; 9].join(","));
    check(&many, Err(PlaceError::Count { count: 9 }));
}

#[test]
fn a_cluster_has_a_schema_of_its_own() {
    let name = |name: &str| name.parse::<Name>().unwrap();
    for good in ["tidings", "hub-1.eu", "Publicity"] {
        assert_eq!(unusable_name(&name(good)), None, "{good}");
    }
    for wrong in ["public", "pg_hub", "information_schema", &"a".repeat(64)] {
        assert!(unusable_name(&name(wrong)).is_some(), "{wrong}");
    }
}

#[track_caller]
fn check(url: &str, expected: Result<(&str, &str, Encryption), PlaceError>) {
    let place = Place::parse(url);
    let servers = |place: &Place| {
        let servers: Vec<String> = place.servers.iter().map(ToString::to_string).collect();
        servers.join(" ")
    };
    let found = place.map(|place| (servers(&place), place.database, place.encryption));
    let expected = expected.map(|(servers, database, encryption)| {
        (servers.to_owned(), database.to_owned(), encryption)
    });
    assert_eq!(found, expected, "{url}");
}
