//! Caches verified tokens, so that a reconnecting browser costs one lookup.
//!
//! Each shard has its own cache. It contains only accepted tokens, ignores expired ones, never
//! exceeds its bound in bytes, and evicts the oldest entry first. A change of any key set clears
//! the cache, so that no token outlives the removal of its key.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tidings_core::matcher::Matcher;

use super::{Authority, Door, Identity, Role, TokenError};

/// A bounded cache of verified tokens.
pub struct TokenCache {
    authority: Arc<Authority>,
    /// For each door and role.
    known: [Identities; 4],
    /// All cached keys, oldest first, with their cost in bytes. It may also contain keys that are no longer
    /// cached.
    order: VecDeque<(Key, usize)>,
    /// The sum of these bytes.
    bytes: usize,
    bytes_max: usize,
    /// The generation of the key sets that verified the cached tokens.
    generation: u64,
}

/// The whole token, with its door and role. Keys are bound to roles, so that a token may be accepted for one and
/// refused for the other, and doors read it differently.
type Key = (Arc<str>, Door, Role);

type Identities = HashMap<Arc<str>, Arc<Identity>, RandomState>;

/// Shows how many tokens are cached, and none of them.
impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache")
            .field("tokens", &self.len())
            .finish_non_exhaustive()
    }
}

impl TokenCache {
    /// Makes an empty cache of at most `bytes_max` bytes (estimated). 0 caches nothing.
    pub fn new(authority: Arc<Authority>, bytes_max: usize) -> Self {
        Self {
            generation: authority.generation(),
            authority,
            known: Default::default(),
            order: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Does the same as [`Authority::verify_at`], faster for a cached token.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn verify(
        &mut self,
        token: &str,
        door: Door,
        role: Role,
        now_secs: u64,
    ) -> Result<Arc<Identity>, TokenError> {
        if token.len() > super::TOKEN_BYTES_MAX {
            return self.authority.verify_at(token, door, role, now_secs);
        }
        // Read before the token is verified, so that the next call notices a change meanwhile.
        let generation = self.authority.generation();
        if generation != self.generation {
            self.generation = generation;
            for known in &mut self.known {
                known.clear();
            }
            self.order.clear();
            self.bytes = 0;
        }
        match self.identities(door, role).get(token) {
            Some(identity) if now_secs < identity.expires_at => return Ok(Arc::clone(identity)),
            Some(_) => {
                self.identities(door, role).remove(token);
            }
            None => {}
        }
        let identity = self.authority.verify_at(token, door, role, now_secs)?;
        self.insert((token.into(), door, role), &identity);
        Ok(identity)
    }

    /// Returns how many tokens are cached.
    fn len(&self) -> usize {
        self.known.iter().map(HashMap::len).sum()
    }

    fn identities(&mut self, door: Door, role: Role) -> &mut Identities {
        let [hub_publish, hub_subscribe, publish_2019, subscribe_2019] = &mut self.known;
        match (door, role) {
            (Door::Hub, Role::Publish) => hub_publish,
            (Door::Hub, Role::Subscribe) => hub_subscribe,
            (Door::Hub2019, Role::Publish) => publish_2019,
            (Door::Hub2019, Role::Subscribe) => subscribe_2019,
        }
    }

    fn insert(&mut self, key: Key, identity: &Arc<Identity>) {
        let bytes = kept_bytes(&key.0, identity);
        if bytes > self.bytes_max {
            return;
        }
        while self.bytes > self.bytes_max - bytes {
            let Some(((token, door, role), bytes)) = self.order.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.identities(door, role).remove(&token);
        }
        self.bytes += bytes;
        self.order.push_back((key.clone(), bytes));
        let (token, door, role) = key;
        self.identities(door, role)
            .insert(token, Arc::clone(identity));
    }
}

/// Estimates the bytes that a cached token takes.
fn kept_bytes(token: &str, identity: &Identity) -> usize {
    let matchers = identity.grants.matchers();
    let granted: usize = matchers.map(Matcher::bytes).sum();
    let targets = identity.grants.targets() * TARGET_BYTES;
    // The identity contains texts of the token's claims, beside the token itself.
    ENTRY_BYTES + 2 * token.len() + granted + targets
}

/// Bytes of an entry beside its texts: its places in the tables, the identity and its grants.
const ENTRY_BYTES: usize = 512;
/// Bytes of a target beside its text.
const TARGET_BYTES: usize = 64;

#[cfg(test)]
mod tests;
