//! Variables that Kubernetes sets in every container for every Service of the namespace. A Service that
//! is called `tidings`, or `tidings-` and something, sets some that begin like the hub's own.
//!
//! They are recognised by name and value together, so that a misspelt setting stays an error.
//!
//! Kubernetes, "Environment variables" of "Service".

use std::net::IpAddr;

use super::env::Variable;

/// Returns whether a variable belongs to a Service: `…_SERVICE_HOST=10.96.0.7`,
/// `…_SERVICE_PORT=80`, `…_SERVICE_PORT_HTTP=80`, `…_PORT=tcp://10.96.0.7:80`,
/// `…_PORT_80_TCP=tcp://10.96.0.7:80`, `…_PORT_80_TCP_PROTO=tcp`, `…_PORT_80_TCP_PORT=80`,
/// `…_PORT_80_TCP_ADDR=10.96.0.7`.
pub fn is_of_service(variable: &Variable) -> bool {
    let (name, value) = (variable.name.as_str(), variable.value.as_deref());
    let Some(value) = value else {
        return false;
    };
    if name.ends_with("_SERVICE_HOST") {
        return value.parse::<IpAddr>().is_ok();
    }
    if name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return value.parse::<u16>().is_ok();
    }
    if name.ends_with("_PORT") && is_place(value) {
        return true;
    }
    // Behind the last `_PORT_` that a number follows: `80_TCP`, `80_TCP_ADDR`.
    let port = name
        .match_indices("_PORT_")
        .filter_map(|(at, mark)| name.get(at + mark.len()..));
    port.into_iter().any(|rest| is_of_port(rest, value))
}

fn is_of_port(rest: &str, value: &str) -> bool {
    let mut parts = rest.split('_');
    let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
    let protocol = parts
        .next()
        .filter(|name| ["TCP", "UDP", "SCTP"].contains(name));
    let (Some(protocol), true) = (protocol, number) else {
        return false;
    };
    match (parts.next(), parts.next()) {
        (None, None) => is_place(value),
        (Some("PROTO"), None) => protocol.eq_ignore_ascii_case(value),
        (Some("PORT"), None) => value.parse::<u16>().is_ok(),
        (Some("ADDR"), None) => value.parse::<IpAddr>().is_ok(),
        _ => false,
    }
}

/// Returns whether a text is like `tcp://10.96.0.7:80`.
fn is_place(value: &str) -> bool {
    let place = value.split_once("://");
    place.is_some_and(|(protocol, _)| ["tcp", "udp", "sctp"].contains(&protocol))
}
