//! The test vectors of the WHATWG standard (`conformance/url-pattern`), run against compiled
//! patterns. Vectors that do not apply are listed with the reason.

use serde_json::Value;
use urlpattern::UrlPatternInit;
use urlpattern::quirks::{self, StringOrInit};

use super::UrlPattern;
use crate::hub_url::HubUrl;
use crate::subject::{Component, Parts};

const VECTORS: &str =
    include_str!("../../../../../conformance/url-pattern/urlpatterntestdata.json");

/// Vectors with another result here, by their number from 0, and why that is right.
const EXCLUDED: &[(usize, &str)] = &[
    (337, IGNORE_CASE),
    (338, IGNORE_CASE),
    (339, IGNORE_CASE),
    (340, IGNORE_CASE),
    (341, IGNORE_CASE),
];

const IGNORE_CASE: &str =
    "Mercure, \"URL Pattern\": ignoreCase is never on, and no request can ask for it";

#[test]
fn the_vectors_of_the_standard_hold() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() > 300);
    let mut wrong = Vec::new();
    let mut excluded = Vec::new();
    for (index, vector) in vectors.iter().enumerate() {
        let reason = EXCLUDED.iter().find(|(number, _)| *number == index);
        match (check(vector), reason) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => wrong.push(format!("{index} is excluded, but holds: {vector}")),
            (Err(error), None) => wrong.push(format!("{index}: {error}: {vector}")),
            (Err(_), Some(_)) => excluded.push(index),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(excluded.len(), EXCLUDED.len());
}

/// Returns what differs from the vector.
fn check(vector: &Value) -> Result<(), String> {
    let pattern = vector["pattern"].as_array().cloned().unwrap_or_default();
    let is_error = vector["expected_obj"] == "error";
    if pattern.iter().any(|part| part.get("ignoreCase").is_some()) {
        return Err("asks for ignoreCase, which is never on".to_owned());
    }
    let compiled = match compile(&pattern) {
        Ok(compiled) if !is_error => compiled,
        Err(_) if is_error => return Ok(()),
        Ok(_) => return Err("compiled, but is an error".to_owned()),
        Err(error) => return Err(error),
    };
    let inputs = vector["inputs"].as_array().cloned().unwrap_or_default();
    let matches = asked(&inputs).is_some_and(|parts| {
        let matches = compiled.matches(&parts);
        // The index may look the pattern up by any of its anchors, so a match contains all of them.
        let segments = parts.segments();
        let has = |anchor: &str| segments.iter().any(|(_, segment)| *segment == anchor);
        let mut anchors = compiled.anchors().iter();
        assert!(!matches || anchors.all(|anchor| has(anchor)), "{vector}");
        matches
    });
    let expected = vector["expected_match"].is_object();
    if matches == expected {
        Ok(())
    } else {
        Err(format!("matches is {matches}"))
    }
}

fn compile(pattern: &[Value]) -> Result<UrlPattern, String> {
    let base = pattern.get(1).and_then(Value::as_str);
    let input = match pattern.first() {
        None => StringOrInit::Init(quirks::UrlPatternInit::default()),
        Some(input) => serde_json::from_value(input.clone()).map_err(|error| error.to_string())?,
    };
    if pattern.len() > 2 && pattern.iter().all(Value::is_string) {
        return Err("more texts than a pattern and a base".to_owned());
    }
    // Subscribers and tokens send a constructor string alone.
    if let (StringOrInit::String(text), None) = (&input, base) {
        let alone = UrlPattern::parse(text, &hub()).map_err(|error| error.to_string());
        let init = quirks::process_construct_pattern_input(input.clone(), None);
        return match init {
            Ok(_) => alone,
            // Here the hub is the base that the vector lacks.
            Err(error) => Err(format!("{error:?}")),
        };
    }
    let init: UrlPatternInit = quirks::process_construct_pattern_input(input, base)
        .map_err(|error| format!("{error:?}"))?;
    UrlPattern::from_init(init).map_err(|error| error.to_string())
}

/// Returns the tested components; `None` if they do not make a URL.
fn asked(inputs: &[Value]) -> Option<Parts> {
    let base = inputs.get(1).and_then(Value::as_str);
    let input = match inputs.first() {
        None => StringOrInit::Init(quirks::UrlPatternInit::default()),
        Some(input) => serde_json::from_value(input.clone()).ok()?,
    };
    let (input, _) = quirks::process_match_input(input, base).ok()??;
    let parts = quirks::parse_match_input(input)?;
    Some(Parts::from_components(|component| match component {
        Component::Protocol => &parts.protocol,
        Component::Username => &parts.username,
        Component::Password => &parts.password,
        Component::Hostname => &parts.hostname,
        Component::Port => &parts.port,
        Component::Pathname => &parts.pathname,
        Component::Search => &parts.search,
        Component::Hash => &parts.hash,
    }))
}

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example/.well-known/mercure").unwrap()
}
