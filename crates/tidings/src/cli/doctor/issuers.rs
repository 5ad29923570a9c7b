//! Whether issuers give their keys, and whether their clocks agree with this machine's.

use std::time::{Duration, SystemTime};

use tidings_auth::jwk;
use tidings_auth::key_set::{DOCUMENT_BYTES_MAX, Source};
use tidings_wire::redact;

use super::super::hub;
use super::{Finding, PATIENCE};
use crate::config::Config;

const CHECK: &str = "issuer";
/// A clock that differs by more makes tokens look expired, or not valid yet.
const CLOCK_MAX_SECS: u64 = 5;

/// Asks each issuer of a configuration that has a URL, as the hub does.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let sets = config.auth.key_sets();
    let urls = sets.iter().filter_map(|set| match set.source() {
        Source::Url(url) => Some(url.clone()),
        Source::File(_) => None,
    });
    urls.flat_map(|url| issuer(&url)).collect()
}

fn issuer(url: &url::Url) -> Vec<Finding> {
    let shown = redact::url(url.as_str());
    match ask(url) {
        Err(error) => vec![Finding::problem(
            CHECK,
            format!("{shown}: {error}"),
            "tokens of this issuer are refused unless the hub has cached its keys",
            "auth.issuers.N.jwks_url, or the firewall between the hub and the issuer",
        )],
        Ok(Answer { keys, apart }) => {
            let mut findings = vec![usable(&shown, &keys)];
            findings.extend(apart.map(|apart| clock(&shown, apart)));
            findings
        }
    }
}

struct Answer {
    keys: jwk::Read,
    /// How far the clocks are apart, if the issuer says its time.
    apart: Option<Duration>,
}

fn ask(url: &url::Url) -> anyhow::Result<Answer> {
    let agent = hub::agent(None, url)?;
    let asked = SystemTime::now();
    let request = agent.get(url.as_str()).config();
    let request = request.timeout_global(Some(PATIENCE)).build();
    let mut answer = request.call()?;
    let answered = SystemTime::now();
    if answer.status() != http::StatusCode::OK {
        anyhow::bail!("answered {}", answer.status());
    }
    let date = answer.headers().get(http::header::DATE);
    let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let body = answer
        .body_mut()
        .with_config()
        .limit(DOCUMENT_BYTES_MAX as u64);
    Ok(Answer {
        keys: jwk::parse(&body.read_to_vec()?)?,
        apart: date.map(|date| apart(date, asked, answered)),
    })
}

fn usable(shown: &str, keys: &jwk::Read) -> Finding {
    let jwk::Read {
        keys,
        ignored,
        reason,
    } = keys;
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    let found = format!("{shown} has {} usable keys", keys.len());
    if keys.is_empty() {
        return Finding::problem(
            CHECK,
            format!("{shown} has no usable key, and {ignored} that cannot be used{reason}"),
            "tokens of this issuer are refused",
            "auth.issuers.N.jwks_url, or the keys of the issuer",
        );
    }
    match ignored {
        0 => Finding::ok(CHECK, found),
        _ => Finding::ok(CHECK, format!("{found}, and {ignored} others{reason}")),
    }
}

/// Returns how far the time of an answer is from the time in which it was made.
fn apart(date: SystemTime, asked: SystemTime, answered: SystemTime) -> Duration {
    let late = date.duration_since(answered).unwrap_or_default();
    // The field has whole seconds, rounded down.
    let early = asked.duration_since(date).unwrap_or_default();
    late.max(early.saturating_sub(Duration::from_secs(1)))
}

fn clock(shown: &str, apart: Duration) -> Finding {
    const CHECK: &str = "clock";
    let secs = apart.as_secs();
    if secs <= CLOCK_MAX_SECS {
        return Finding::ok(CHECK, format!("within {CLOCK_MAX_SECS} s of {shown}"));
    }
    Finding::problem(
        CHECK,
        format!("{secs} s apart from {shown}"),
        "tokens look expired, or not valid yet",
        "a time service on both machines: systemctl enable --now chrony",
    )
}
