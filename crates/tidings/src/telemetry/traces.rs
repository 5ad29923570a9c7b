//! Sends spans to a collector: OTLP over HTTP, in batches, from a bounded queue, in a thread of its own. A batch
//! that the collector does not take is tried again a few times, and then dropped and counted.

mod otlp;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use tidings_auth::http_client::{Bounds, ExchangeError, HttpClient};
use tidings_hub::metrics::Metrics;
use tidings_hub::traces::{Sampler, Span};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use url::Url;

/// Spans of one request.
const BATCH_MAX: usize = 512;
/// How long a batch that is not full waits for more.
const BATCH_WAIT: Duration = Duration::from_millis(500);
/// How often one batch is sent.
const ATTEMPTS_MAX: u32 = 5;
/// The first wait before another attempt; it doubles.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that a collector can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// How long the end of the process waits for the last spans to be sent.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// The bounds of one request. OTLP, "Timeout", has the same.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(10),
    body_bytes_max: 64 * 1024,
};

/// Where spans go, and what is said of the hub.
#[derive(Debug, Clone)]
pub struct Options {
    /// The URL that takes spans.
    pub endpoint: Url,
    /// Fields of each request, such as the key of a customer. They are never shown.
    pub headers: HeaderMap,
    /// What the spans are of: `service.name` and others.
    pub resource: Vec<(String, String)>,
    /// Which updates have spans.
    pub sampler: Sampler,
}

impl Options {
    /// Returns the endpoint for the log: without a query, in which some collectors take a key.
    fn shown(&self) -> &str {
        let whole = self.endpoint.as_str();
        whole.split('?').next().unwrap_or(whole)
    }
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("the collector answered {0}")]
    Status(StatusCode),
    #[error("the collector rejected some of them")]
    Rejected,
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
}

/// The thread that sends spans. Nothing waits for it but the end of the process, and that not for long.
#[derive(Debug)]
pub(crate) struct Exporter {
    stopping: watch::Sender<bool>,
    ended: std::sync::mpsc::Receiver<()>,
}

impl Exporter {
    /// Sends what comes by `spans`.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub(crate) fn start(
        options: Options,
        spans: mpsc::Receiver<Span>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let (stopping, stop) = watch::channel(false);
        let (end, ended) = std::sync::mpsc::sync_channel(1);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let endpoint = options.shown();
        tracing::info!(endpoint, "exporting traces");
        thread::Builder::new()
            .name("traces".into())
            .spawn(move || {
                // Reading the system's certificates takes a while.
                match HttpClient::new([]) {
                    Ok(client) => runtime.block_on(
                        Exporting {
                            options,
                            client,
                            spans,
                            metrics,
                            stop,
                        }
                        .run(),
                    ),
                    Err(error) => tracing::error!(%error, "cannot export traces"),
                }
                // Nobody may wait for it any more.
                let _gone = end.send(());
            })?;
        Ok(Self { stopping, ended })
    }

    /// Sends what waits, each batch once, for a short time at most.
    pub(crate) fn stop(self) {
        // A thread that has ended hears nothing.
        let _ended = self.stopping.send(true);
        if self.ended.recv_timeout(FLUSH_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the collector of traces did not take the last spans in time");
        }
    }
}

/// What the thread owns.
struct Exporting {
    options: Options,
    client: HttpClient,
    spans: mpsc::Receiver<Span>,
    metrics: Arc<Metrics>,
    /// Whether the hub ends.
    stop: watch::Receiver<bool>,
}

impl Exporting {
    /// Sends batch after batch, until the hub ends and nothing waits.
    async fn run(mut self) {
        let mut batch = Vec::new();
        let mut failing = false;
        while self.gather(&mut batch).await {
            let count = batch.len() as u64;
            let body = Bytes::from(otlp::request(&self.options.resource, &batch));
            batch.clear();
            let (failed, error) = match self.deliver(&body).await {
                Ok(answer) => match otlp::rejected(answer.body()).min(count) {
                    0 => (0, None),
                    rejected => (rejected, Some(ExportError::Rejected)),
                },
                Err(error) => (count, Some(error)),
            };
            let metrics = &self.metrics.traces;
            metrics.exported.inc_by(count - failed);
            metrics.failed.inc_by(failed);
            // Once for each time that it begins.
            if let Some(error) = error.as_ref().filter(|_| !failing) {
                let endpoint = self.options.shown();
                tracing::warn!(%error, endpoint, spans = failed, "cannot export traces");
            }
            failing = error.is_some();
        }
    }

    /// Waits for spans, and then a moment for more. Returns false if there will be none.
    async fn gather(&mut self, batch: &mut Vec<Span>) -> bool {
        let waiting = async {
            self.spans.recv_many(batch, BATCH_MAX).await;
            let more = async {
                // It returns 0 at the bound too.
                while self.spans.recv_many(batch, BATCH_MAX - batch.len()).await > 0 {}
            };
            // What has come by then is sent.
            drop(timeout(BATCH_WAIT, more).await);
        };
        tokio::select! {
            () = waiting => {}
            () = stopped(&mut self.stop) => {
                while batch.len() < BATCH_MAX && let Ok(span) = self.spans.try_recv() {
                    batch.push(span);
                }
            }
        }
        !batch.is_empty()
    }

    /// Sends a batch, again if the collector is away or busy. The last attempt is the first one after the hub was
    /// told to end.
    async fn deliver(&mut self, body: &Bytes) -> Result<Response<Bytes>, ExportError> {
        let mut wait = RETRY_WAIT;
        let mut attempt = 1;
        loop {
            let (error, asked) = match send(&self.options, &self.client, body).await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) => {
                    let status = answer.status();
                    if !is_passing(status) {
                        return Err(ExportError::Status(status));
                    }
                    (ExportError::Status(status), retry_after(&answer))
                }
                Err(error) => (error, None),
            };
            if attempt >= ATTEMPTS_MAX || *self.stop.borrow() {
                return Err(error);
            }
            attempt += 1;
            // Hubs that lost the same collector do not come back in step.
            let wait_now = asked.unwrap_or_else(|| wait.mul_f64(0.5 + fastrand::f64() / 2.0));
            // Whether the time is over or the hub ends, the next attempt comes.
            drop(timeout(wait_now, stopped(&mut self.stop)).await);
            wait *= 2;
        }
    }
}

/// Waits until the hub ends.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without a sender, it has ended.
    let _gone = stop.wait_for(|stopping| *stopping).await;
}

async fn send(
    options: &Options,
    client: &HttpClient,
    body: &Bytes,
) -> Result<Response<Bytes>, ExportError> {
    let mut request = Request::post(options.endpoint.as_str()).body(body.clone())?;
    *request.headers_mut() = options.headers.clone();
    let media_type = HeaderValue::from_static(otlp::MEDIA_TYPE);
    request.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(client.send(request, BOUNDS).await?)
}

/// Returns whether a status means that trying again may help; OTLP, "Retryable Response Codes".
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Returns how long the collector wants to be left alone, within bounds.
fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let field = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let secs = field.trim().parse().ok()?;
    Some(Duration::from_secs(secs).min(RETRY_AFTER_MAX))
}
