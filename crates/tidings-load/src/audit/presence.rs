//! Who a hub says is subscribed.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::clock::{nanos, now_ns};
use crate::target::Target;

/// Between two looks at a list that is not right yet.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The longest time that a hub may take for a list.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// What the topic of each subscriber begins with. Its number follows.
const SUBSCRIBER: &str = "https://bench.example/audit/subscribers/";

/// Returns the topic that only this subscriber subscribes to.
pub(super) fn topic(number: usize) -> String {
    format!("{SUBSCRIBER}{number}")
}

/// Returns how many subscriptions a hub lists too often, or does not list, of subscribers that are all there: asks
/// until there are none, for `most`.
pub(super) fn wrong(target: &Target, token: &str, subscribers: usize, most: Duration) -> usize {
    let end = now_ns() + nanos(most);
    loop {
        let wrong = match listed(target, token) {
            Some(listed) => differences(&listed, subscribers),
            None => subscribers,
        };
        if wrong == 0 || now_ns() > end {
            return wrong;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn differences(listed: &BTreeMap<String, usize>, subscribers: usize) -> usize {
    let once = (0..subscribers).map(|number| {
        let times = listed.get(&topic(number)).copied().unwrap_or_default();
        times.abs_diff(1)
    });
    let known: usize = (0..subscribers)
        .filter(|number| listed.contains_key(&topic(*number)))
        .count();
    once.sum::<usize>() + (listed.len() - known)
}

/// Returns how often each topic of a subscriber is in the list of a hub. None if the hub does not answer.
fn listed(target: &Target, token: &str) -> Option<BTreeMap<String, usize>> {
    let document = ask(target, token).ok()?;
    let document: Value = serde_json::from_str(&document).ok()?;
    let mut listed = BTreeMap::new();
    for subscription in document.get("subscriptions")?.as_array()? {
        let topic = subscription.get("match")?.as_str()?;
        if topic.starts_with(SUBSCRIBER) {
            *listed.entry(topic.to_owned()).or_default() += 1;
        }
    }
    Some(listed)
}

fn ask(target: &Target, token: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&target.address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    // HTTP/1.0, so that the body comes in one piece up to the end of the connection.
    let request = format!(
        "GET /.well-known/mercure/subscriptions HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_that_is_missing_doubled_or_unknown_counts() {
        let listed = |numbers: &[usize]| {
            let mut listed = BTreeMap::new();
            for number in numbers {
                *listed.entry(topic(*number)).or_default() += 1;
            }
            listed
        };
        for (numbers, wrong) in [
            (&[0, 1, 2][..], 0),
            (&[0, 2], 1),
            (&[0, 1, 2, 1], 1),
            (&[0, 1, 2, 3], 1),
            (&[], 3),
        ] {
            assert_eq!(differences(&listed(numbers), 3), wrong, "{numbers:?}");
        }
    }
}
