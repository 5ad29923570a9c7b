//! `[traces]`: spans for a collector.

use crate::config::keys::Form::{self, Text, Url};
use crate::config::keys::rule::{list, text, unset, word};
use crate::config::value::{Secret, Words};

table! {
    /// The `[traces]` table.
    pub struct TracesTable = "traces" {
        /// The URL that takes spans by OTLP over HTTP, such as
        /// `http://localhost:4318/v1/traces`. Without one, no spans are made.
        /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` sets it too, and `OTEL_EXPORTER_OTLP_ENDPOINT`
        /// without `/v1/traces`; with `OTEL_TRACES_EXPORTER=otlp` alone it is the one above, and with
        /// `none`, or with `OTEL_SDK_DISABLED=true`, these variables count for nothing.
        endpoint: Option<String> = unset(Url, "none: no traces").start();
        /// Fields of each request to the collector, such as its key: `NAME=VALUE`, separated by
        /// commas, a value with `%` escapes. `OTEL_EXPORTER_OTLP_TRACES_HEADERS` and
        /// `OTEL_EXPORTER_OTLP_HEADERS` set it too.
        headers: Option<Secret> = unset(Form::Secret, "none").start();
        /// The name of the service in spans. `OTEL_SERVICE_NAME` sets it too.
        service_name: String = text("tidings").start();
        /// Further attributes of the service, `NAME=VALUE`, such as
        /// `deployment.environment.name=production`. `OTEL_RESOURCE_ATTRIBUTES` sets it too.
        resource_attributes: Vec<String> = list(&[]).start();
        /// Which updates have spans: all, none, or the part `traces.ratio`; with `parentbased_` the
        /// publisher's `traceparent` decides, and the rest counts for updates without one.
        /// `OTEL_TRACES_SAMPLER` sets it too.
        sampler: SamplerName = word::<SamplerName>("parentbased_always_off").start();
        /// The part of the updates that `traceidratio` samples, from 0 to 1.
        /// `OTEL_TRACES_SAMPLER_ARG` sets it too.
        ratio: Option<String> = unset(Text, "1").start();
    }
}

/// A sampler, by its name in OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplerName {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A part.
    Ratio,
    /// As the publisher says, else all.
    ParentAlwaysOn,
    /// As the publisher says, else none.
    ParentAlwaysOff,
    /// As the publisher says, else a part.
    ParentRatio,
}

impl Words for SamplerName {
    const WORDS: &'static [&'static str] = &[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ];
    const VALUES: &'static [Self] = &[
        Self::AlwaysOn,
        Self::AlwaysOff,
        Self::Ratio,
        Self::ParentAlwaysOn,
        Self::ParentAlwaysOff,
        Self::ParentRatio,
    ];
}
