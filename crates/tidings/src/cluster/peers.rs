//! Asks other hubs of the cluster for updates, over HTTP. What they answer with is in `http/peers`, what a
//! hub does with it in `tidings-cluster`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use tidings_auth::http_client::{Bounds, HttpClient};
use tidings_cluster::page::{Ask, Page};
use tidings_cluster::peers::{PATH, PeerCall, PeerError, Peers};

/// The bounds of one page. It has one update at least, whatever its size.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(10),
    body_bytes_max: 256 * 1024 * 1024,
};

/// What a hub presents to the others of its cluster. Never shown.
#[derive(Clone)]
pub struct PeerToken(Arc<str>);

impl PeerToken {
    /// Takes a token that was checked.
    pub(crate) fn new(token: String) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for PeerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerToken(hidden)")
    }
}

/// The other hubs.
#[derive(Debug)]
pub(super) struct Hubs {
    client: HttpClient,
    token: PeerToken,
}

impl Hubs {
    /// Makes the way to the other hubs.
    ///
    /// # Errors
    ///
    /// The system's authorities cannot be used.
    pub(super) fn new(token: PeerToken) -> Result<Self, rustls::Error> {
        let client = HttpClient::new([])?;
        Ok(Self { client, token })
    }

    async fn ask(&self, address: &str, ask: Ask) -> Result<Page, PeerError> {
        let Ask { after, through } = ask;
        let url = format!("{address}{PATH}?after={after}&through={through}");
        let mut token = HeaderValue::try_from(format!("Bearer {}", self.token.0))
            .map_err(|_invalid| PeerError::Token)?;
        token.set_sensitive(true);
        let request = Request::get(url).header(AUTHORIZATION, token);
        let request = request
            .body(Bytes::new())
            .map_err(|_invalid| PeerError::Address)?;
        let response = self.client.send(request, BOUNDS).await;
        let response = response.map_err(|error| PeerError::Unreachable {
            cause: Arc::new(error),
        })?;
        match response.status() {
            StatusCode::OK => Ok(Page::decode(response.body())?),
            StatusCode::UNAUTHORIZED => Err(PeerError::Token),
            StatusCode::FORBIDDEN => Err(PeerError::Off),
            other => Err(PeerError::Refused {
                status: other.as_u16(),
            }),
        }
    }
}

impl Peers for Hubs {
    fn fetch(&self, address: Arc<str>, ask: Ask) -> PeerCall<'_> {
        Box::pin(async move { self.ask(&address, ask).await })
    }
}
