//! What the variables of OpenTelemetry mean here.

use expect_test::{Expect, expect};

use super::*;
use crate::config::env::Variable;

#[test]
fn the_base_is_the_beginning_of_an_address_and_the_other_is_all_of_it() {
    check(
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/x/")],
        expect![[r#"
            traces.endpoint = "http://c:4318/x/v1/traces" (OTEL_EXPORTER_OTLP_ENDPOINT)
        "#]],
    );
    check(
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d/in"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ],
        expect![[r#"
            traces.endpoint = "http://d/in" (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
            traces.headers = "b=2" (OTEL_EXPORTER_OTLP_TRACES_HEADERS)
        "#]],
    );
}

#[test]
fn an_exporter_without_an_address_has_the_usual_one() {
    check(
        &[("OTEL_TRACES_EXPORTER", "otlp")],
        expect![[r#"
            traces.endpoint = "http://localhost:4318/v1/traces" (OTEL_TRACES_EXPORTER)
        "#]],
    );
}

#[test]
fn what_wants_no_traces_is_obeyed() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    for off in [
        ("OTEL_SDK_DISABLED", "True"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        check(&[endpoint, off], expect![""]);
    }
    check(
        &[endpoint, ("OTEL_TRACES_EXPORTER", "zipkin")],
        expect![[r#"
            unread: OTEL_TRACES_EXPORTER: traces are sent by otlp alone, so there are none
        "#]],
    );
    check(
        &[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
        expect![[r#"
            unread: OTEL_EXPORTER_OTLP_PROTOCOL: traces are sent by http/protobuf alone, so there are none
        "#]],
    );
}

#[test]
fn everything_else_is_read_or_named() {
    check(
        &[
            ("OTEL_SDK_DISABLED", "false"),
            ("OTEL_SERVICE_NAME", "push"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=1, b=x%2Cy,"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "9"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "9"),
            ("OTEL_METRICS_EXPORTER", "otlp"),
        ],
        expect![[r#"
            traces.service_name = "push" (OTEL_SERVICE_NAME)
            traces.ratio = "0.01" (OTEL_TRACES_SAMPLER_ARG)
            traces.sampler = "parentbased_traceidratio" (OTEL_TRACES_SAMPLER)
            traces.resource_attributes = ["a=1", "b=x%2Cy"] (OTEL_RESOURCE_ATTRIBUTES)
            unread: OTEL_BSP_MAX_QUEUE_SIZE: the queue and the batches have fixed bounds
            unread: OTEL_EXPORTER_OTLP_COMPRESSION: requests are sent without compression
            unread: OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: a request has 10 seconds
        "#]],
    );
    check(
        &[("OTEL_TRACES_SAMPLER", "xray")],
        expect![[r#"
            unread: OTEL_TRACES_SAMPLER: the hub has no such sampler
        "#]],
    );
}

#[track_caller]
fn check(variables: &[(&str, &str)], expected: Expect) {
    let variable = |&(name, value): &(&str, &str)| Variable {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    let variables: Vec<Variable> = variables.iter().map(variable).collect();
    let mut translation = Translation::default();
    read(&Environment(&variables), &mut translation);
    let values = translation.values.iter();
    let mut text: String = values
        .map(|value| format!("{} = {} ({})\n", value.path, value.value, value.source))
        .collect();
    for unread in &translation.unread {
        text.push_str(&format!("unread: {}: {}\n", unread.name, unread.why));
    }
    expected.assert_eq(&text);
}
