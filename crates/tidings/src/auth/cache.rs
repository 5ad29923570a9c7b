//! Remembers verified tokens, so that a reconnecting browser costs one look-up.
//!
//! Each shard has its own. Only tokens that were accepted are kept, none counts once it has ended,
//! and they never take more bytes than the bound; the one that came first leaves first.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tidings_core::matcher::{Matcher, MatcherType};

use super::{Authority, Identity, Role, TokenError};

/// A bounded memory of verified tokens.
pub struct TokenCache {
    authority: Arc<Authority>,
    publishers: Identities,
    subscribers: Identities,
    /// The keys that came, oldest first, with the bytes that each costs. All that are remembered
    /// are among them.
    order: VecDeque<(Key, usize)>,
    /// The sum of these bytes.
    bytes: usize,
    bytes_max: usize,
}

/// The whole token and what it was presented for: keys are bound to roles, so that a token may be
/// good for one and bad for the other.
type Key = (Arc<str>, Role);

type Identities = HashMap<Arc<str>, Arc<Identity>, RandomState>;

/// Says how many tokens are known, and none of them.
impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache")
            .field("tokens", &self.len())
            .finish_non_exhaustive()
    }
}

impl TokenCache {
    /// Makes an empty cache of at most `bytes_max`, estimated; 0 keeps nothing.
    pub fn new(authority: Arc<Authority>, bytes_max: usize) -> Self {
        Self {
            authority,
            publishers: HashMap::default(),
            subscribers: HashMap::default(),
            order: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Does what [`Authority::verify`] does, faster for a token seen before.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn verify(
        &mut self,
        token: &str,
        role: Role,
        now_secs: u64,
    ) -> Result<Arc<Identity>, TokenError> {
        if token.len() > super::TOKEN_BYTES_MAX {
            return self.authority.verify(token, role, now_secs);
        }
        match self.identities(role).get(token) {
            Some(identity) if now_secs < identity.expires_at => return Ok(Arc::clone(identity)),
            Some(_) => {
                self.identities(role).remove(token);
            }
            None => {}
        }
        let identity = self.authority.verify(token, role, now_secs)?;
        self.insert((token.into(), role), &identity);
        Ok(identity)
    }

    /// Returns how many tokens are remembered.
    fn len(&self) -> usize {
        self.publishers.len() + self.subscribers.len()
    }

    fn identities(&mut self, role: Role) -> &mut Identities {
        match role {
            Role::Publish => &mut self.publishers,
            Role::Subscribe => &mut self.subscribers,
        }
    }

    fn insert(&mut self, key: Key, identity: &Arc<Identity>) {
        let bytes = kept_bytes(&key.0, identity);
        if bytes > self.bytes_max {
            return;
        }
        while self.bytes > self.bytes_max - bytes {
            let Some(((token, role), bytes)) = self.order.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.identities(role).remove(&token);
        }
        self.bytes += bytes;
        self.order.push_back((key.clone(), bytes));
        let (token, role) = key;
        self.identities(role).insert(token, Arc::clone(identity));
    }
}

/// Estimates what remembering a token costs.
fn kept_bytes(token: &str, identity: &Identity) -> usize {
    let matchers = identity.grants.matchers();
    let granted: usize = matchers.map(matcher_bytes).sum();
    // Beside the token itself, texts of its claims are in the identity.
    ENTRY_BYTES + 2 * token.len() + granted
}

fn matcher_bytes(matcher: &Matcher) -> usize {
    match matcher.kind() {
        MatcherType::Exact => EXACT_BYTES,
        MatcherType::UrlPattern => PATTERN_BYTES,
    }
}

/// What an entry costs beside its texts: its places in the tables, the identity and its grants.
const ENTRY_BYTES: usize = 512;
/// What an exact matcher costs beside its text.
const EXACT_BYTES: usize = 128;
/// What a compiled URL pattern costs; few have as much as `limits::PATTERN_REGEX_BYTES_MAX` allows.
const PATTERN_BYTES: usize = 4096;

#[cfg(test)]
mod tests;
