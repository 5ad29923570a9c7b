//! What makes servers unsafe for a cluster, with the line that changes it.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tidings_access::Name;
use tidings_cluster::Epoch;
use tidings_cluster::engine::{Call, EngineError, Path};
use tidings_cluster::safety::{Finding, Holders, Inspect, Severity, Told, Untold};

use crate::api::Info;
use crate::engine::Nats;
use crate::names::Names;
use crate::options::Options;
use crate::view::{Loaded, View};

/// Oldest version of the server. Atomic batches came with 2.12.0, of which a cluster can refuse every
/// message after a batch; up to 2.12.7 a batch or a direct get can stop a server for good.
pub const VERSION_MIN: Version = Version {
    numbers: [2, 12, 8],
    stage: Stage::Release,
};

/// Bytes of a message beside those of the update: subject, headers, and the fields around an update.
const MESSAGE_OVERHEAD: u64 = 4096;
/// Bytes of a message that servers are to take even if no update is that large: a hub asks for up to 256
/// keys at once, with the name of its stream before each, in 40 KB at most.
const MESSAGE_BYTES_MIN: u64 = 64 * 1024;

/// A version of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major, minor, patch.
    numbers: [u32; 3],
    stage: Stage,
}

/// A pre-release is older than the release with its numbers. "Semantic Versioning 2.0.0", 11.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    PreRelease,
    Release,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        match self.stage {
            Stage::PreRelease => f.write_str(" (a pre-release)"),
            Stage::Release => Ok(()),
        }
    }
}

impl Version {
    fn of(text: &str) -> Self {
        // What follows a plus sign names a build, also with a hyphen in it.
        let version = text.split('+').next().unwrap_or_default();
        let (numbers, stage) = match version.split_once('-') {
            Some((numbers, _name)) => (numbers, Stage::PreRelease),
            None => (version, Stage::Release),
        };
        let mut parts = numbers
            .split('.')
            .map(|part| part.parse().unwrap_or_default());
        Self {
            numbers: std::array::from_fn(|_| parts.next().unwrap_or_default()),
            stage,
        }
    }
}

/// What is wrong with a server, or with what is on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is too old.
    #[error("the server is NATS {found}, and at least {VERSION_MIN} is needed")]
    TooOld {
        /// What it says.
        found: Version,
    },
    /// It keeps nothing.
    #[error("JetStream is off")]
    NoJetStream,
    /// It does not take all messages of a hub.
    #[error(
        "the server takes messages of at most {max_payload} bytes, and a hub can need {needed} for \
         an update or a question"
    )]
    SmallPayload {
        /// `max_payload` of the server.
        max_payload: u64,
        /// The largest update and what is around it, or the largest question.
        needed: u64,
    },
    /// There is one copy of the line beside those of the hubs.
    #[error(
        "one server keeps the line: nothing is published while it is away, and after a power \
         failure it may have lost what it took in the last two minutes (`sync_interval`); the hubs \
         put back what they have"
    )]
    OneCopy,
    /// There are fewer copies than an acknowledgement vouches for.
    #[error("{found} servers keep the stream {stream}, and {wanted} are configured")]
    FewerCopies {
        /// The stream.
        stream: String,
        /// How many keep it.
        found: u32,
        /// As configured.
        wanted: u32,
    },
    /// A single server cannot keep copies.
    #[error("{wanted} servers are to keep the line, and the server belongs to no cluster")]
    Alone {
        /// As configured.
        wanted: u32,
    },
    /// The stream could lose entries, or does not take batches.
    #[error("the settings {settings} of the stream {stream} are not those that hubs make it with")]
    Settings {
        /// The stream.
        stream: String,
        /// Their names.
        settings: String,
    },
    /// It holds more or less than is configured.
    #[error("the stream {stream} holds {found} bytes, and {wanted} are configured")]
    Window {
        /// The stream.
        stream: String,
        /// `max_bytes` of the stream.
        found: i64,
        /// As configured.
        wanted: u64,
    },
    /// Two clusters under one name, or a cluster that was begun anew.
    #[error(
        "the name {name:?} on these servers belongs to a cluster with another secret than that of \
         this hub's history: two clusters under one name, or one that was begun anew"
    )]
    OtherCluster {
        /// The configured name.
        name: String,
    },
    /// The stream is not one that hubs made.
    #[error("the stream {stream} has lost its metadata, or no hub made it")]
    Half {
        /// The stream.
        stream: String,
    },
}

impl Problem {
    /// Returns the line to change, or what to do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::TooOld { .. } => format!("install NATS {VERSION_MIN} or later"),
            Self::NoJetStream => "add `jetstream { store_dir: \"…\" }` to the server's \
                                  configuration, and allow JetStream to the account"
                .to_owned(),
            Self::SmallPayload { needed, .. } if *needed == MESSAGE_BYTES_MIN => {
                format!("set `max_payload: {needed}` or more in the configuration of each server")
            }
            Self::SmallPayload { needed, .. } => format!(
                "set `max_payload: {needed}` or more in the configuration of each server, or lower \
                 what allows such an update: publish.body_bytes_max, websocket.message_bytes_max, \
                 sockjs.body_bytes_max or zeromq.message_bytes_max"
            ),
            Self::OneCopy => "use three servers, and cluster.acknowledge = \"replicated\"; on one \
                              server, set `sync_interval: always`"
                .to_owned(),
            Self::FewerCopies { stream, wanted, .. } => {
                format!("nats stream edit {stream} --replicas {wanted}")
            }
            Self::Alone { .. } => "start the other servers, or use cluster.acknowledge = \
                                   \"engine\""
                .to_owned(),
            Self::Settings { stream, .. } => {
                format!("remove the stream {stream}: the hubs make it anew and put the line back")
            }
            Self::Window { stream, wanted, .. } => {
                format!("nats stream edit {stream} --max-bytes {wanted}")
            }
            Self::OtherCluster { .. } => "choose another name, or move this hub's history away \
                                          and start it empty"
                .to_owned(),
            Self::Half { stream } => format!(
                "restore the stream from a backup, or remove it by `nats stream rm {stream}`; the \
                 hubs put the line back"
            ),
        }
    }

    /// Returns what it means for a start.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::OneCopy | Self::Window { .. } => Severity::Warn,
            Self::TooOld { .. }
            | Self::NoJetStream
            | Self::SmallPayload { .. }
            | Self::FewerCopies { .. }
            | Self::Alone { .. }
            | Self::Settings { .. }
            | Self::OtherCluster { .. }
            | Self::Half { .. } => Severity::Refuse,
        }
    }
}

/// Returns the subjects that a hub of the cluster publishes to. It subscribes to `_INBOX.>` alone.
#[must_use]
pub fn permissions(name: &Name) -> Vec<String> {
    let Names { line, leases } = Names::new(name);
    let mut subjects = vec![format!("{line}.>"), format!("{leases}.>")];
    let of_line = [
        "STREAM.INFO",
        "STREAM.CREATE",
        "STREAM.UPDATE",
        "STREAM.DELETE",
        "STREAM.MSG.GET",
        "DIRECT.GET",
        "CONSUMER.CREATE",
    ];
    let of_leases = ["STREAM.INFO", "STREAM.CREATE", "STREAM.MSG.GET"];
    let of = |verbs: &[&str], stream: &str| -> Vec<String> {
        let subject = |verb: &&str| format!("$JS.API.{verb}.{stream}");
        verbs.iter().map(subject).collect()
    };
    subjects.extend(of(&of_line, &line));
    subjects.push(format!("$JS.API.CONSUMER.MSG.NEXT.{line}.>"));
    subjects.extend(of(&of_leases, &leases));
    subjects
}

impl Inspect for Nats {
    fn inspect(&self, history: Option<Epoch>) -> Call<'_, Vec<Finding>> {
        Box::pin(async move {
            let finding = |problem: Problem| Finding {
                problem: problem.to_string(),
                remedy: problem.remedy(),
                severity: problem.severity(),
            };
            let problems = self.problems(history).await?;
            Ok(problems.into_iter().map(finding).collect())
        })
    }

    fn inspect_settings(&self) -> Told<'_> {
        Box::pin(async {
            Err(Untold(
                "sync_interval was not looked at: servers tell it to nobody; without `always`, a \
                 power failure of a majority of them loses what they took in the last two minutes",
            ))
        })
    }

    fn holders<'a>(&'a self, names: &'a [Arc<str>]) -> Call<'a, Holders> {
        Box::pin(self.holders_of(names))
    }
}

impl Nats {
    /// Looks for what makes the servers unsafe. `history` is the secret of the hub's own history, if it
    /// has one.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if no server answers.
    pub async fn problems(&self, history: Option<Epoch>) -> Result<Vec<Problem>, EngineError> {
        self.on(Path::Control, async |api| {
            let server = api.connection.about_server();
            let mut problems = of_server(&server, &self.options);
            if problems.iter().any(Problem::ends_the_look) {
                return Ok(problems);
            }
            let leases = api.info(&self.names.leases, &Value::Null).await?;
            match View::load(api, &self.names).await? {
                Loaded::Line(view, info) => {
                    let streams = [Some(*info), leases];
                    for info in streams.into_iter().flatten() {
                        problems.extend(copies(&info, &self.options));
                        problems.extend(settings(&info, &self.names));
                        problems.extend(window(&info, &self.names, &self.options));
                    }
                    if history.is_some_and(|secret| secret != view.about.secret) {
                        let name = self.options.name.to_string();
                        problems.push(Problem::OtherCluster { name });
                    }
                }
                Loaded::Half => problems.push(Problem::Half {
                    stream: self.names.line.clone(),
                }),
                Loaded::None(_) => {}
            }
            Ok(problems)
        })
        .await
    }
}

impl Problem {
    /// Returns whether nothing more can be asked.
    const fn ends_the_look(&self) -> bool {
        matches!(self, Self::NoJetStream | Self::TooOld { .. })
    }
}

fn of_server(server: &async_nats::ServerInfo, options: &Options) -> Vec<Problem> {
    let mut problems = Vec::new();
    let found = Version::of(&server.version);
    if found < VERSION_MIN {
        problems.push(Problem::TooOld { found });
    }
    if !server.jetstream {
        problems.push(Problem::NoJetStream);
    }
    let max_payload = server.max_payload as u64;
    let of_update = options.update_bytes_max.saturating_add(MESSAGE_OVERHEAD);
    let needed = of_update.max(MESSAGE_BYTES_MIN);
    if max_payload < needed {
        problems.push(Problem::SmallPayload {
            max_payload,
            needed,
        });
    }
    if options.replicas == 1 {
        problems.push(Problem::OneCopy);
    } else if server.cluster.is_none() {
        problems.push(Problem::Alone {
            wanted: options.replicas,
        });
    }
    problems
}

fn copies(info: &Info, options: &Options) -> Option<Problem> {
    let found = info.setting("num_replicas").unwrap_or(1);
    let found = u32::try_from(found).unwrap_or_default();
    (found < options.replicas).then(|| Problem::FewerCopies {
        stream: info.name().to_owned(),
        found,
        wanted: options.replicas,
    })
}

/// Settings without which entries of the line could vanish, or leases.
fn settings(info: &Info, names: &Names) -> Option<Problem> {
    let is_line = info.name() == names.line;
    let flags: &[&str] = match is_line {
        true => &["deny_delete", "deny_purge", "allow_direct", "allow_atomic"],
        false => &["allow_msg_ttl"],
    };
    let unset = flags.iter().copied().filter(|flag| !info.flag(flag));
    let limits = ["max_age", "max_msgs", "max_msg_size"];
    let limited = limits
        .into_iter()
        .filter(|limit| info.setting(limit).is_some_and(|set| set > 0));
    let wrong: Vec<&str> = unset.chain(limited).collect();
    (!wrong.is_empty()).then(|| Problem::Settings {
        stream: info.name().to_owned(),
        settings: wrong.join(", "),
    })
}

fn window(info: &Info, names: &Names, options: &Options) -> Option<Problem> {
    let found = info.setting("max_bytes").unwrap_or(-1);
    let wanted = options.window_bytes;
    let differs = info.name() == names.line && u64::try_from(found) != Ok(wanted);
    differs.then(|| Problem::Window {
        stream: info.name().to_owned(),
        found,
        wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(Version::of("2.12.7") < VERSION_MIN);
        assert!(Version::of("2.9.25") < VERSION_MIN);
        assert_eq!(Version::of("2.12.8"), VERSION_MIN);
        assert!(Version::of("2.15.1") > VERSION_MIN);
        assert!(Version::of("what") < VERSION_MIN);
    }

    #[test]
    fn a_pre_release_is_older_than_its_release() {
        assert!(Version::of("2.12.8-RC.1") < VERSION_MIN);
        assert!(Version::of("2.12.8-RC.1") > Version::of("2.12.7"));
        assert!(Version::of("2.12.8-RC.1+7-a") < VERSION_MIN);
        assert!(Version::of("2.12.9-preview.2") > VERSION_MIN);
        assert_eq!(Version::of("2.12.8+7-a"), VERSION_MIN);
        let found = Version::of("2.12.8-RC.1");
        assert_eq!(
            Problem::TooOld { found }.to_string(),
            "the server is NATS 2.12.8 (a pre-release), and at least 2.12.8 is needed"
        );
    }
}
