//! What the hubs of a cluster have in common of a certificate: the hub with the lease of its names orders, and leaves
//! beside the lease what the others serve and answer.
//!
//! The authority may reach any of them, so each has the answers before the authority is told to check.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tidings_cluster::Relay;
use tidings_cluster::member::Membership;
use tidings_cluster::roster::{Holder, Named, Roster};
use tidings_hub::metrics::Metrics;
use tokio::sync::watch;
use tokio::time::sleep;

use super::answers::Digest;
use super::folder::FolderError;
use super::{Acme, Options};
use crate::certificate::pair::{self, CertificateError};

/// The version of a note that this hub writes, and the only one that it reads.
const VERSION: u32 = 1;
/// Longest name of a lease.
const LEASE_BYTES_MAX: usize = 200;
/// How long the other hubs may take to read the answers: each looks three times in the length of a lease.
const SPREAD: Duration = Membership::LEASE;

/// What the hub that orders leaves to the others.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    /// Private key and chain, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    answers: Shown,
}

/// What proves names while an order is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown {
    /// Documents of HTTP-01, by token.
    #[serde(default)]
    pub(super) documents: BTreeMap<String, String>,
    /// Digests of TLS-ALPN-01, by name.
    #[serde(default)]
    pub(super) digests: BTreeMap<String, Digest>,
}

/// Why the certificate of another hub is not used.
#[derive(Debug, thiserror::Error)]
enum SharedError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// A hub's view of the lease.
pub(super) struct Seat {
    lease: Arc<str>,
    roster: watch::Receiver<Option<Arc<Roster>>>,
}

impl Seat {
    pub(super) fn new(lease: Arc<str>, roster: watch::Receiver<Option<Arc<Roster>>>) -> Self {
        Self { lease, roster }
    }

    fn named(&self) -> Option<Named> {
        let roster = self.roster.borrow().clone()?;
        roster.named(&self.lease).cloned()
    }

    async fn changed(roster: &mut watch::Receiver<Option<Arc<Roster>>>) {
        if roster.changed().await.is_err() {
            // The hub stops.
            std::future::pending().await
        }
    }

    /// Waits until this hub does not hold the lease any more.
    pub(super) async fn lost(&self) {
        let mut roster = self.roster.clone();
        while self
            .named()
            .is_some_and(|named| named.holder == Holder::Here)
        {
            Self::changed(&mut roster).await;
        }
    }
}

impl Options {
    /// Returns the name of the lease of these names: hubs with other names order for themselves.
    pub fn lease(&self) -> Arc<str> {
        let plain = |one: char| matches!(one, 'a'..='z' | '0'..='9' | '-');
        let name = format!("acme-{}", self.names.join("-")).to_lowercase();
        let mut name = name.replace(|one| !plain(one), "-");
        // Each character has one byte now.
        name.truncate(LEASE_BYTES_MAX);
        name.into()
    }
}

impl Acme {
    /// Takes what the hub that orders leaves, until it is this hub's turn.
    pub(super) async fn follow(&self, seat: &mut Seat, metrics: &Metrics) {
        let mut taken = None;
        loop {
            seat.roster.borrow_and_update();
            let named = seat.named();
            let holder = named.as_ref().map(|named| named.holder);
            let note = named.and_then(|named| named.note);
            if let Some(note) = note.filter(|note| taken.as_ref() != Some(note)) {
                self.on_note(&note, holder, metrics);
                taken = Some(note);
            }
            if holder == Some(Holder::Here) {
                return;
            }
            Seat::changed(&mut seat.roster).await;
        }
    }

    /// Leaves to the others what this hub has, again and again; never ends.
    pub(super) async fn lead(&self, seat: &Seat, relay: &dyn Relay) -> Infallible {
        let mut roster = seat.roster.clone();
        loop {
            let left = seat.named().and_then(|named| named.note);
            let note = self.note();
            if left.as_deref() != Some(&*note) {
                relay.leave(Arc::clone(&seat.lease), note);
            }
            tokio::select! {
                () = Seat::changed(&mut roster) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn note(&self) -> Arc<[u8]> {
        let note = Note {
            version: VERSION,
            certificate: self.text.load().as_ref().map(|text| text.to_string()),
            answers: self.answers.shown(),
        };
        // Texts always serialize.
        serde_json::to_vec(&note).unwrap_or_default().into()
    }

    /// Waits until the other hubs have the answers too.
    pub(super) async fn spread(&self) {
        if self.in_cluster.load(Ordering::Relaxed) {
            self.changed.notify_one();
            sleep(SPREAD).await;
        }
    }

    fn on_note(&self, note: &[u8], holder: Option<Holder>, metrics: &Metrics) {
        let note = match serde_json::from_slice::<Note>(note) {
            Ok(note) if note.version == VERSION => note,
            Ok(_) | Err(_) => {
                return tracing::warn!(
                    "a certificate of a newer hub is not taken: upgrade this hub"
                );
            }
        };
        // What a hub before this one left of its order proves nothing any more.
        if matches!(holder, Some(Holder::Another(_)))
            && let Err(error) = self.answers.show(&note.answers)
        {
            tracing::warn!(%error, "this hub cannot answer the certificate authority");
        }
        if let Some(certificate) = &note.certificate
            && let Err(error) = self.take_shared(certificate, metrics)
        {
            tracing::warn!(%error, "a certificate of another hub cannot be used");
        }
    }

    /// Uses and stores the certificate of another hub, if it is better than this hub's.
    fn take_shared(&self, text: &str, metrics: &Metrics) -> Result<(), SharedError> {
        let shared = pair::parse(text, text)?;
        let ends = |pair: &CertifiedKey| pair::validity(pair).map(|validity| validity.not_after);
        let own = self.current.load_full();
        let own = own.filter(|own| pair::is_for(own, &self.options.names));
        let is_better = own.is_none_or(|own| ends(&own) < ends(&shared));
        if !is_better || !pair::is_for(&shared, &self.options.names) {
            return Ok(());
        }
        self.folder.save_certificate(text, "")?;
        pair::show_expiry(&shared, metrics);
        let expires = ends(&shared);
        self.take(shared);
        tracing::info!(
            names = self.options.names.join(", "),
            expires,
            "there is a new TLS certificate, which another hub of the cluster ordered"
        );
        Ok(())
    }
}
