//! The examples of RFC 7239, what proxies write, and what attackers do.

use super::*;

#[test]
fn the_chain_is_read_from_its_end() {
    check_x(
        &["203.0.113.43, 198.51.100.17"],
        &["198.51.100.17", "203.0.113.43"],
    );
    check_x(
        &["203.0.113.43", "198.51.100.17,192.0.2.1"],
        &["192.0.2.1", "198.51.100.17", "203.0.113.43"],
    );
    check_x(
        &["2001:db8:cafe::17, [2001:db8::1]:4711, 192.0.2.43:47011, ::ffff:192.0.2.7"],
        &[
            "192.0.2.7",
            "192.0.2.43:47011",
            "[2001:db8::1]:4711",
            "2001:db8:cafe::17",
        ],
    );
    check_x(
        &["unknown, _gate, \"192.0.2.1\", <script>, 192.0.2.1:x, , [::1, 192.0.2.256"],
        &[
            "broken", "broken", "broken", "broken", "broken", "broken", "hidden", "hidden",
        ],
    );
}

#[test]
fn the_examples_of_the_standard_are_understood() {
    check(&["for=\"_gazonk\""], &["hidden"]);
    check(
        &["For=\"[2001:db8:cafe::17]:4711\""],
        &["[2001:db8:cafe::17]:4711"],
    );
    check(
        &["for=192.0.2.60;proto=http;by=203.0.113.43"],
        &["192.0.2.60"],
    );
    check(
        &["for=192.0.2.43, for=198.51.100.17"],
        &["198.51.100.17", "192.0.2.43"],
    );
    check(
        &["for=192.0.2.43, for=\"[2001:db8:cafe::17]\""],
        &["2001:db8:cafe::17", "192.0.2.43"],
    );
    check(
        &["for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown"],
        &["hidden", "2001:db8:cafe::17", "192.0.2.43"],
    );
    check(&["for=_hidden, for=_SEVKISEK"], &["hidden", "hidden"]);
    check(
        &["for=192.0.2.43:47011;host=\"a,b;for=192.0.2.1\""],
        &["192.0.2.43:47011"],
    );
}

#[test]
fn an_element_without_for_stands_for_a_proxy_that_hides_it() {
    check(&["for=192.0.2.1, proto=https"], &["hidden", "192.0.2.1"]);
    check(&[", ;for=192.0.2.1 ; proto=https ,, "], &["192.0.2.1"]);
}

#[test]
fn a_field_that_is_not_well_formed_is_believed_in_no_part() {
    for field in [
        "for=192.0.2.1, for=\"192.0.2.2",
        "for=192.0.2.1 for=192.0.2.2",
        "for=, for=192.0.2.2",
        "192.0.2.1",
        "for 192.0.2.1",
        "f(or=192.0.2.1",
        "for=\"192.0.2.1\"x",
        "for=\"192.0.2.1\\",
    ] {
        check(&["for=192.0.2.9", field], &["broken", "192.0.2.9"]);
    }
    let nodes = forwarded([&b"for=\xff"[..]].into_iter());
    assert_eq!(nodes.collect::<Vec<_>>(), [Node::Broken]);
}

#[test]
fn a_chain_without_end_is_not_read_to_its_end() {
    let long = vec!["192.0.2.1"; 10_000].join(",");
    assert_eq!(
        x_forwarded_for([long.as_bytes()].into_iter()).count(),
        NODES_MAX
    );
    let long = vec!["for=192.0.2.1"; 10_000].join(",");
    assert_eq!(forwarded([long.as_bytes()].into_iter()).count(), NODES_MAX);
}

#[track_caller]
fn check_x(fields: &[&str], expected: &[&str]) {
    let nodes = x_forwarded_for(fields.iter().map(|field| field.as_bytes()));
    assert_eq!(shown(nodes), expected);
}

#[track_caller]
fn check(fields: &[&str], expected: &[&str]) {
    let nodes = forwarded(fields.iter().map(|field| field.as_bytes()));
    assert_eq!(shown(nodes), expected, "{fields:?}");
}

fn shown(nodes: impl Iterator<Item = Node>) -> Vec<String> {
    let text = |node| match node {
        Node::Address(ip, Some(port)) => SocketAddr::new(ip, port).to_string(),
        Node::Address(ip, None) => ip.to_string(),
        Node::Hidden => "hidden".to_owned(),
        Node::Broken => "broken".to_owned(),
    };
    nodes.map(text).collect()
}
