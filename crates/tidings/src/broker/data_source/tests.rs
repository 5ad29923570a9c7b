//! Names that are data sources, and what is said about those that are not.

use super::*;

#[test]
fn the_names_of_the_article_are_understood() {
    for text in [
        "zmq://PUSH@127.0.0.1:5000",
        "zmq-bind://PULL@127.0.0.1:5000",
        "zmq-bind://PUB@127.0.0.1:6000",
        "zmq://SUB@127.0.0.1:6000",
        "zmq-bind://XPUB@*:6000",
        "zmq://SUB@one.example.com:6000;two.example.com:6000",
        "zmq-bind://REP@[::1]:7000",
    ] {
        let source: DataSource = text.parse().unwrap();
        assert_eq!(source.to_string(), text);
    }
}

#[test]
fn several_addresses_may_have_spaces_around_them() {
    let source: DataSource = "zmq://PUSH@a:1 ; b:2".parse().unwrap();
    assert_eq!(source.to_string(), "zmq://PUSH@a:1;b:2");
    assert_eq!(source.attach, Attach::Connect);
}

#[test]
fn a_port_may_be_left_to_the_system() {
    let source: DataSource = "zmq-bind://PULL@127.0.0.1:*".parse().unwrap();
    assert_eq!(source.endpoints[0].port, 0);
}

#[test]
fn who_can_reach_an_address_is_known() {
    let loopback = |text: &str| {
        let source: DataSource = format!("zmq-bind://PULL@{text}").parse().unwrap();
        source.endpoints[0].is_loopback()
    };
    assert!(loopback("127.0.0.1:1") && loopback("[::1]:1") && loopback("localhost:1"));
    assert!(!loopback("*:1") && !loopback("0.0.0.0:1") && !loopback("192.168.0.1:1"));
}

#[test]
fn wrong_names_are_refused_with_the_right_form() {
    check(
        "tcp://127.0.0.1:5000",
        "begins with neither zmq:// nor zmq-bind://",
    );
    check("zmq-foo://PUSH@127.0.0.1:5000", "begins with neither");
    check("ZMQ://PUSH@127.0.0.1:5000", "begins with neither");
    check("zmq://push@127.0.0.1:5000", "\"push\" in");
    check("zmq://PAIR@127.0.0.1:5000", "write one of PUSH, PULL");
    check("zmq://DEALER@127.0.0.1:5000", "is not a socket type");
    check("zmq://127.0.0.1:5000", "is not a socket type");
    check("zmq://PUSH@127.0.0.1", "\"127.0.0.1\" in");
    check("zmq://PUSH@127.0.0.1:http", "is not a host with a port");
    check("zmq://PUSH@127.0.0.1:65536", "is not a host with a port");
    check("zmq://PUSH@127.0.0.1:+5", "is not a host with a port");
    check(
        "zmq://PUSH@tcp://127.0.0.1:5000",
        "is not a host with a port",
    );
    check("zmq://PUSH@[127.0.0.1]:5000", "is not a host with a port");
    check("zmq://PUSH@a:1;", "\"\" in");
    check("zmq://PUSH@*:5000", "instead of *");
    check("zmq://PUSH@localhost:0", "a port from 1");
}

#[track_caller]
fn check(text: &str, part: &str) {
    let error = text.parse::<DataSource>().unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
}
