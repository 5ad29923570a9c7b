//! The certificate of the TLS listeners: when it expires, and for which names it is.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::Finding;
use crate::certificate::acme::{self, Acme};
use crate::certificate::files::TlsFiles;
use crate::certificate::{Source, pair};
use crate::config::Config;

const CHECK: &str = "certificate";
/// A certificate of files that expires earlier should have been renewed already.
const FILES_RENEWED_BEFORE_DAYS: i64 = 14;
/// The same for one that the hub orders: it renews when a third of the lifetime is left, and authorities issue for 90
/// days, or for as few as six.
const ACME_RENEWED_BEFORE_DAYS: i64 = 1;

/// Checks the certificate of a configuration.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    match &config.tls {
        None => Vec::new(),
        Some(Source::Files(files)) => of_files(files, config),
        Some(Source::Acme(options)) => vec![of_acme(options, config)],
    }
}

fn of_files(files: &TlsFiles, config: &Config) -> Vec<Finding> {
    let unusable = |error: String| {
        vec![Finding::problem(
            CHECK,
            error,
            "the hub cannot start",
            "tls.certificate and tls.key: name a certificate chain and its key",
        )]
    };
    let pair = match pair::load(&files.certificate, &files.key) {
        Ok(pair) => pair,
        Err(error) => return unusable(error.to_string()),
    };
    let shown = files.certificate.display().to_string();
    let first = pair.cert.first();
    let Some((_, parsed)) = first.and_then(|first| parse_x509_certificate(first).ok()) else {
        return unusable(format!("{shown} cannot be read"));
    };
    let expires = match days_left(&parsed) {
        None => Finding::problem(
            CHECK,
            format!("{shown} has expired"),
            "browsers and clients refuse to connect",
            "renew the file of tls.certificate; the hub reads the new one within seconds",
        ),
        Some(days) if days < FILES_RENEWED_BEFORE_DAYS => Finding::warning(
            CHECK,
            format!("{shown} expires in {days} days"),
            "it should have been renewed by now: is the renewal broken?",
            "renew the file of tls.certificate; the hub reads the new one within seconds",
        ),
        Some(days) => Finding::ok(CHECK, format!("{shown} is valid for {days} more days")),
    };
    vec![expires, name(&parsed, config)]
}

/// Checks whether a certificate is for the host that clients connect to.
fn name(certificate: &X509Certificate<'_>, config: &Config) -> Finding {
    let host = url::Url::parse(config.hub.as_str());
    let host = host.ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_default();
    let names = names(certificate);
    if names.iter().any(|name| covers(name, &host)) {
        let found = format!("it is for {host}, the host of hub.public_url");
        return Finding::ok(CHECK, found);
    }
    let listed = match names.is_empty() {
        true => "no name".to_owned(),
        false => names.join(", "),
    };
    Finding::problem(
        CHECK,
        format!("it is for {listed}, not for {host}"),
        "clients that connect to hub.public_url refuse it",
        format!("tls.certificate: one for {host}, or hub.public_url: the name that clients use"),
    )
}

fn of_acme(options: &acme::Options, config: &Config) -> Finding {
    let names = options.names.join(", ");
    let change = "look for \"cannot get a TLS certificate\" in the log of the hub";
    let stored = match Acme::stored(options, &config.data_dir) {
        Ok(stored) => stored,
        Err(error) => {
            let why = "the hub orders another, and authorities limit how many they issue";
            return Finding::warning(
                CHECK,
                error.to_string(),
                why,
                "run this as the user that runs the hub, or remove the file",
            );
        }
    };
    let Some(stored) = stored else {
        let found = format!(
            "the hub has not got one for {names} from {} yet",
            options.directory
        );
        let why = "clients cannot connect until the hub has got one";
        return Finding::warning(CHECK, found, why, change);
    };
    match days_of(&stored) {
        None => Finding::problem(
            CHECK,
            format!("the one that the hub got for {names} has expired"),
            "browsers and clients refuse to connect",
            change,
        ),
        Some(days) if days < ACME_RENEWED_BEFORE_DAYS => Finding::warning(
            CHECK,
            format!("the one that the hub got for {names} expires within a day"),
            "the hub should have renewed it by now",
            change,
        ),
        Some(days) => Finding::ok(
            CHECK,
            format!("the one that the hub got for {names} is valid for {days} more days"),
        ),
    }
}

fn days_of(pair: &CertifiedKey) -> Option<i64> {
    let (_, parsed) = parse_x509_certificate(pair.cert.first()?).ok()?;
    days_left(&parsed)
}

/// Returns how many whole days a certificate is still valid, or nothing if it has expired.
fn days_left(certificate: &X509Certificate<'_>) -> Option<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let left = certificate.validity().not_after.timestamp() - now;
    (left >= 0).then_some(left / 86_400)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let text = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) = name {
            return Some((*name).to_owned());
        }
        let GeneralName::IPAddress(bytes) = name else {
            return None;
        };
        let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
        let v6 = <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
        v4.or(v6).ok().map(|address| address.to_string())
    };
    let names = extension.value.general_names.iter();
    names.filter_map(text).collect()
}

/// Returns whether a name of a certificate is for a host; RFC 9525, 6.3.
fn covers(name: &str, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}
