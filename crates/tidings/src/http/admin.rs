//! The admin API, below `/admin/v1/` at the operators' listener: what a running hub does, and what operators do to
//! it. Every route is in [`ROUTES`], and none answers without the token of operators.
//!
//! `docs/reference/admin.md` describes it, `openapi.json` specifies it.

mod connections;
pub(crate) mod desk;
mod explain;
mod history;
mod state;
mod tokens;

use std::rc::Rc;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidings_wire::form;

use self::desk::Desk;
use super::page;
use super::problem::Problem;
use super::{Body, ConnectionInfo, request_body, respond};
use crate::http::Site;
use tidings_hub::refusal::Refusal;

/// What the paths of the API begin with.
const BELOW: &str = "/admin/v1/";
/// Bytes of the body of a command.
const BODY_BYTES_MAX: usize = 64 * 1024;
const JSON: &str = "application/json";
/// The specification of the API.
const OPENAPI: &str = include_str!("admin/openapi.json");

/// A route: method, path below [`BELOW`], and what answers.
type Row = (Verb, &'static str, Call);

/// A method that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    Post,
}

/// What a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    State,
    Rates,
    Topics,
    Connections,
    Disconnect,
    Revocations,
    Revoke,
    Reinstate,
    History,
    Purge,
    Explain,
    Reload,
    Drain,
    OpenApi,
}

const ROUTES: &[Row] = &[
    (Verb::Get, "state", Call::State),
    (Verb::Get, "rates", Call::Rates),
    (Verb::Get, "topics", Call::Topics),
    (Verb::Get, "connections", Call::Connections),
    (Verb::Post, "disconnect", Call::Disconnect),
    (Verb::Get, "revocations", Call::Revocations),
    (Verb::Post, "revoke", Call::Revoke),
    (Verb::Post, "reinstate", Call::Reinstate),
    (Verb::Get, "history", Call::History),
    (Verb::Post, "purge", Call::Purge),
    (Verb::Post, "explain", Call::Explain),
    (Verb::Post, "reload", Call::Reload),
    (Verb::Post, "drain", Call::Drain),
    (Verb::Get, "openapi.json", Call::OpenApi),
];

/// What a call is answered from.
struct Asked<'a> {
    site: &'a Rc<Site>,
    info: &'a ConnectionInfo,
    desk: &'a Desk,
    query: Query,
    body: Vec<u8>,
}

/// Returns whether a path is one of the API.
pub(crate) fn is_below(path: &str) -> bool {
    path.starts_with(BELOW)
}

/// Answers a request of the API.
///
/// # Errors
///
/// The refusal. Without the token, nothing is looked at but the token.
pub(crate) async fn answer(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    check_page(request.headers())?;
    check_token(site, request.headers())?;
    let (head, body) = request.into_parts();
    let call = find(&head.method, head.uri.path())?;
    let desk = site.desk().ok_or_else(Problem::not_found)?;
    let (body, _charge) = request_body::read(site, info, body, BODY_BYTES_MAX).await?;
    let asked = Asked {
        site,
        info,
        desk,
        query: Query::parse(head.uri.query().unwrap_or_default())?,
        body: body.to_vec(),
    };
    let (status, value) = asked.answer(call).await?;
    let mut response = respond(status, JSON, value.to_string());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Asked<'_> {
    async fn answer(&self, call: Call) -> Result<(StatusCode, Value), Problem> {
        let value = match call {
            Call::State => state::state(self),
            Call::Rates => state::rates(self).await?,
            Call::Topics => state::topics(self).await?,
            Call::Connections => connections::list(self).await?,
            Call::Disconnect => connections::disconnect(self).await?,
            Call::Revocations => tokens::list(self),
            Call::Revoke => tokens::revoke(self).await?,
            Call::Reinstate => tokens::reinstate(self).await?,
            Call::History => history::browse(self).await?,
            Call::Purge => history::purge(self).await?,
            Call::Explain => explain::explain(self).await?,
            Call::Reload => state::reload(self).await?,
            Call::Drain => return Ok((StatusCode::ACCEPTED, state::drain(self)?)),
            Call::OpenApi => serde_json::from_str(OPENAPI).unwrap_or_default(),
        };
        Ok((StatusCode::OK, value))
    }

    /// Parses the body of a command. An empty one counts as `{}`.
    fn command<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body: &[u8] = if self.body.is_empty() {
            b"{}"
        } else {
            &self.body
        };
        serde_json::from_slice(body).map_err(|error| {
            let detail =
                format!("the body is not the JSON object that this command takes: {error}");
            invalid("body-invalid", detail)
        })
    }
}

/// Finds the route.
fn find(method: &Method, path: &str) -> Result<Call, Problem> {
    let name = path.strip_prefix(BELOW).unwrap_or_default();
    let (verb, _, call) = ROUTES
        .iter()
        .find(|(_, known, _)| *known == name)
        .ok_or_else(Problem::not_found)?;
    let (allowed, allow) = match verb {
        Verb::Get => (method == Method::GET || method == Method::HEAD, "GET, HEAD"),
        Verb::Post => (method == Method::POST, "POST"),
    };
    if allowed {
        Ok(*call)
    } else {
        Err(Problem::method_not_allowed(allow))
    }
}

/// Refuses pages other than those of this listener. They would need the token, and must not try.
fn check_page(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = format!("http://{}", host.unwrap_or_default());
    let own_by_proxy = format!("https://{}", host.unwrap_or_default());
    match page::asking(headers, &own) {
        Some(origin) if origin != own && origin != own_by_proxy => {
            let detail = format!("{origin} is not the origin of this listener's own pages");
            Err(Problem::page_refused(detail))
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses whoever does not present the token of operators in the field `Authorization` (RFC 6750, 2.1).
fn check_token(site: &Site, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &site.config().admin_token else {
        let detail = "this hub has no admin API: admin.token_file or admin.token switches it on";
        let (status, title) = (StatusCode::FORBIDDEN, "No admin API");
        return Err(Problem::new(status, "admin-off", title, detail));
    };
    let Some(presented) = bearer(headers) else {
        let detail = "the admin API needs the token of operators (admin.token) in one field, \
                      Authorization: Bearer TOKEN";
        return Err(Refusal::token_missing(detail).into());
    };
    if token.is(presented) {
        return Ok(());
    }
    let detail = "this is not the token of operators (admin.token)";
    Err(Refusal::operator_refused(detail).into())
}

/// Returns the token that a request presents: nothing without one field `Authorization`, an empty one if it has
/// none of this scheme (RFC 6750, 2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let (scheme, token) = field
        .to_str()
        .unwrap_or_default()
        .split_once(' ')
        .unwrap_or_default();
    let token = token.trim();
    Some(if scheme.eq_ignore_ascii_case("bearer") {
        token
    } else {
        ""
    })
}

fn invalid(name: &'static str, detail: impl Into<String>) -> Problem {
    Refusal::invalid(name, "Not understood", detail).into()
}

/// The parameters of a request.
#[derive(Debug)]
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Result<Self, Problem> {
        let pairs = form::pairs(text.as_bytes()).map(|pair| {
            let name = String::from_utf8_lossy(&pair.name_bytes()).into_owned();
            match pair.value() {
                Ok(value) => Ok((name, value.into_owned())),
                Err(_) => Err(invalid(
                    "not-utf8",
                    format!("the value of {name} is not UTF-8"),
                )),
            }
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the first value of a parameter. An empty one counts as absent.
    fn text(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let found = pairs.find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// Returns a parameter of another type.
    fn value<T: std::str::FromStr>(&self, name: &str, form: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_other| {
            invalid(
                "parameter-invalid",
                format!("{name} is {text:?}; write {form}"),
            )
        })
    }

    /// Returns how many entries a page has.
    fn limit(&self, usual: usize, max: usize) -> Result<usize, Problem> {
        let limit = self.value("limit", "a whole number")?.unwrap_or(usual);
        Ok(limit.clamp(1, max))
    }
}

/// Returns an identity in short, with the id by which its token can be revoked.
fn identity(identity: Option<&Arc<tidings_auth::Identity>>) -> Value {
    let Some(identity) = identity else {
        return Value::Null;
    };
    let until = identity.expires_at;
    json!({
        "subject": identity.subject,
        "issuer": identity.issuer,
        "token_id": identity.token_id,
        "expires_at": (until != tidings_auth::NEVER).then_some(until),
        "dialect": identity.dialect.name(),
    })
}
