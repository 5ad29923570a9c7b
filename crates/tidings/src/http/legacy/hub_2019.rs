//! The door of Mercure 2019, at its own path: the responses of its hub by method. Authorization is the same for all
//! dialects: see `authorize`.

use std::rc::Rc;

use http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use tidings_core::dialect::Dialect;

use crate::http::Site;
use crate::http::problem::Problem;
use crate::http::{Answer, ConnectionInfo, client, cors, publish, subscribe};

const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// Answers a request at the path of 2019.
///
/// # Errors
///
/// The refusal. If the dialect is off, it names the setting.
pub(crate) async fn answer(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let dialect = Dialect::V2019;
    if !site.config().dialects.v2019 {
        let detail = "this is the path of Mercure 2019, which this hub does not serve; \
                      dialects.v2019 = true switches it on";
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            detail,
        ));
    }
    let peer = client::shown(info.peer);
    match *request.method() {
        Method::GET | Method::HEAD => {
            subscribe::old(site, info, dialect, Some(&peer), request).await
        }
        Method::POST => {
            let response = publish::hub(site, info, dialect, Some(&peer), request).await?;
            Ok(Answer::Response(response))
        }
        Method::OPTIONS => {
            let origins = &site.config().cors.origins;
            Ok(Answer::Response(cors::preflight_2019(
                origins,
                request.headers(),
            )))
        }
        _ => {
            let explain = site.config().explain_refusals;
            Err(Problem::method_not_allowed(METHODS).said_in(dialect, explain))
        }
    }
}

/// Adds the fields that this hub sent to browsers with every response.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-xss-protection", "1; mode=block"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'self'"));
}
