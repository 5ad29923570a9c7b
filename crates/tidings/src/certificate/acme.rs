//! A certificate from an authority, by ACME (RFC 8555): ordered when there is none, renewed before it expires.
//!
//! The authority checks each name by a connection to the hub, whose answers are in `answers`. `order` makes one
//! order, `schedule` says when the next one is due, `folder` has what survives a restart, `transport` sends the
//! requests, `shared` has what the hubs of a cluster have in common. Everything runs on the control thread; shards only read the certificate and the answers.

mod answers;
mod folder;
mod order;
mod schedule;
mod shared;
mod transport;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use instant_acme::ExternalAccountKey;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use tidings_auth::http_client::HttpClient;
use tidings_cluster::Relay;
use tidings_hub::metrics::{Metrics, count_result};
use tokio::sync::Notify;
use tokio::time::timeout;
use url::Url;

use self::answers::Answers;
use self::folder::Folder;
use self::order::OrderError;
use self::schedule::{Attempts, Renewal};
use self::shared::Seat;
use self::transport::Transport;
use super::pair;

/// The ALPN name by which an authority asks for the proof of a name; RFC 8737, 6.2.
pub(crate) const ALPN: &[u8] = b"acme-tls/1";
/// The path below which an authority asks for the proof of a name; RFC 8555, 8.3.
pub(crate) const HTTP_PATH: &str = "/.well-known/acme-challenge/";
/// How long one order may take, with all its requests.
const ORDER_MAX: Duration = Duration::from_mins(5);
/// How long a question for the time of a renewal may take.
const RENEWAL_INFO_MAX: Duration = Duration::from_secs(30);
/// The longest sleep, so that a clock that is set is noticed.
const SLEEP_MAX: Duration = Duration::from_hours(1);

/// What is ordered, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The names in the certificate. Never empty.
    pub names: Vec<String>,
    /// Addresses for letters of the authority, as `mailto:` URLs.
    pub contact: Vec<String>,
    /// The URL of the authority's directory.
    pub directory: Url,
    /// Authorities, beside those of the system, that may certify the directory's own server.
    pub trusted: Vec<CertificateDer<'static>>,
    /// How names are proved, in order of preference. Never empty.
    pub challenges: Vec<Challenge>,
    /// The account with the authority that the hub's is bound to.
    pub binding: Option<Binding>,
}

/// How a name is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// By a TLS handshake with a certificate made for it, on port 443; RFC 8737.
    TlsAlpn01,
    /// By a document, on port 80; RFC 8555, 8.3.
    Http01,
}

/// An external account (RFC 8555, 7.3.4). `Debug` hides the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    /// The name of the key.
    pub key_id: String,
    /// The key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Binding")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Binding {
    fn key(&self) -> ExternalAccountKey {
        ExternalAccountKey::new(self.key_id.clone(), &self.key)
    }
}

impl Challenge {
    /// Returns its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// Why ACME cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("an authority in tls.acme.ca_file cannot be used: {0}")]
    Trusted(#[from] rustls::Error),
}

/// The certificate from an authority, as all threads see it.
#[derive(Debug)]
pub(crate) struct Acme {
    options: Options,
    folder: Folder,
    transport: Transport,
    /// None until the first order has succeeded.
    current: ArcSwapOption<CertifiedKey>,
    /// The same with its key in PEM, for the other hubs of a cluster.
    text: ArcSwapOption<String>,
    /// Whether other hubs answer the authority too.
    in_cluster: AtomicBool,
    /// Tells that there is something new for other hubs.
    changed: Notify,
    answers: Answers,
    /// What the last attempt failed with, until one succeeds.
    failure: ArcSwapOption<Failure>,
    wanted: Notify,
}

/// A failed attempt.
#[derive(Debug)]
struct Failure {
    reason: String,
    next: SystemTime,
}

impl Acme {
    /// Takes the certificate that an earlier process got, if it can be used.
    ///
    /// # Errors
    ///
    /// An authority that should be trusted is none.
    pub(crate) fn open(options: Options, data_dir: &Path) -> Result<Arc<Self>, StartError> {
        let client = HttpClient::new(options.trusted.iter().cloned())?;
        let folder = Folder::new(data_dir, &options.directory);
        let current = match folder.certificate() {
            Ok(current) => current,
            Err(error) => {
                tracing::warn!(%error, "the stored certificate cannot be used; another is ordered");
                None
            }
        };
        Ok(Arc::new(Self {
            options,
            transport: Transport::new(client),
            text: ArcSwapOption::new(current.as_ref().and_then(|_| folder.text()).map(Arc::new)),
            current: ArcSwapOption::new(current.map(Arc::new)),
            in_cluster: AtomicBool::new(false),
            changed: Notify::new(),
            folder,
            answers: Answers::default(),
            failure: ArcSwapOption::empty(),
            wanted: Notify::new(),
        }))
    }

    /// Returns the certificate that a hub with this data folder got from the authority, if it got one.
    ///
    /// # Errors
    ///
    /// There is one that cannot be used.
    pub(crate) fn stored(
        options: &Options,
        data_dir: &Path,
    ) -> Result<Option<CertifiedKey>, pair::CertificateError> {
        Folder::new(data_dir, &options.directory).certificate()
    }

    /// Asks [`keep`](Self::keep) to try a failed order again now, unless the authority said when.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Returns the document that proves a name to the authority, by the last part of its path.
    pub(crate) fn document(&self, token: &str) -> Option<String> {
        self.answers.document(token)
    }

    /// Returns what is wrong with the certificate, if anything is.
    pub(crate) fn complaint(&self) -> Option<String> {
        let names = self.options.names.join(", ");
        let current = self.current.load();
        let failure = self.failure.load();
        let Some(failure) = failure.as_deref() else {
            return current
                .is_none()
                .then(|| format!("no TLS certificate for {names} yet: it is being ordered"));
        };
        let what = match current.as_deref().and_then(pair::validity) {
            None => format!("no TLS certificate for {names}"),
            Some(validity) => format!(
                "the TLS certificate for {names}, which expires in {}, is not renewed",
                span(
                    validity
                        .not_after
                        .saturating_sub(schedule::secs(SystemTime::now()))
                ),
            ),
        };
        let wait = failure.next.duration_since(SystemTime::now());
        let wait = wait.unwrap_or_default().as_secs();
        Some(format!(
            "{what}: {}; next attempt in {}",
            failure.reason,
            span(i64::try_from(wait).unwrap_or(i64::MAX))
        ))
    }

    /// Orders certificates when they are due; never ends. Of the hubs of a cluster that have the same names, one
    /// orders, and the others get what it has.
    pub(crate) async fn keep(&self, metrics: &Metrics, relay: &dyn Relay) -> Infallible {
        let mut attempts = Attempts::default();
        if let Some(current) = self.current.load_full() {
            pair::show_expiry(&current, metrics);
        }
        let Some(roster) = relay.roster() else {
            return self.renew(&mut attempts, metrics).await;
        };
        self.in_cluster.store(true, Ordering::Relaxed);
        let lease = self.options.lease();
        let mut seat = Seat::new(lease, roster);
        loop {
            self.follow(&mut seat, metrics).await;
            // An order that is interrupted is gone on with when it is this hub's turn again.
            tokio::select! {
                never = self.renew(&mut attempts, metrics) => return never,
                never = self.lead(&seat, relay) => return never,
                () = seat.lost() => {}
            }
            self.answers.clear();
        }
    }

    async fn renew(&self, attempts: &mut Attempts, metrics: &Metrics) -> Infallible {
        let mut renewal = self.renewal();
        loop {
            self.ask_when(&mut renewal).await;
            let due = attempts.due().max(renewal.due());
            if SystemTime::now() < due {
                self.sleep_until(due.min(renewal.ask_at()), attempts).await;
                continue;
            }
            if self.attempt(attempts, &renewal, metrics).await {
                renewal = self.renewal();
            }
        }
    }

    /// Returns when the certificate should be renewed, by its own dates.
    fn renewal(&self) -> Renewal {
        match self.current.load_full() {
            Some(current) if pair::is_for(&current, &self.options.names) => Renewal::of(&current),
            // There is none, or the configuration names others.
            Some(_) | None => Renewal::now(),
        }
    }

    /// Asks the authority when the certificate should be renewed, if it is time to ask; RFC 9773.
    async fn ask_when(&self, renewal: &mut Renewal) {
        if SystemTime::now() < renewal.ask_at() {
            return;
        }
        let Some(current) = self.current.load_full() else {
            return renewal.ask_later();
        };
        match timeout(RENEWAL_INFO_MAX, self.renewal_info(&current)).await {
            Ok(Ok(Some((info, ask_again)))) => renewal.heed(&info.suggested_window, ask_again),
            Ok(Ok(None)) => renewal.ask_later(),
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot ask when to renew the certificate");
                renewal.ask_later();
            }
            Err(_elapsed) => renewal.ask_later(),
        }
    }

    /// Sleeps towards a time. A failed order that is wanted meanwhile becomes due.
    async fn sleep_until(&self, time: SystemTime, attempts: &mut Attempts) {
        let left = time.duration_since(SystemTime::now()).unwrap_or_default();
        let left = left.min(SLEEP_MAX);
        if timeout(left, self.wanted.notified()).await.is_ok() {
            attempts.hurry();
        }
    }

    /// Makes one order. Returns whether there is a new certificate.
    async fn attempt(&self, attempts: &mut Attempts, renewal: &Renewal, metrics: &Metrics) -> bool {
        let challenge = attempts.challenge(&self.options.challenges);
        self.transport.forget();
        let order = self.order(challenge, renewal.is_by_authority());
        let outcome = match timeout(ORDER_MAX, order).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(OrderError::Timeout { within: ORDER_MAX }),
        };
        self.answers.clear();
        self.changed.notify_one();
        match outcome {
            Ok(ordered) => {
                self.on_ordered(ordered, metrics);
                attempts.succeeded();
                true
            }
            Err(error) => {
                let wait = self.transport.retry_after();
                let next = attempts.failed(&error, wait, &self.options.challenges);
                self.on_failure(&error, challenge, next, metrics);
                false
            }
        }
    }

    fn on_ordered(&self, ordered: CertifiedKey, metrics: &Metrics) {
        pair::show_expiry(&ordered, metrics);
        count_result(&metrics.certificate.orders, "ok");
        let expires = pair::validity(&ordered).map(|validity| validity.not_after);
        self.take(ordered);
        tracing::info!(
            names = self.options.names.join(", "),
            expires,
            "there is a new TLS certificate"
        );
    }

    /// Uses a certificate that is stored.
    fn take(&self, certificate: CertifiedKey) {
        self.current.store(Some(Arc::new(certificate)));
        self.text.store(self.folder.text().map(Arc::new));
        self.failure.store(None);
        self.changed.notify_one();
    }

    fn on_failure(
        &self,
        error: &OrderError,
        challenge: Challenge,
        next: SystemTime,
        metrics: &Metrics,
    ) {
        count_result(&metrics.certificate.orders, "failed");
        let wait = next.duration_since(SystemTime::now()).unwrap_or_default();
        tracing::error!(
            names = self.options.names.join(", "),
            directory = %self.options.directory,
            challenge = challenge.name(),
            %error,
            next_attempt_secs = wait.as_secs(),
            "cannot get a TLS certificate"
        );
        let reason = error.to_string();
        self.failure.store(Some(Arc::new(Failure { reason, next })));
    }
}

impl ResolvesServerCert for Acme {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut offered = hello.alpn().into_iter().flatten();
        // An authority offers this protocol alone; RFC 8737, 3.
        if offered.next() == Some(ALPN) && offered.next().is_none() {
            return self.answers.certificate(hello.server_name()?);
        }
        self.current.load_full()
    }
}

/// Returns a time in words that fit its length.
fn span(secs: i64) -> String {
    match secs {
        ..120 => format!("{} s", secs.max(0)),
        120..7200 => format!("{} minutes", secs / 60),
        7200..172_800 => format!("{} hours", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}
