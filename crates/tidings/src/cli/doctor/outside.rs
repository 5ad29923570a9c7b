//! What proxies do on the way, seen from outside: the test of the page `/diagnose` for event streams.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::hub;
use super::{Finding, PATIENCE};

/// Time between the first and the last event, as the hub sends them; `http/diagnosis.rs`.
const SPREAD: Duration = Duration::from_secs(1);
/// Bytes that are read at most.
const BYTES_MAX: u64 = 64 * 1024;

const CHECK: &str = "events";
const WHY: &str = "a proxy collects them, so subscribers get updates late";
const CHANGE: &str =
    "proxy_buffering off; in nginx, flush_interval -1 in Caddy, or the proxy's own name for it";

/// Follows the hub's test stream, whose events must come one by one.
pub(super) fn events(url: &url::Url, ca: Option<&Path>) -> Finding {
    match try_events(url, ca) {
        Ok(finding) => finding,
        Err(error) => Finding::problem(
            CHECK,
            format!("{url}: {error}"),
            "clients cannot reach the hub by this URL",
            "the proxy's rule for this path, DNS or the firewall",
        ),
    }
}

fn try_events(url: &url::Url, ca: Option<&Path>) -> anyhow::Result<Finding> {
    let address = format!("{}/diagnose/events", url.as_str().trim_end_matches('/'));
    let agent = hub::agent(ca, url)?;
    let request = agent.get(&address).config();
    let answer = request.timeout_global(Some(PATIENCE)).build().call()?;
    if answer.status() == http::StatusCode::NOT_FOUND {
        return Ok(Finding::warning(
            CHECK,
            format!("{address} is not there"),
            "whether proxies buffer events was not tested",
            "pages.diagnose = true",
        ));
    }
    if answer.status() != http::StatusCode::OK {
        let status = answer.status();
        anyhow::bail!("answered {status}");
    }
    let mut arrived = Vec::new();
    let body = answer.into_body().into_reader().take(BYTES_MAX);
    for line in BufReader::new(body).lines() {
        if line?.starts_with("data:") {
            arrived.push(Instant::now());
        }
    }
    let (Some(first), Some(last)) = (arrived.first(), arrived.last()) else {
        return Ok(Finding::problem(CHECK, "no event arrived", WHY, CHANGE));
    };
    let spread = last.duration_since(*first);
    let found = format!(
        "{} events that were sent over a second arrived within {} ms",
        arrived.len(),
        spread.as_millis()
    );
    if spread >= SPREAD / 2 {
        return Ok(Finding::ok(CHECK, found));
    }
    Ok(Finding::problem(CHECK, found, WHY, CHANGE))
}
