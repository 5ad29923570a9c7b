//! What makes a server unsafe for a cluster, with the line that changes it.
//!
//! What a hub must know is read from `INFO`, so that neither `CONFIG` nor an administrator's user is needed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use redis::Value;
use tidings_access::Name;
use tidings_cluster::Epoch;
use tidings_cluster::engine::{Call, EngineError, EpochId, Init, Path, Proposal};
use tidings_cluster::safety::{Finding, Holders, Inspect, Severity, Told, Untold};

use crate::engine::Redis;
use crate::error::foreign;
use crate::options::{Acknowledge, Options, Place, Unguarded};

/// Oldest version of Redis whose commands suffice. Valkey says which version of Redis it is like.
pub const VERSION_MIN: Version = Version(6, 2);

/// A version of Redis: major, minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What is wrong with a server, or with what is on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is too old.
    #[error("the server is like Redis {found}, and at least {VERSION_MIN} is needed")]
    TooOld {
        /// What it says.
        found: Version,
    },
    /// It removes keys when memory is short.
    #[error(
        "the server may remove the cluster's keys when memory is short: `maxmemory-policy` is \
         {policy}"
    )]
    Evicts {
        /// The policy.
        policy: String,
    },
    /// It loses up to everything at a restart.
    #[error(
        "the append-only file of the server is off: when it is killed it loses what is newer than \
         its last snapshot, or everything; the hubs put back what they have"
    )]
    Forgets,
    /// What the append-only file has may be lost with the machine.
    #[error(
        "the server never waits for the disk: `appendfsync` is no, so a power failure loses up to half a \
         minute; the hubs put back what they have"
    )]
    NeverSynced,
    /// A primary that is cut off goes on taking updates.
    #[error(
        "the server has {replicas} replicas, but takes updates without them: after a failover the \
         old primary takes updates that are lost when it comes back"
    )]
    Unguarded {
        /// How many are connected.
        replicas: u64,
    },
    /// An acknowledgement that cannot be given.
    #[error("an update is acknowledged by {wanted} replicas, and {connected} are connected")]
    TooFewReplicas {
        /// As configured.
        wanted: u32,
        /// How many are connected.
        connected: u64,
    },
    /// It is a replica.
    #[error("the server is a replica of {primary}")]
    Replica {
        /// Its primary.
        primary: String,
    },
    /// It is a Sentinel.
    #[error("the server is a Sentinel")]
    Sentinel,
    /// It is a node of a Redis Cluster, which the address does not say.
    #[error("the server is a node of a Redis Cluster")]
    ClusterNode,
    /// Its memory is less than the window and what is beside it.
    #[error(
        "the server has {maxmemory_bytes} bytes of memory, less than twice the window of \
         {window_bytes} bytes: it refuses updates when it is full"
    )]
    SmallMemory {
        /// `maxmemory`.
        maxmemory_bytes: u64,
        /// The configured window.
        window_bytes: u64,
    },
    /// Two clusters under one prefix, or a cluster that was begun anew.
    #[error(
        "the name {name:?} on this server belongs to a cluster with another secret than that of \
         this hub's history: two clusters under one name, or one that was begun anew"
    )]
    OtherCluster {
        /// The configured name.
        name: String,
    },
    /// Some of the keys are gone.
    #[error("the name {name:?} on this server has a log without its head: some keys were removed")]
    Half {
        /// The configured name.
        name: String,
    },
}

impl Problem {
    /// Returns the line to change, or what to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::TooOld { .. } => "install Redis 6.2 or later, or Valkey",
            Self::Evicts { .. } => "CONFIG SET maxmemory-policy noeviction",
            Self::Forgets => "CONFIG SET appendonly yes",
            Self::NeverSynced => "CONFIG SET appendfsync everysec",
            Self::Unguarded { .. } => {
                "CONFIG SET min-replicas-to-write 1, and CONFIG SET min-replicas-max-lag 1, on the \
                 primary and on each replica; or accept the loss in the hub's configuration"
            }
            Self::TooFewReplicas { .. } => "start the replicas, or ask for fewer",
            Self::Replica { .. } => "name the primary, or use redis+sentinel://A,B,C/NAME",
            Self::Sentinel => "use redis+sentinel://A,B,C/NAME",
            Self::ClusterNode => "use redis+cluster://A,B,C",
            Self::SmallMemory { .. } => "raise maxmemory, or lower the window",
            Self::OtherCluster { .. } => {
                "choose another name, or move this hub's history away and start it empty"
            }
            Self::Half { .. } => {
                "restore the keys from a backup, or remove those that are left; the hubs put the \
                 line back"
            }
        }
    }
}

/// Returns the rules of a user that may do what a hub does, for `ACL SETUSER`.
#[must_use]
pub fn permissions(name: &Name) -> String {
    format!("~{{t:{name}}}:* resetchannels -@all {}", COMMANDS.join(" "))
}

/// Every command that a hub sends, or that its scripts call.
const COMMANDS: &[&str] = &[
    "+auth",
    "+cluster|nodes",
    "+del",
    "+eval",
    "+evalsha",
    "+exists",
    "+get",
    "+hdel",
    "+hget",
    "+hgetall",
    "+hlen",
    "+hmget",
    "+hset",
    "+info",
    "+pexpire",
    "+role",
    "+set",
    "+time",
    "+wait",
    "+xadd",
    "+xrange",
    "+xread",
    "+xtrim",
    "+zadd",
    "+zcard",
    "+zrange",
    "+zrangebyscore",
    "+zrem",
    "+zrevrangebyscore",
];

impl Inspect for Redis {
    fn inspect(&self, history: Option<Epoch>) -> Call<'_, Vec<Finding>> {
        Box::pin(async move {
            let problems = self.problems(history).await?;
            Ok(problems.into_iter().map(|one| self.finding(&one)).collect())
        })
    }

    fn inspect_settings(&self) -> Told<'_> {
        Box::pin(async move {
            let problem = self.problem_of_settings().await?;
            Ok(problem.iter().map(|one| self.finding(one)).collect())
        })
    }

    fn holders<'a>(&'a self, names: &'a [Arc<str>]) -> Call<'a, Holders> {
        Box::pin(self.holders_of(names))
    }
}

impl Redis {
    /// Looks for what makes the primary unsafe. `history` is the secret of the hub's own history, if
    /// it has one.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the server does not answer.
    pub async fn problems(&self, history: Option<Epoch>) -> Result<Vec<Problem>, EngineError> {
        let within = self.options.timeouts.answer;
        let info = self
            .send(Path::Control, &redis::cmd("INFO"), within)
            .await?;
        let Value::BulkString(text) = info else {
            return Err(foreign("an answer to INFO that is no text"));
        };
        let text = String::from_utf8_lossy(&text);
        let mut problems = of_server(&Info(&text), &self.options);
        let fatal = |problem: &Problem| matches!(problem, Problem::Sentinel);
        if !problems.iter().any(fatal) {
            problems.extend(self.of_line(history).await?);
        }
        Ok(problems)
    }

    /// Looks for what only `CONFIG GET` shows.
    async fn problem_of_settings(&self) -> Result<Option<Problem>, Untold> {
        let untold = Untold("appendfsync was not looked at: the hub's user may not CONFIG GET it");
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("append*");
        let within = self.options.timeouts.answer;
        let answer = self.send(Path::Control, &command, within).await;
        let Ok(Ok(settings)) = answer.map(redis::from_redis_value::<HashMap<String, String>>)
        else {
            return Err(untold);
        };
        let is = |name, value| settings.get(name).is_some_and(|set| set == value);
        let never = is("appendonly", "yes") && is("appendfsync", "no");
        Ok(never.then_some(Problem::NeverSynced))
    }

    fn finding(&self, problem: &Problem) -> Finding {
        Finding {
            problem: problem.to_string(),
            remedy: problem.remedy().to_owned(),
            severity: self.severity(problem),
        }
    }

    /// Returns what a problem means for a start.
    #[must_use]
    pub const fn severity(&self, problem: &Problem) -> Severity {
        match problem {
            Problem::Unguarded { .. } if matches!(self.options.unguarded, Unguarded::Accept) => {
                Severity::Warn
            }
            Problem::Forgets | Problem::NeverSynced | Problem::SmallMemory { .. } => Severity::Warn,
            Problem::TooOld { .. }
            | Problem::Evicts { .. }
            | Problem::Unguarded { .. }
            | Problem::TooFewReplicas { .. }
            | Problem::Replica { .. }
            | Problem::Sentinel
            | Problem::ClusterNode
            | Problem::OtherCluster { .. }
            | Problem::Half { .. } => Severity::Refuse,
        }
    }

    async fn of_line(&self, history: Option<Epoch>) -> Result<Option<Problem>, EngineError> {
        let name = || self.options.name.to_string();
        let only_read = Proposal {
            epoch: EpochId::new(0),
            secret: None,
        };
        Ok(match self.init_on(Path::Control, only_read).await? {
            Init::Found(line) | Init::Made(line) => {
                let other = history.is_some_and(|secret| secret != line.secret);
                other.then(|| Problem::OtherCluster { name: name() })
            }
            Init::None => None,
            Init::Half => Some(Problem::Half { name: name() }),
        })
    }
}

fn of_server(info: &Info<'_>, options: &Options) -> Vec<Problem> {
    let mut problems = Vec::new();
    if info.text("redis_mode") == Some("sentinel") {
        return vec![Problem::Sentinel];
    }
    let version = info.version();
    if version < VERSION_MIN {
        problems.push(Problem::TooOld { found: version });
    }
    let is_cluster = matches!(options.place, Place::Cluster { .. });
    if info.number("cluster_enabled") == Some(1) && !is_cluster {
        problems.push(Problem::ClusterNode);
    }
    if info.text("role") == Some("slave") {
        problems.push(Problem::Replica {
            primary: info.text("master_host").unwrap_or("?").to_owned(),
        });
    }
    let policy = info.text("maxmemory_policy").unwrap_or("noeviction");
    if policy != "noeviction" {
        problems.push(Problem::Evicts {
            policy: policy.to_owned(),
        });
    }
    let maxmemory_bytes = info.number("maxmemory").unwrap_or_default();
    let window_bytes = options.window_bytes;
    if maxmemory_bytes > 0 && maxmemory_bytes < window_bytes.saturating_mul(2) {
        problems.push(Problem::SmallMemory {
            maxmemory_bytes,
            window_bytes,
        });
    }
    if info.number("aof_enabled") == Some(0) {
        problems.push(Problem::Forgets);
    }
    problems.extend(of_replicas(info, options));
    problems
}

fn of_replicas(info: &Info<'_>, options: &Options) -> Option<Problem> {
    let replicas = info.number("connected_slaves").unwrap_or_default();
    if let Acknowledge::Replicated { replicas: wanted } = options.acknowledge
        && replicas < u64::from(wanted)
    {
        return Some(Problem::TooFewReplicas {
            wanted,
            connected: replicas,
        });
    }
    let expects = replicas > 0 || matches!(options.place, Place::Sentinel { .. });
    // The field is there only where both `min-replicas` settings are in force.
    let guarded = info.text("min_slaves_good_slaves").is_some();
    (expects && !guarded).then_some(Problem::Unguarded { replicas })
}

/// The answer to `INFO`: lines of `name:value`.
struct Info<'a>(&'a str);

impl<'a> Info<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
        self.0.lines().find_map(value)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn version(&self) -> Version {
        let text = self.text("redis_version").unwrap_or_default();
        let mut parts = text.split('.').map(|part| part.parse().unwrap_or_default());
        Version(
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests;
