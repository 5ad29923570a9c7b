//! A cache of compiled URL patterns and URI templates. Compiling one costs as much as forty deliveries, and a
//! thousand browsers of one page ask for the same patterns.
//!
//! A subscriber may ask for a hundred patterns, and many subscribers may come at once. So one request compiles
//! at a time, and the shard does its other work before each pattern: no delivery waits for more than one.

use std::cell::RefCell;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::{Matcher, MatcherError, MatcherType};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of patterns of one type that one shard caches. Beyond this the cache is cleared.
const PATTERNS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A bounded cache of compiled patterns, and the turn to compile more.
#[derive(Debug)]
pub(crate) struct Patterns {
    url_patterns: RefCell<Known>,
    uri_templates: RefCell<Known>,
    /// One permit.
    turns: Semaphore,
}

#[derive(Debug, Default)]
struct Known {
    matchers: HashMap<String, Matcher, RandomState>,
    bytes: usize,
}

/// Compiles the matchers of one request. Keeps its turn until it is dropped.
#[derive(Debug)]
pub struct Compiler<'a> {
    patterns: &'a Patterns,
    hub: &'a HubUrl,
    turn: Option<SemaphorePermit<'a>>,
}

impl Patterns {
    /// Makes an empty cache.
    pub(crate) fn new() -> Self {
        Self {
            url_patterns: RefCell::default(),
            uri_templates: RefCell::default(),
            turns: Semaphore::new(1),
        }
    }

    /// Returns the compiler for one request to the hub.
    pub(crate) fn compiler<'a>(&'a self, hub: &'a HubUrl) -> Compiler<'a> {
        Compiler {
            patterns: self,
            hub,
            turn: None,
        }
    }

    /// Returns the cache for matchers of this type. None if compiling costs nothing.
    fn memory(&self, kind: MatcherType) -> Option<&RefCell<Known>> {
        match kind {
            MatcherType::Exact => None,
            MatcherType::UrlPattern => Some(&self.url_patterns),
            MatcherType::UriTemplate => Some(&self.uri_templates),
        }
    }
}

/// Caches a matcher.
fn remember(memory: &RefCell<Known>, pattern: &str, matcher: &Matcher) {
    let mut known = memory.borrow_mut();
    let bytes = matcher.bytes() + pattern.len();
    if known.bytes + bytes > PATTERNS_BYTES_MAX {
        *known = Known::default();
    }
    if known
        .matchers
        .insert(pattern.to_owned(), matcher.clone())
        .is_none()
    {
        known.bytes += bytes;
    }
}

impl Compiler<'_> {
    /// Compiles a matcher, or takes it from the cache.
    ///
    /// # Errors
    ///
    /// The rule that `pattern` breaks.
    pub async fn compile(
        &mut self,
        kind: MatcherType,
        pattern: &str,
    ) -> Result<Matcher, MatcherError> {
        let Some(memory) = self.patterns.memory(kind) else {
            return Matcher::parse(kind, pattern, self.hub);
        };
        let known = || memory.borrow().matchers.get(pattern).cloned();
        if let Some(known) = known() {
            return Ok(known);
        }
        if self.turn.is_none() {
            // The semaphore is never closed.
            self.turn = self.patterns.turns.acquire().await.ok();
        }
        tokio::task::yield_now().await;
        // Another request may have compiled it meanwhile.
        if let Some(known) = known() {
            return Ok(known);
        }
        let matcher = Matcher::parse(kind, pattern, self.hub)?;
        remember(memory, pattern, &matcher);
        Ok(matcher)
    }
}
