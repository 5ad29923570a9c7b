//! The door of the subscription API: from path and query to a question, the asker's grant, and the document with its
//! cursor and validator. `presence` knows the live subscriptions.
//!
//! Mercure, "Subscription API"; paging and filters are ours (`docs/reference/presence.md`).

use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, LINK, VARY};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use tidings_auth::{Identity, Role};
use tidings_core::dialect::Dialect;
use tidings_core::event_id::{EARLIEST, EventId};
use tidings_core::matcher::MatcherType;
use tidings_core::subject::Subject;
use tidings_wire::form;
use tidings_wire::subscription_document::{BELOW_HUB, CONTEXT};

use super::authorize::{Asking, identify_in};
use super::problem::Problem;
use super::{Body, respond, respond_empty};
use crate::http::Site;
use tidings_hub::presence::Presence;
use tidings_hub::presence::question::{About, Answer, Found, Known, Page, Question};
use tidings_hub::refusal::Refusal;
use tidings_hub::subscribing;

/// Caches may store the response, and must revalidate it each time.
const CACHED: HeaderValue = HeaderValue::from_static("private, no-cache");
/// The response, and its dialect, depend on the token.
const VARIES: HeaderValue = HeaderValue::from_static("Authorization, Cookie");

/// Returns whether `path` names subscriptions of the hub at `hub`.
pub(crate) fn is_below(hub: &str, path: &str) -> bool {
    below(hub, path).is_some()
}

/// Returns the rest of the path below that of all subscriptions.
fn below<'a>(hub: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(hub)?.strip_prefix(BELOW_HUB)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Answers a question about subscriptions.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn answer<B>(
    site: &Rc<Site>,
    request: &Request<B>,
) -> Result<Response<Body>, Problem> {
    let presence = site.presence().ok_or_else(|| {
        let detail = "this hub does not track subscriptions (presence.enabled)";
        Refusal::not_found("presence-off", "Not found", detail)
    })?;
    let identity = identify_asker(site, request).await?;
    let dialect = identity.dialect;
    let answered = answer_to(site, presence, &identity, request).await;
    answered.map_err(|problem| problem.said_in(dialect, site.config().explain_refusals))
}

async fn answer_to<B>(
    site: &Rc<Site>,
    presence: &Presence,
    identity: &Identity,
    request: &Request<B>,
) -> Result<Response<Body>, Problem> {
    let dialect = identity.dialect;
    check_grant(site, identity, request.uri().path())?;
    let question = question(site, dialect, request.uri(), request.headers()).await?;
    let Some(about) = question else {
        return Err(Problem::not_found());
    };
    let answer = presence.ask(about).await.ok_or_else(|| {
        let detail = "too many questions about subscriptions at once; try again".to_owned();
        Refusal::unavailable("busy", "The hub is busy", detail)
    })?;
    Ok(respond_with(site, dialect, request.uri(), answer))
}

/// Returns the identity of the asker. Only its token shows the dialect of the response.
async fn identify_asker<B>(site: &Site, request: &Request<B>) -> Result<Arc<Identity>, Problem> {
    let asking = Asking {
        headers: request.headers(),
        query: request.uri().query().unwrap_or_default(),
        // A 0.x token may be in the places of its dialect, if that is served.
        dialect: if site.config().dialects.v0 {
            Dialect::V0
        } else {
            Dialect::V1
        },
    };
    let identity = identify_in(site, asking, Role::Subscribe).await?;
    identity.ok_or_else(|| {
        Refusal::token_missing(
            "subscriptions are shown to holders of a token that may subscribe to this path",
        )
        .into()
    })
}

/// Checks that the token grants the path, as if it were a topic.
fn check_grant(site: &Site, identity: &Identity, path: &str) -> Result<(), Problem> {
    if identity
        .grants
        .allows_read(&[Subject::from_text(path, site.hub())])
    {
        return Ok(());
    }
    let detail = if site.config().explain_refusals {
        format!("the token has no subscribe grant for \"{path}\"")
    } else {
        "the token does not allow subscribing to this path".to_owned()
    };
    Err(Refusal::scope_insufficient(detail).into())
}

/// Parses path, query and validators. None if the path names nothing.
async fn question(
    site: &Site,
    dialect: Dialect,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<Question>, Problem> {
    let Some(about) = about(site, dialect, uri.path()).await? else {
        return Ok(None);
    };
    let mut question = Question {
        dialect,
        about,
        known: known(headers),
        ..Question::all()
    };
    for pair in form::pairs(uri.query().unwrap_or_default().as_bytes()) {
        let name = String::from_utf8_lossy(&pair.name_bytes()).into_owned();
        let Ok(value) = pair.value() else {
            let detail = format!("the value of {name} is not UTF-8");
            return Err(Refusal::invalid("not-utf8", "Not UTF-8", detail).into());
        };
        match name.as_str() {
            // An empty filter counts as absent.
            "topic" | "pattern" | "subscriber" | "after" | "limit" if value.is_empty() => {}
            "topic" => question.topic = Some(value.into_owned()),
            "pattern" => {
                let pattern = site
                    .compiler()
                    .compile(MatcherType::UrlPattern, &value)
                    .await;
                question.pattern = Some(subscribing::named("pattern", pattern)?);
            }
            "subscriber" => {
                if let About::All = question.about {
                    question.about = About::Subscriber(value.into_owned());
                }
            }
            "after" => question.after = number(&name, &value)?,
            "limit" => {
                let limit: u64 = number(&name, &value)?;
                question.limit = Some(usize::try_from(limit.max(1)).unwrap_or(usize::MAX));
            }
            "count_only" => question.count_only = !matches!(&*value, "false" | "0"),
            // Other parameters are ignored, as everywhere in Mercure.
            _ => {}
        }
    }
    Ok(Some(question))
}

fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_not_a_number| {
        let detail = format!("{name} is {value:?}; write a whole number");
        Refusal::invalid("page-invalid", "Page not understood", detail).into()
    })
}

/// Parses the path.
async fn about(site: &Site, dialect: Dialect, path: &str) -> Result<Option<About>, Problem> {
    let Some(rest) = below(site.hub().path(), path) else {
        return Ok(None);
    };
    let parts: Result<Vec<String>, Problem> = rest.split('/').skip(1).map(decode).collect();
    let parts = parts?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (kinds, pattern, subscriber) = match (dialect, parts.as_slice()) {
        (_, []) => return Ok(Some(About::All)),
        (Dialect::V1, [kind, pattern]) => (of_name(kind), *pattern, None),
        (Dialect::V1, [kind, pattern, subscriber]) => (of_name(kind), *pattern, Some(*subscriber)),
        (Dialect::V0 | Dialect::V2019, [pattern]) => (every_type().collect(), *pattern, None),
        (Dialect::V0 | Dialect::V2019, [pattern, subscriber]) => {
            (every_type().collect(), *pattern, Some(*subscriber))
        }
        (_, _) => return Ok(None),
    };
    if kinds.is_empty() {
        return Ok(None);
    }
    let mut compiler = site.compiler();
    let mut matchers = Vec::with_capacity(kinds.len());
    for kind in kinds {
        // Nobody can have subscribed with an invalid pattern.
        matchers.extend(compiler.compile(kind, pattern).await);
    }
    Ok(Some(match subscriber {
        None => About::Matchers(matchers),
        Some(subscriber) => About::One(matchers, subscriber.to_owned()),
    }))
}

/// Returns only the type of this name, or no type.
fn of_name(name: &str) -> Vec<MatcherType> {
    every_type().filter(|kind| kind.name() == name).collect()
}

/// Returns the types of 1.0 and that of 0.x: subscriptions are listed by all of them.
fn every_type() -> impl Iterator<Item = MatcherType> {
    MatcherType::ALL
        .into_iter()
        .chain([MatcherType::UriTemplate])
}

fn decode(part: &str) -> Result<String, Problem> {
    let decoded = percent_decode_str(part).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_not_utf8| {
            let detail = format!("the part {part:?} of the path is not UTF-8");
            Refusal::invalid("not-utf8", "Not UTF-8", detail).into()
        })
}

/// Parses `If-None-Match`. A weak validator counts like a strong one; RFC 9110, 13.1.2.
fn known(headers: &HeaderMap) -> Known {
    let fields = headers.get_all(IF_NONE_MATCH).iter();
    let texts = fields.filter_map(|field| field.to_str().ok());
    let tags: Vec<&str> = texts
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .collect();
    if tags.contains(&"*") {
        return Known::Any;
    }
    let versions = tags.into_iter().filter_map(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let version = tag.strip_prefix('"')?.strip_suffix('"')?;
        Some(version.to_owned())
    });
    Known::Versions(versions.collect())
}

fn respond_with(site: &Site, dialect: Dialect, uri: &Uri, answer: Answer) -> Response<Body> {
    let media_type = match dialect {
        Dialect::V1 => "application/json",
        Dialect::V0 | Dialect::V2019 => "application/ld+json",
    };
    let cursor = answer.cursor.as_ref().map_or(EARLIEST, EventId::as_str);
    let mut next = None;
    let mut response = match answer.found {
        Found::Nothing => Problem::not_found().into_response(),
        Found::Known => respond_empty(StatusCode::NOT_MODIFIED),
        Found::One(document) => respond(StatusCode::OK, media_type, document),
        Found::Page(page) => {
            next = page.next.map(|number| next_page(uri, number));
            let document = collection(dialect, uri, &page, next.as_deref(), cursor);
            respond(StatusCode::OK, media_type, document)
        }
    };
    let exists = response.status() != StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    if exists {
        // A 0.x document contains the cursor, which changes with every update.
        let weak = match dialect {
            Dialect::V1 => "",
            Dialect::V0 | Dialect::V2019 => "W/",
        };
        set(headers, ETAG, &format!("{weak}\"{}\"", answer.version));
        headers.insert(CACHE_CONTROL, CACHED);
        headers.insert(VARY, VARIES);
    }
    set(headers, LINK, &hub_link(site, dialect, cursor));
    if let Some(next) = next
        && let Ok(value) = HeaderValue::from_str(&format!("<{next}>; rel=\"next\""))
    {
        headers.append(LINK, value);
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
        headers.insert(name, value);
    }
}

/// Returns the link to the hub, and the cursor to continue from.
fn hub_link(site: &Site, dialect: Dialect, cursor: &str) -> String {
    let hub = site.hub();
    match dialect {
        Dialect::V1 => {
            let cursor = cursor.replace('\\', "\\\\").replace('"', "\\\"");
            format!(
                "<{hub}>; rel=\"mercure\"; last-event-id=\"{cursor}\"; type=\"mercure\"; \
                 content-type=\"application/json\""
            )
        }
        // The document contains it.
        Dialect::V0 | Dialect::V2019 => format!("<{hub}>; rel=\"mercure\""),
    }
}

/// Returns the link to the next page.
fn next_page(uri: &Uri, after: u64) -> String {
    let mut next = without(uri, &["after", "authorization"]);
    let separator = if next.contains('?') { '&' } else { '?' };
    // Writing to a String cannot fail.
    write!(next, "{separator}after={after}").ok();
    next
}

/// Returns path and query without these parameters. A token in particular is left out, because responses may be
/// stored and shown to others.
fn without(uri: &Uri, names: &[&str]) -> String {
    let mut kept = uri.path().to_owned();
    let query = uri.query().unwrap_or_default();
    let others = query.split('&').filter(|pair| {
        let named = form::pairs(pair.as_bytes()).next();
        let is_named =
            |name: &&str| named.is_some_and(|pair| *pair.name_bytes() == *name.as_bytes());
        !pair.is_empty() && !names.iter().any(is_named)
    });
    for (index, pair) in others.enumerate() {
        kept.push(if index == 0 { '?' } else { '&' });
        kept.push_str(pair);
    }
    kept
}

fn collection(
    dialect: Dialect,
    uri: &Uri,
    page: &Page,
    next: Option<&str>,
    cursor: &str,
) -> String {
    let id = without(uri, &["authorization"]);
    let mut document = match dialect {
        Dialect::V1 => format!("{{\"id\":{},\"type\":\"subscriptions\"", json(&id)),
        Dialect::V0 | Dialect::V2019 => format!(
            "{{\"@context\":\"{CONTEXT}\",\"id\":{},\"type\":\"Subscriptions\",\"lastEventID\":{}",
            json(&id),
            json(cursor)
        ),
    };
    if let Some(total) = page.total {
        write!(document, ",\"total\":{total}").ok();
    }
    if let Some(next) = next {
        write!(document, ",\"next\":{}", json(next)).ok();
    }
    write!(document, ",\"subscriptions\":[{}]}}", page.items).ok();
    document
}

fn json(text: &str) -> serde_json::Value {
    serde_json::Value::from(text)
}
