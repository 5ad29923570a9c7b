//! The environment variables that programs with OpenTelemetry share, translated to ours. They count where none of
//! our own settings is set.
//!
//! OpenTelemetry, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".

use toml::Value;

use super::mercure::{Environment, Translation};
use super::tables::traces::SamplerName;
use super::value::Words;

/// The beginning of all names.
pub const PREFIX: &str = "OTEL_";
/// Where a collector listens, if nothing says where.
const USUAL_ENDPOINT: &str = "http://localhost:4318/v1/traces";

/// Adds what the environment says.
pub fn read(environment: &Environment<'_>, into: &mut Translation) {
    if is_off(environment, into) {
        return;
    }
    read_endpoint(environment, into);
    let mut set = |path: &str, names: &[&str]| {
        let found = names
            .iter()
            .find_map(|name| Some((name, environment.find(name)?)));
        if let Some((name, text)) = found {
            into.set(path, text, name);
        }
    };
    let headers = [
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ];
    set("traces.headers", &headers);
    set("traces.service_name", &["OTEL_SERVICE_NAME"]);
    set("traces.ratio", &["OTEL_TRACES_SAMPLER_ARG"]);
    let name = "OTEL_TRACES_SAMPLER";
    match environment.find(name) {
        Some(text) if SamplerName::WORDS.contains(&text) => into.set("traces.sampler", text, name),
        Some(_) => into.leave(name, "the hub has no such sampler"),
        None => {}
    }
    let name = "OTEL_RESOURCE_ATTRIBUTES";
    if let Some(text) = environment.find(name) {
        let pairs = text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty());
        let list = Value::Array(pairs.map(Value::from).collect());
        into.set("traces.resource_attributes", list, name);
    }
    for name in environment.beginning("OTEL_BSP_") {
        into.leave(name, "the queue and the batches have fixed bounds");
    }
    for (kind, why) in WITHOUT_COUNTERPART {
        for prefix in ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"] {
            let name = format!("{prefix}{kind}");
            if environment.find(&name).is_some() {
                into.leave(&name, why);
            }
        }
    }
}

/// Returns whether the variables want no traces, or such as the hub cannot send.
fn is_off(environment: &Environment<'_>, into: &mut Translation) -> bool {
    let disabled = environment.find("OTEL_SDK_DISABLED");
    if disabled.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return true;
    }
    match environment.find(EXPORTER) {
        None | Some("otlp") => {}
        Some("none") => return true,
        Some(_) => {
            into.leave(EXPORTER, "traces are sent by otlp alone, so there are none");
            return true;
        }
    }
    let protocol = [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ];
    let protocol = protocol
        .iter()
        .find_map(|name| Some((name, environment.find(name)?)));
    match protocol {
        None | Some((_, "http/protobuf")) => false,
        Some((name, _)) => {
            let why = "traces are sent by http/protobuf alone, so there are none";
            into.leave(name, why);
            true
        }
    }
}

fn read_endpoint(environment: &Environment<'_>, into: &mut Translation) {
    let (own, base) = (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    );
    let path = "traces.endpoint";
    if let Some(endpoint) = environment.find(own) {
        into.set(path, endpoint, own);
    } else if let Some(text) = environment.find(base) {
        let endpoint = format!("{}/v1/traces", text.trim_end_matches('/'));
        into.set(path, endpoint, base);
    } else if environment.find(EXPORTER).is_some() {
        into.set(path, USUAL_ENDPOINT, EXPORTER);
    }
}

const EXPORTER: &str = "OTEL_TRACES_EXPORTER";

/// What an exporter can be told, after its prefix, that this one does otherwise.
const WITHOUT_COUNTERPART: [(&str, &str); 5] = [
    (
        "CERTIFICATE",
        "SSL_CERT_FILE adds authorities that the hub trusts",
    ),
    ("CLIENT_CERTIFICATE", "the hub shows no certificate"),
    ("CLIENT_KEY", "the hub shows no certificate"),
    ("COMPRESSION", "requests are sent without compression"),
    ("TIMEOUT", "a request has 10 seconds"),
];

#[cfg(test)]
mod tests;
