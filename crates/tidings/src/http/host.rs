//! The host that a request names, and whether the hub answers for it.
//!
//! RFC 9112, 3.2 and 3.3; RFC 9110, 7.4; RFC 9113, 8.3.1.

use http::header::{HOST, HeaderValue};
use http::{Request, Version};
use tidings_wire::authority::{Authority, default_port};

use super::problem::Problem;
use super::{ConnectionInfo, Route};
use crate::config::Config;
use crate::http::Site;
use tidings_hub::refusal::Refusal;

/// Refuses a request that does not name exactly one host. Refuses hosts that are not in `hub.hosts`, if that is
/// set.
///
/// Health checks are answered under any name: probes use addresses, and in HTTP/1.0 no name. So are checks of
/// certificate authorities, which use each name of the certificate.
///
/// # Errors
///
/// 400 and 421.
pub(crate) fn check<B>(
    site: &Site,
    info: &ConnectionInfo,
    route: Route<'_>,
    request: &Request<B>,
) -> Result<(), Problem> {
    let config = site.config();
    let default_ports = default_ports(config, info);
    let named = named(request, &default_ports)?;
    let probe = matches!(
        route,
        Route::Live | Route::Ready | Route::OldHealth | Route::Proof(_)
    );
    if config.hosts.is_empty() || info.admin || probe {
        return Ok(());
    }
    let is_ours = |named: &Authority| {
        let mut hosts = config.hosts.iter();
        hosts.any(|host| host.is_same(named, &default_ports))
    };
    if named.as_ref().is_some_and(is_ours) {
        return Ok(());
    }
    let named = named.map(|named| named.to_string());
    Err(Problem::misdirected(
        &named.unwrap_or_default(),
        &config.hosts,
    ))
}

/// Returns the default ports, which URLs of the hub leave out: that of the public scheme and that of the listener.
/// They differ behind a proxy that terminates TLS.
fn default_ports(config: &Config, info: &ConnectionInfo) -> Vec<u16> {
    let listener = info.listener.and_then(|index| config.listens.get(index));
    let here = if listener.is_some_and(|listen| listen.tls) {
        "https"
    } else {
        "http"
    };
    let origin = config.hub.origin();
    let public = origin.split(':').next().unwrap_or_default();
    [public, here]
        .into_iter()
        .filter_map(default_port)
        .collect()
}

/// Returns the host that a request names: in its target, else in its field.
fn named<B>(request: &Request<B>, default_ports: &[u16]) -> Result<Option<Authority>, Problem> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => return Err(malformed("this request has more than one Host field")),
        (Some(field), None) => of_field(field)?,
        (None, _) => None,
    };
    let target = match request.uri().authority() {
        Some(authority) => Some(parse(authority.as_str())?),
        None => None,
    };
    let version = request.version();
    if version == Version::HTTP_2
        && let (Some(target), Some(field)) = (&target, &field)
        && !target.is_same(field, default_ports)
    {
        let detail = format!("this request names {target} in :authority and {field} in host");
        return Err(malformed(detail));
    }
    // An absolute target needs the field too, and takes precedence over it.
    if version == Version::HTTP_11 && field.is_none() {
        let detail = "a request of HTTP/1.1 names its host in one Host field, such as \
                      Host: example.com";
        return Err(malformed(detail));
    }
    let named = target.or(field);
    if version == Version::HTTP_2 && named.is_none() {
        return Err(malformed(
            "a request of HTTP/2 names its host in :authority",
        ));
    }
    Ok(named)
}

/// Parses a field. An empty one names no host.
fn of_field(field: &HeaderValue) -> Result<Option<Authority>, Problem> {
    if field.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(field.as_bytes());
    parse(&text).map(Some)
}

fn parse(text: &str) -> Result<Authority, Problem> {
    Authority::parse(text).map_err(|error| malformed(error.to_string()))
}

fn malformed(detail: impl Into<String>) -> Problem {
    Refusal::invalid("host-invalid", "Host not understood", detail.into()).into()
}
