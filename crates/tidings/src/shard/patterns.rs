//! Compiled URL patterns that were asked for lately. Compiling one costs as much as forty
//! deliveries, and a thousand browsers of one page ask for the same.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::{Matcher, MatcherError, MatcherType};

/// Patterns that one shard remembers; beyond it, it forgets all and starts anew.
const PATTERNS_MAX: usize = 1024;

/// A bounded memory of compiled patterns.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    known: HashMap<String, Matcher, RandomState>,
}

impl Patterns {
    /// Reads a matcher, from memory if it is known.
    ///
    /// # Errors
    ///
    /// The rule that `pattern` breaks.
    pub(crate) fn compile(
        &mut self,
        kind: MatcherType,
        pattern: &str,
        hub: &HubUrl,
    ) -> Result<Matcher, MatcherError> {
        if kind == MatcherType::Exact {
            return Matcher::parse(kind, pattern, hub);
        }
        if let Some(known) = self.known.get(pattern) {
            return Ok(known.clone());
        }
        let matcher = Matcher::parse(kind, pattern, hub)?;
        if self.known.len() >= PATTERNS_MAX {
            self.known.clear();
        }
        self.known.insert(pattern.to_owned(), matcher.clone());
        Ok(matcher)
    }
}
