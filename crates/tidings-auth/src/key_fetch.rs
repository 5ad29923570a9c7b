//! Fetches a key set: one GET over HTTPS, bounded in time and size, that follows no redirect.
//!
//! The address comes from the configuration alone, never from a token (`jku`), and a redirect is refused.
//!
//! Mercure, "Token Validation"; RFC 8725, 3.10.

use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};

use super::http_client::{Bounds, ExchangeError, HttpClient};
use super::key_set::DOCUMENT_BYTES_MAX;

/// Fetches key sets. Trusts the authorities that the system trusts.
#[derive(Debug)]
pub struct Fetcher {
    client: HttpClient,
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no response.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The response is a redirect.
    #[error("the server redirects ({0}), and redirects are not followed: write the final address")]
    Redirect(StatusCode),
    /// The response has an error status.
    #[error("the server answered {0}")]
    Status(StatusCode),
}

impl FetchError {
    /// Returns the label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Exchange(error) => error.reason(),
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
        }
    }
}

impl Fetcher {
    /// Makes a fetcher that trusts the system's authorities.
    ///
    /// # Errors
    ///
    /// As [`HttpClient::new`].
    pub fn new() -> Result<Self, rustls::Error> {
        let client = HttpClient::new([])?;
        Ok(Self { client })
    }

    /// Fetches a document.
    ///
    /// # Errors
    ///
    /// Why it failed.
    pub async fn fetch(&self, url: &url::Url) -> Result<Vec<u8>, FetchError> {
        let request = Request::get(url.as_str())
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Bytes::new())
            .map_err(|_malformed| ExchangeError::Address)?;
        let answer = self.client.send(request, BOUNDS).await?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(FetchError::Redirect(status));
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status(status));
        }
        Ok(answer.into_body().into())
    }
}

/// The bounds of a fetch.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(10),
    body_bytes_max: DOCUMENT_BYTES_MAX,
};
