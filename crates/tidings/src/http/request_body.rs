//! Reads a request's body: bounded in bytes and in time.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, EXPECT};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::ConnectionInfo;
use super::problem::Problem;
use crate::http::Site;
use tidings_hub::account::{COVERED_BYTES_MAX, Charge, Kind, OverLimit};
use tidings_hub::refusal::Refusal;

/// The encoding of publications; Mercure, "Publication".
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// Reads a whole body of at most `bytes_max` bytes. The charge books it, and what is parsed from it, until the
/// response.
///
/// # Errors
///
/// 413 beyond the limit, 408 if it takes longer than `limits.body_timeout_secs`, 400 if it breaks off, 429 or
/// 503 if there is no room for it.
pub(crate) async fn read(
    site: &Site,
    info: &ConnectionInfo,
    body: Incoming,
    bytes_max: usize,
) -> Result<(Bytes, Charge), Problem> {
    // Refused at once if the length is known, instead of at the limit.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(site, bytes_max));
    }
    let patience = site.config().limits.body;
    let mut charge = info.holder.book(Kind::RequestBody, 0);
    match timeout(patience, gather(body, bytes_max, &mut charge)).await {
        Ok(Ok(gathered)) => Ok((gathered, charge)),
        Ok(Err(GatherError::TooLong)) => Err(too_large(site, bytes_max)),
        Ok(Err(GatherError::Refused(refusal))) => Err(Problem::from(refusal)),
        Ok(Err(GatherError::Broken(error))) => {
            let detail = format!("the request body broke off: {error}");
            Err(Refusal::invalid("body-incomplete", "Request body broke off", detail).into())
        }
        Err(_elapsed) => Err(Problem::new(
            http::StatusCode::REQUEST_TIMEOUT,
            "body-timeout",
            "Request body too slow",
            format!(
                "the request body did not arrive within {} s",
                patience.as_secs()
            ),
        )),
    }
}

/// Why a body was not read.
enum GatherError {
    TooLong,
    Refused(OverLimit),
    Broken(hyper::Error),
}

/// Returns a whole body of at most `bytes_max` bytes, and books its memory.
///
/// Copies the body together, unless it comes in one piece. Otherwise a peer that sends each byte as a chunk would
/// hold a piece of hyper's buffers for each. A short body is covered by the charge of its connection or stream, so
/// that short updates pass even if the limits are reached.
async fn gather(
    mut body: Incoming,
    bytes_max: usize,
    charge: &mut Charge,
) -> Result<Bytes, GatherError> {
    let mut gathered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(GatherError::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if gathered.len() + data.len() > bytes_max {
            return Err(GatherError::TooLong);
        }
        if gathered.is_empty() && body.is_end_stream() {
            if data.len() > COVERED_BYTES_MAX {
                charge.resize(data.len()).map_err(GatherError::Refused)?;
            }
            return Ok(data);
        }
        // Twice the bytes so far, since the buffer doubles.
        let bytes = 2 * (gathered.len() + data.len());
        charge.resize(bytes).map_err(GatherError::Refused)?;
        gathered.extend_from_slice(&data);
    }
    Ok(gathered.freeze())
}

/// Reads and drops a body, so that the refusal of its request arrives.
///
/// If the connection closes while the peer is still sending, a reset may destroy the refusal, and a kept
/// connection would be lost (RFC 9112, 9.6). Gives up at the bounds of [`read`]. A peer that waits for
/// `100 (Continue)` has sent nothing yet.
pub(crate) async fn discard(
    site: &Site,
    headers: &HeaderMap,
    mut body: Incoming,
    bytes_max: usize,
) {
    if headers.contains_key(EXPECT) || body.size_hint().lower() > bytes_max as u64 {
        return;
    }
    let all = async {
        let mut left = bytes_max;
        while let Some(Ok(frame)) = body.frame().await {
            let count = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(count) else {
                return;
            };
            left = rest;
        }
    };
    // Whatever happens to the body, the refusal is sent.
    drop(timeout(site.config().limits.body, all).await);
}

fn too_large(site: &Site, bytes_max: usize) -> Problem {
    let mut detail = format!("the request body is longer than {bytes_max} bytes");
    // Other bodies have fixed limits.
    if bytes_max == site.config().publish.body_bytes_max {
        detail.push_str(" (publish.body_bytes_max)");
    }
    Refusal::too_large("body-too-large", "Request body too large", detail).into()
}

/// Returns the media type of a request's body without its parameters, in its original case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?;
    let text = value.to_str().unwrap_or("?");
    Some(text.split(';').next().unwrap_or_default().trim())
}

/// Refuses a body that is not a form. A body without a type counts as a form.
///
/// # Errors
///
/// 415, naming the type.
pub(crate) fn require_form(headers: &HeaderMap) -> Result<(), Problem> {
    match media_type(headers) {
        None => Ok(()),
        Some(found) if found.eq_ignore_ascii_case(FORM) => Ok(()),
        Some(found) => Err(Problem::new(
            http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type-unsupported",
            "Media type not supported",
            format!("the body is {found:?}; send {FORM:?}"),
        )),
    }
}
