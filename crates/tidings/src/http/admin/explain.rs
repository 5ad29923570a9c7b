//! Who gets an update, and why not. Every answer comes from the code that decides it for publishers and
//! subscribers; nothing is decided here.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::connections::connection;
use super::{Asked, identity, invalid};
use crate::http::problem::Problem;
use tidings_auth::{Door, Identity, Role};
use tidings_core::event_id::EventId;
use tidings_core::matcher::Matcher;
use tidings_core::update::{Draft, IdSource, Update};
use tidings_hub::clock::unix_ms;
use tidings_hub::ingest::Publisher;
use tidings_hub::posted::Posted;
use tidings_hub::refusal::Refusal;
use tidings_hub::session::Verdict;
use tidings_hub::shard::looking::{Described, Filter};
use tidings_wire::publish_form::PublishForm;

/// Connections that an answer lists.
const LISTED_MAX: usize = 50;
/// The id of the update that is asked about, which is never published.
const ID: &str = "urn:tidings:explained";

/// What is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    /// The topics of an update, canonical first.
    topics: Vec<String>,
    /// Whether the update is private.
    #[serde(default)]
    private: bool,
    /// A token: may its holder publish the update, and read it?
    token: Option<String>,
    /// Only connections whose tokens have this subject.
    subject: Option<String>,
    /// Only this connection.
    connection: Option<String>,
}

/// Answers who gets an update.
pub(super) async fn explain(asked: &Asked<'_>) -> Result<Value, Problem> {
    let command: Explain = asked.command()?;
    let form = || PublishForm {
        topics: command.topics.clone(),
        private: command.private,
        ..PublishForm::default()
    };
    let ingest = asked.site.ingest();
    let draft = ingest
        .draft(form(), Publisher::Unchecked)
        .map_err(|error| Refusal::of_publishing(&error, true))?;
    let update = Arc::new(update(asked, draft));
    let token = match &command.token {
        Some(token) => of_token(asked, token.trim(), &update, form).await,
        None => Value::Null,
    };
    let id = command.connection.as_ref().map(|text| {
        let wrong = |error| invalid("body-invalid", format!("connection {text:?}: {error}"));
        text.parse().map_err(wrong)
    });
    let filter = Filter {
        id: id.transpose()?,
        subject: command.subject.clone(),
        ..Filter::default()
    };
    let shared = asked.site.shared();
    let filter = Arc::new(filter);
    let audience = shared.audience(&filter, &update, LISTED_MAX).await;
    let audience = audience.unwrap_or_default();
    let found: Vec<Value> = audience
        .found
        .iter()
        .map(|one| judged(one, &update))
        .collect();
    let judged = audience.judged;
    Ok(json!({
        "token": token,
        "receive": judged.receive,
        "not_selected": judged.not_selected,
        "not_granted": judged.not_granted,
        "echo": judged.echo,
        "connections": found,
    }))
}

/// Returns the update as it would be published next.
fn update(asked: &Asked<'_>, draft: Draft) -> Update {
    let position = asked.site.history().bounds().last.next();
    Update {
        trace: None,
        position,
        print: None,
        // A constant that is one.
        id: EventId::parse(ID).unwrap_or_else(|_| asked.site.history().seal().seal(position, None)),
        id_source: IdSource::Publisher,
        published_ms: unix_ms(),
        topics: draft.topics,
        data: draft.data,
        visibility: draft.visibility,
        event_type: draft.event_type,
        retry_ms: draft.retry_ms,
        presence: None,
        note: None,
    }
}

/// Returns what a token allows for an update, by role, as the hub's own path would decide.
async fn of_token(
    asked: &Asked<'_>,
    token: &str,
    update: &Arc<Update>,
    form: impl Fn() -> PublishForm,
) -> Value {
    let verify = async |role| asked.site.verify(token, Door::Hub, role).await;
    let subscribe = match verify(Role::Subscribe).await {
        Ok(identity) => {
            let posted = Posted::replayed(Arc::clone(update));
            let reads = posted.is_readable_with(Some(&identity.grants), asked.site.hub());
            let why = reading(reads, update);
            accepted(&identity, identity.grants.subscribe(), reads, why)
        }
        Err(error) => refused(&error.to_string()),
    };
    let publish = match verify(Role::Publish).await {
        Ok(identity) => {
            let draft = asked
                .site
                .ingest()
                .draft(form(), Publisher::Grants(&identity.grants));
            let why = match &draft {
                Ok(_) => "the token grants publishing to every topic".to_owned(),
                Err(error) => Refusal::of_publishing(error, true).detail,
            };
            accepted(&identity, identity.grants.publish(), draft.is_ok(), why)
        }
        Err(error) => refused(&error.to_string()),
    };
    json!({"subscribe": subscribe, "publish": publish})
}

fn accepted(
    of: &Arc<Identity>,
    grants: &[Matcher],
    allowed: bool,
    why: impl Into<String>,
) -> Value {
    let grants: Vec<Value> = grants
        .iter()
        .map(|matcher| json!({"type": matcher.kind().name(), "pattern": matcher.pattern()}))
        .collect();
    json!({
        "accepted": true,
        "allowed": allowed,
        "why": why.into(),
        "identity": identity(Some(of)),
        "grants": grants,
    })
}

fn refused(why: &str) -> Value {
    json!({
        "accepted": false,
        "allowed": false,
        "why": format!("the token is not accepted: {why}"),
        "identity": null,
        "grants": [],
    })
}

fn reading(reads: bool, update: &Update) -> &'static str {
    match (reads, update.visibility.is_public()) {
        (true, true) => "the update is public: everybody who asks for it reads it",
        (true, false) => "a subscribe grant of the token covers one of the topics",
        (false, _) => "the update is private, and no subscribe grant of the token covers a topic",
    }
}

fn judged(described: &Described, update: &Update) -> Value {
    let verdict = described.verdict.unwrap_or(Verdict::NotSelected);
    let anonymous = described.identity.is_none();
    let (name, why) = match verdict {
        Verdict::Receives if described.behind > 0 => (
            "receives",
            "it receives the update once it has caught up: its connection takes less than is sent",
        ),
        Verdict::Receives => ("receives", reading(true, update)),
        Verdict::NotSelected => (
            "not_selected",
            "none of its matchers selects one of the topics",
        ),
        Verdict::NotGranted if anonymous => (
            "not_granted",
            "the update is private, and this subscriber presented no token",
        ),
        Verdict::NotGranted => ("not_granted", reading(false, update)),
        Verdict::Echo => ("echo", "its own message is not sent back to it"),
    };
    let mut value = connection(described);
    if let Some(object) = value.as_object_mut() {
        object.insert("verdict".to_owned(), name.into());
        object.insert("why".to_owned(), why.into());
    }
    value
}
