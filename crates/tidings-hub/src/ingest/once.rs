//! Publishing once: the idempotency keys of publishers.

use aws_lc_rs::digest::{Context, SHA256};
use tidings_auth::Identity;
use tidings_cluster::Key;
use tidings_core::update::{Draft, IdSource, Update};

/// Returns the key of a publisher's text. Each publisher (dialect, issuer and subject of its token) has
/// keys of its own, so that nobody can take another one's; the text itself is not kept.
pub fn key(identity: &Identity, text: &str) -> Option<Key> {
    let mut context = Context::new(&SHA256);
    let subject = identity.subject.as_deref().unwrap_or_default();
    for part in [identity.dialect.name(), &identity.issuer, subject, text] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    Key::new(context.finish().as_ref())
}

/// Returns whether an update is what a draft would have become.
pub(super) fn is_of(update: &Update, draft: &Draft) -> bool {
    let id = match (&draft.id, update.id_source) {
        (Some(id), IdSource::Publisher) => *id == update.id,
        (None, IdSource::Hub) => true,
        (Some(_), IdSource::Hub) | (None, IdSource::Publisher) => false,
    };
    id && draft.topics == update.topics
        && draft.data == update.data
        && draft.visibility == update.visibility
        && draft.event_type == update.event_type
        && draft.retry_ms == update.retry_ms
}
