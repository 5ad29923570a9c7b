//! How a shard verifies tokens: with a cache of the tokens that it has seen.

use std::sync::Arc;

use tidings_auth::{Door, Identity, Role, TokenError};

use super::Shard;
use crate::clock::unix_secs;
use crate::refusal::Refusal;

impl Shard {
    /// Verifies a token. If it names a key that the hub does not have, the key sets are fetched again first.
    ///
    /// # Errors
    ///
    /// Why it is not accepted.
    pub async fn verify(
        &self,
        token: &str,
        door: Door,
        role: Role,
    ) -> Result<Arc<Identity>, TokenError> {
        let look = || {
            let mut tokens = self.tokens.borrow_mut();
            tokens.verify(token, door, role, unix_secs())
        };
        let mut verified = look();
        if matches!(verified, Err(TokenError::KeyUnknown { .. }))
            && self.shared.authority.refreshed(token).await
        {
            verified = look();
        }
        verified
    }

    /// Refuses a token. The peer is told what is wrong with it only if refusals are explained.
    pub fn token_refused(&self, error: &TokenError, role: Role) -> Refusal {
        tracing::debug!(%error, %role, "token not accepted");
        if error.is_plain() {
            return Refusal::token_invalid(error.to_string()).harmless();
        }
        if self.options().explain_refusals {
            return Refusal::token_invalid(error.to_string());
        }
        Refusal::token_invalid("the access token is not accepted; `tidings token inspect` says why")
    }
}
