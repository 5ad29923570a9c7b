//! Requests to the authority, bounded in time and size. Remembers when the authority wants to be asked again.

use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error};
use tidings_auth::http_client::{Bounds, HttpClient};

/// The bounds of one request. A certificate chain has some kilobytes.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(30),
    body_bytes_max: 256 * 1024,
};
/// The longest wait that an authority can impose: the window of the longest rate limit in use.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(7 * 24);

/// Sends requests. Clones share what was remembered.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: HttpClient,
    /// Seconds to wait, from the last refusal that says so; zero: none did.
    retry_after_secs: Arc<AtomicU64>,
}

impl Transport {
    pub(super) fn new(client: HttpClient) -> Self {
        Self {
            client,
            retry_after_secs: Arc::default(),
        }
    }

    /// Forgets what earlier responses said.
    pub(super) fn forget(&self) {
        self.retry_after_secs.store(0, Ordering::Relaxed);
    }

    /// Returns how long the authority wants not to be asked, if it refused something and said so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let secs = self.retry_after_secs.load(Ordering::Relaxed);
        (secs > 0).then(|| Duration::from_secs(secs))
    }

    fn heed(&self, response: &Response<Bytes>) {
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return;
        }
        let field = response.headers().get(RETRY_AFTER);
        let wait = field
            .and_then(|field| field.to_str().ok())
            .and_then(|text| wait_of(text, SystemTime::now()));
        if let Some(wait) = wait {
            let wait = wait.clamp(Duration::from_secs(1), RETRY_AFTER_MAX);
            self.retry_after_secs
                .store(wait.as_secs(), Ordering::Relaxed);
        }
    }
}

/// Returns the time of a `Retry-After`; RFC 9110, 10.2.3.
fn wait_of(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = SystemTime::from(httpdate::HttpDate::from_str(text).ok()?);
    Some(at.duration_since(now).unwrap_or_default())
}

impl instant_acme::HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let transport = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await;
            let body = body.map(http_body_util::Collected::to_bytes);
            let request = Request::from_parts(parts, body.unwrap_or_default());
            let response = transport.client.send(request, BOUNDS).await;
            let response = response.map_err(|error| Error::Other(Box::new(error)))?;
            transport.heed(&response);
            Ok(BytesResponse::from(response.map(Full::new)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("120", Some(120)),
            (" 3 ", Some(3)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            // A date that has passed.
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let found = wait_of(text, now);
            assert_eq!(found, expected.map(Duration::from_secs), "{text:?}");
        }
    }
}
