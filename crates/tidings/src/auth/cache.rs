//! Remembers verified tokens, so that a reconnecting browser costs one look-up.
//!
//! Each shard has its own. Only tokens that were accepted are kept, none counts once it has ended,
//! and there are never more than the bound; the one that came first leaves first.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{Authority, Identity, Role, TokenError};

/// A bounded memory of verified tokens.
pub struct TokenCache {
    authority: Arc<Authority>,
    publishers: Identities,
    subscribers: Identities,
    /// The keys that came, oldest first. All that are remembered are among them.
    order: VecDeque<Key>,
    entries_max: usize,
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
    /// Makes an empty cache of at most `entries_max` tokens; 0 keeps none.
    pub fn new(authority: Arc<Authority>, entries_max: usize) -> Self {
        Self {
            authority,
            publishers: HashMap::default(),
            subscribers: HashMap::default(),
            order: VecDeque::new(),
            entries_max,
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
        if self.entries_max == 0 {
            return;
        }
        while self.order.len() >= self.entries_max {
            if let Some((token, role)) = self.order.pop_front() {
                self.identities(role).remove(&token);
            }
        }
        self.order.push_back(key.clone());
        let (token, role) = key;
        self.identities(role).insert(token, Arc::clone(identity));
    }
}

#[cfg(test)]
mod tests;
