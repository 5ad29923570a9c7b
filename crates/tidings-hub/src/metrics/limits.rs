//! The limits of the configuration, to compare with what is in use.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels;

/// The limits of the configuration.
#[derive(Debug)]
pub struct Limits {
    values: Family<OfKey, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKey {
    key: &'static str,
}

impl Limits {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let values = Family::<OfKey, Gauge>::default();
        let help = "Limits in force, by their key in the configuration; 0 if there is none";
        registry.register("limit", help, values.clone());
        for key in labels::LIMITS {
            drop(values.get_or_create(&OfKey { key }));
        }
        Self { values }
    }

    /// Sets the limit that `key` configures.
    pub fn set(&self, key: &'static str, value: u64) {
        let key = OfKey { key };
        debug_assert!(
            self.values.get(&key).is_some(),
            "{key:?} is not in its list in metrics/labels.rs"
        );
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.values.get_or_create(&key).set(value);
    }
}
