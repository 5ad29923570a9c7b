//! `[traces]`: a collector that can be asked, and attributes that can be read.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use tidings_hub::traces::Sampler;
use tidings_wire::redact;
use url::Url;

use super::Checks;
use crate::config::tables::traces::{SamplerName, TracesTable};
use crate::telemetry::traces::Options;

impl Checks<'_> {
    /// Returns where spans go: `Some(None)` if nowhere.
    pub(super) fn traces(&mut self) -> Option<Option<Options>> {
        let table: TracesTable = self.table();
        let sampler = self.sampler(&table);
        let Some(endpoint) = &table.endpoint else {
            return Some(None);
        };
        let endpoint = self.collector(endpoint);
        let headers = self.trace_headers(table.headers.as_ref().map_or("", |secret| &secret.0));
        let resource = self.resource(&table);
        let options = Options {
            endpoint: endpoint?,
            headers: headers?,
            resource: resource?,
            sampler: sampler?,
        };
        Some(Some(options).filter(|_| table.sampler != SamplerName::AlwaysOff))
    }

    fn sampler(&mut self, table: &TracesTable) -> Option<Sampler> {
        let ratio = match table.ratio.as_deref().map(str::parse::<f64>) {
            None => 1.0,
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            Some(_) => {
                self.invalid(
                    "traces.ratio",
                    "write a number from 0 to 1, such as \"0.1\"",
                );
                return None;
            }
        };
        let (by_parent, ratio) = match table.sampler {
            SamplerName::AlwaysOn => (false, 1.0),
            SamplerName::AlwaysOff => (false, 0.0),
            SamplerName::Ratio => (false, ratio),
            SamplerName::ParentAlwaysOn => (true, 1.0),
            SamplerName::ParentAlwaysOff => (true, 0.0),
            SamplerName::ParentRatio => (true, ratio),
        };
        Some(Sampler { by_parent, ratio })
    }

    fn collector(&mut self, text: &str) -> Option<Url> {
        match Url::parse(text) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.host_str().is_some()
                    && url.username().is_empty()
                    && url.password().is_none() =>
            {
                Some(url)
            }
            Ok(_) | Err(_) => {
                let shown = redact::url(text);
                let reason = format!(
                    "{shown:?} is no address of a collector: write it like \
                     \"http://localhost:4318/v1/traces\", without credentials"
                );
                self.invalid("traces.endpoint", reason);
                None
            }
        }
    }

    fn trace_headers(&mut self, text: &str) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let pair = pair.split_once('=').and_then(|(name, value)| {
                let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
                let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
                let mut value = HeaderValue::from_str(&value).ok()?;
                value.set_sensitive(true);
                Some((name, value))
            });
            let Some((name, value)) = pair else {
                // The value is a secret.
                self.invalid("traces.headers", "write NAME=VALUE, separated by commas");
                return None;
            };
            headers.append(name, value);
        }
        Some(headers)
    }

    fn resource(&mut self, table: &TracesTable) -> Option<Vec<(String, String)>> {
        let mut resource = vec![
            ("service.name".to_owned(), table.service_name.clone()),
            (
                "service.version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
        ];
        for text in &table.resource_attributes {
            let pair = text.split_once('=').and_then(|(name, value)| {
                let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
                let name = name.trim();
                (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
            });
            let Some((name, value)) = pair else {
                let reason = format!("{text:?} is no attribute: write NAME=VALUE");
                self.invalid("traces.resource_attributes", reason);
                return None;
            };
            // The name of the service has a key of its own.
            if name != "service.name" {
                resource.push((name, value));
            }
        }
        Some(resource)
    }
}
