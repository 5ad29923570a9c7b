//! What makes a server unsafe for a cluster, with the line that changes it.
//!
//! All of it is shown to every user of a database, so a hub needs no right for it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidings_access::{Address, Connected as _};
use tidings_cluster::Epoch;
use tidings_cluster::engine::{Call, EngineError, EpochId, Init, Path, Proposal};
use tidings_cluster::safety::{Finding, Holders, Inspect, Severity, Told};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::connection::Connection;
use crate::engine::Postgresql;
use crate::error::{ConnectError, foreign};
use crate::options::{Acknowledge, Options};
use crate::schema::{HUB_FUNCTIONS, SCHEMA_VERSION};
use crate::{servers, wake};

/// Oldest version of PostgreSQL that is supported.
pub const VERSION_MIN: Version = Version(14);

/// How long a notification may take from one connection to another.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(3);
/// The longest pause of a standby before it looks for the log again that is not worth a word.
const RETRIEVE_MAX_MS: i64 = 1000;

/// A version of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub i32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What is wrong with a server, or with what is on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is too old.
    #[error("the server is PostgreSQL {found}, and at least {VERSION_MIN} is needed")]
    TooOld {
        /// What it says.
        found: Version,
    },
    /// What it acknowledged is lost when it crashes.
    #[error(
        "the server answers before an update is on its disk: synchronous_commit is {setting}, so a \
         crash loses up to a second; the hubs put back what they have"
    )]
    AnswersEarly {
        /// The setting.
        setting: String,
    },
    /// A power failure may damage the whole database.
    #[error(
        "the server never waits for the disk: fsync is off, so a power failure may damage the whole \
         database"
    )]
    NeverSynced,
    /// Pages may be torn.
    #[error(
        "full_page_writes is off: on a disk that writes a page in parts, a power failure may damage \
         the database"
    )]
    TornPages,
    /// An acknowledgement that cannot be given.
    #[error(
        "an update is acknowledged by a standby, and the server waits for none: \
         synchronous_standby_names is empty"
    )]
    NoStandby,
    /// A transaction would not see what was committed before its statements.
    #[error(
        "transactions of the hub's user are {level} by default, and the line changes only in READ \
         COMMITTED"
    )]
    Isolation {
        /// The default level.
        level: String,
    },
    /// There are no tables and functions.
    #[error("the database has no schema {name:?} of Tidings")]
    NoSchema {
        /// The name of the cluster.
        name: String,
    },
    /// The user may not use them.
    #[error("the hub's user may not use the schema {name:?}")]
    NotGranted {
        /// The name of the cluster.
        name: String,
    },
    /// The schema is of an earlier program.
    #[error("the schema {name:?} has version {found}, and this program needs {SCHEMA_VERSION}")]
    OldSchema {
        /// The name of the cluster.
        name: String,
        /// Its version.
        found: i32,
    },
    /// The schema is of an earlier build with the same version, which lacks what came since.
    #[error(
        "the schema {name:?} is of an earlier build: it has no function {function}, which this program needs"
    )]
    Lacks {
        /// The name of the cluster.
        name: String,
        /// The first function that it lacks, with the types of its arguments.
        function: String,
    },
    /// The schema is of a later program.
    #[error(
        "the schema {name:?} has version {found}, later than {SCHEMA_VERSION}, which this program needs"
    )]
    NewSchema {
        /// The name of the cluster.
        name: String,
        /// Its version.
        found: i32,
    },
    /// Followers are not woken.
    #[error(
        "a notification of the server does not reach a hub ({why}): updates of other hubs arrive \
         up to {poll_ms} ms later"
    )]
    NotWoken {
        /// What was seen of it.
        why: String,
        /// How often a follower looks by itself.
        poll_ms: u128,
    },
    /// After a promotion the other standbys are late.
    #[error(
        "the standby {address} looks for the log of its primary every {millis} ms: after a failover, \
         updates that wait for it wait as long"
    )]
    SlowStandby {
        /// Which one.
        address: Address,
        /// Its setting.
        millis: i64,
    },
    /// Updates that applications published by SQL, and that were put aside.
    #[error(
        "{rows} updates published by SQL were refused by a hub, and nobody has looked at them: they are \
         in the table inbox_refused of the schema {name:?}, with the reason"
    )]
    RefusedUpdates {
        /// The name of the cluster.
        name: String,
        /// How many.
        rows: i64,
    },
    /// Two clusters under one name, or a cluster that was begun anew.
    #[error(
        "the schema {name:?} belongs to a cluster with another secret than that of this hub's \
         history: two clusters under one name, or one that was begun anew"
    )]
    OtherCluster {
        /// The name of the cluster.
        name: String,
    },
    /// Some of the rows are gone.
    #[error("the schema {name:?} has a log without its head: some rows were removed")]
    Half {
        /// The name of the cluster.
        name: String,
    },
}

impl Problem {
    /// Returns the line to change, or what to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::TooOld { .. } => "install PostgreSQL 14 or later",
            Self::AnswersEarly { .. } => {
                "ALTER SYSTEM SET synchronous_commit = on, and SELECT pg_reload_conf()"
            }
            Self::NeverSynced => "ALTER SYSTEM SET fsync = on, and SELECT pg_reload_conf()",
            Self::TornPages => {
                "ALTER SYSTEM SET full_page_writes = on, and SELECT pg_reload_conf()"
            }
            Self::NoStandby => {
                "name the standbys in synchronous_standby_names, or set cluster.acknowledge = \"engine\""
            }
            Self::Isolation { .. } => "ALTER ROLE … RESET default_transaction_isolation",
            Self::NoSchema { .. } | Self::OldSchema { .. } | Self::Lacks { .. } => {
                "tidings cluster schema --apply"
            }
            Self::NewSchema { .. } => "install the program that the other hubs have",
            Self::NotGranted { .. } => {
                "tidings cluster schema --hub ROLE, as the owner of the schema"
            }
            Self::NotWoken { .. } => "set cluster.notify_url to the server itself, past the pooler",
            Self::SlowStandby { .. } => {
                "ALTER SYSTEM SET wal_retrieve_retry_interval = '200ms', and SELECT pg_reload_conf()"
            }
            Self::RefusedUpdates { .. } => {
                "publish them again or delete them: docs/guide/publish-from-sql.md"
            }
            Self::OtherCluster { .. } => {
                "choose another name, or move this hub's history away and start it empty"
            }
            Self::Half { .. } => {
                "restore the schema from a backup, or drop it and apply it anew; the hubs put the line back"
            }
        }
    }

    /// Returns what the problem means for a start.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::AnswersEarly { .. }
            | Self::NeverSynced
            | Self::TornPages
            | Self::NotWoken { .. }
            | Self::RefusedUpdates { .. }
            | Self::SlowStandby { .. } => Severity::Warn,
            Self::TooOld { .. }
            | Self::NoStandby
            | Self::Isolation { .. }
            | Self::NoSchema { .. }
            | Self::NotGranted { .. }
            | Self::OldSchema { .. }
            | Self::Lacks { .. }
            | Self::NewSchema { .. }
            | Self::OtherCluster { .. }
            | Self::Half { .. } => Severity::Refuse,
        }
    }
}

impl From<&Problem> for Finding {
    fn from(problem: &Problem) -> Self {
        Self {
            problem: problem.to_string(),
            remedy: problem.remedy().to_owned(),
            severity: problem.severity(),
        }
    }
}

impl Inspect for Postgresql {
    fn inspect(&self, history: Option<Epoch>) -> Call<'_, Vec<Finding>> {
        Box::pin(async move {
            let problems = self.problems(history).await?;
            Ok(problems.iter().map(Finding::from).collect())
        })
    }

    fn inspect_settings(&self) -> Told<'_> {
        Box::pin(async move {
            let problems = self.problems_of_standbys().await;
            Ok(problems.iter().map(Finding::from).collect())
        })
    }

    fn holders<'a>(&'a self, names: &'a [Arc<str>]) -> Call<'a, Holders> {
        Box::pin(self.holders_of(names))
    }
}

const SETTINGS: &str = "SELECT current_setting('server_version_num')::integer / 10000, \
    current_setting('synchronous_commit'), current_setting('fsync'), \
    current_setting('full_page_writes'), current_setting('synchronous_standby_names'), \
    current_setting('default_transaction_isolation')";

/// Asked of the catalogue, which everybody may read.
const SCHEMA: &str = "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE') \
    FROM pg_namespace n JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = 'version' AND p.pronargs = 0 \
    WHERE n.nspname = $1";

/// Which functions of a list cannot be called, and whether each exists. A schema that may not be used is an
/// error.
const FUNCTIONS: &str = "SELECT f.call, p.found IS NOT NULL FROM unnest($1) AS f(call), \
    LATERAL (SELECT to_regprocedure(format('%I.%s', $2, f.call))::oid AS found) AS p \
    WHERE has_function_privilege(p.found, 'EXECUTE') IS NOT TRUE ORDER BY p.found IS NOT NULL LIMIT 1";

impl Postgresql {
    /// Looks for what makes the primary unsafe. `history` is the secret of the hub's own history, if
    /// it has one.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the server does not answer, or is a standby.
    pub async fn problems(&self, history: Option<Epoch>) -> Result<Vec<Problem>, EngineError> {
        let rows = self.query(Path::Control, SETTINGS, &[]).await?;
        let mut problems = of_settings(first(&rows)?, &self.options)?;
        let of_schema = self.problem_of_schema().await?;
        let usable = of_schema.is_none();
        problems.extend(of_schema);
        if usable {
            problems.extend(self.problem_of_line(history).await?);
            problems.extend(self.problem_of_waking().await?);
            problems.extend(self.problem_of_inbox().await?);
        }
        Ok(problems)
    }

    async fn problem_of_schema(&self) -> Result<Option<Problem>, EngineError> {
        let name = self.options.name.to_string();
        let rows = self
            .query(Path::Control, SCHEMA, &[(&name, Type::TEXT)])
            .await?;
        let Some(row) = rows.first() else {
            return Ok(Some(Problem::NoSchema { name }));
        };
        if !get::<bool>(row, 0)? {
            return Ok(Some(Problem::NotGranted { name }));
        }
        let rows = self.request(Path::Control, "version()", &[]).await?;
        let found: i32 = get::<Option<i32>>(first(&rows)?, 0)?.unwrap_or_default();
        match found.cmp(&SCHEMA_VERSION) {
            std::cmp::Ordering::Less => Ok(Some(Problem::OldSchema { name, found })),
            std::cmp::Ordering::Equal => self.problem_of_functions(name).await,
            std::cmp::Ordering::Greater => Ok(Some(Problem::NewSchema { name, found })),
        }
    }

    /// Looks whether all functions are there that a hub calls. A later build adds some under the same version,
    /// since hubs of the earlier one go on with it.
    async fn problem_of_functions(&self, name: String) -> Result<Option<Problem>, EngineError> {
        let parameters = [
            (&HUB_FUNCTIONS as _, Type::TEXT_ARRAY),
            (&name as _, Type::TEXT),
        ];
        let rows = self.query(Path::Control, FUNCTIONS, &parameters).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let function: String = get(row, 0)?;
        Ok(Some(match get::<bool>(row, 1)? {
            true => Problem::NotGranted { name },
            false => Problem::Lacks { name, function },
        }))
    }

    async fn problem_of_line(
        &self,
        history: Option<Epoch>,
    ) -> Result<Option<Problem>, EngineError> {
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

    /// Looks for updates that applications published and a hub refused.
    async fn problem_of_inbox(&self) -> Result<Option<Problem>, EngineError> {
        const STATE: &str = "inbox_state(0, 0)";
        let rows = self.request(Path::Control, STATE, &[]).await?;
        let refused: i64 = get(first(&rows)?, 2)?;
        let name = self.options.name.to_string();
        let problem = Problem::RefusedUpdates {
            name,
            rows: refused,
        };
        Ok((refused > 0).then_some(problem))
    }

    /// Sends a notification, and waits for it where a follower would.
    async fn problem_of_waking(&self) -> Result<Option<Problem>, EngineError> {
        let not_woken = |why: String| {
            Some(Problem::NotWoken {
                why,
                poll_ms: self.options.timeouts.poll.as_millis(),
            })
        };
        let mut listening = match wake::open(Arc::clone(&self.options)).await {
            Ok(connection) => connection,
            Err(error) => return Ok(not_woken(error.to_string())),
        };
        let name = self.options.name.to_string();
        let notify = "SELECT pg_notify($1, '')";
        self.query(Path::Control, notify, &[(&name, Type::TEXT)])
            .await?;
        Ok(
            match timeout(NOTIFIED_WITHIN, listening.notification()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => not_woken(error.to_string()),
                Err(_elapsed) => not_woken(format!("none within {NOTIFIED_WITHIN:?}")),
            },
        )
    }

    /// Looks at the standbys that are named, where they can be reached.
    async fn problems_of_standbys(&self) -> Vec<Problem> {
        let options = &self.options;
        let places = [Some(&options.place), options.read.as_ref()];
        let places = places.into_iter().flatten();
        let servers =
            places.flat_map(|place| place.servers.iter().map(move |server| (server, place)));
        let mut seen = BTreeSet::new();
        let servers = servers.filter(|(server, _)| seen.insert((*server).clone()));
        let looks = servers.map(|(server, place)| async move {
            let access = servers::access(options, place)?;
            let mut connection = Connection::open(server, access).await?;
            Ok::<_, ConnectError>(self.problem_of_standby(&mut connection).await)
        });
        let found = join_all(looks).await;
        found.into_iter().flatten().flatten().collect()
    }

    async fn problem_of_standby(&self, connection: &mut Connection) -> Option<Problem> {
        const RETRIEVE: &str =
            "SELECT setting::bigint FROM pg_settings WHERE name = 'wal_retrieve_retry_interval'";
        let within = self.options.timeouts.answer;
        let server = connection.server().clone();
        if server.timeline.is_some() {
            return None;
        }
        let rows = connection.query(RETRIEVE, &[], within).await.ok()?;
        let millis = get::<i64>(rows.first()?, 0).ok()?;
        (millis > RETRIEVE_MAX_MS).then_some(Problem::SlowStandby {
            address: server.address,
            millis,
        })
    }
}

fn of_settings(row: &Row, options: &Options) -> Result<Vec<Problem>, EngineError> {
    let mut problems = Vec::new();
    let found = Version(get(row, 0)?);
    if found < VERSION_MIN {
        problems.push(Problem::TooOld { found });
    }
    let setting: String = get(row, 1)?;
    if setting == "off" {
        problems.push(Problem::AnswersEarly { setting });
    }
    if get::<&str>(row, 2)? == "off" {
        problems.push(Problem::NeverSynced);
    }
    if get::<&str>(row, 3)? == "off" {
        problems.push(Problem::TornPages);
    }
    if options.acknowledge == Acknowledge::Replicated && get::<&str>(row, 4)?.is_empty() {
        problems.push(Problem::NoStandby);
    }
    let level: String = get(row, 5)?;
    if level != "read committed" {
        problems.push(Problem::Isolation { level });
    }
    Ok(problems)
}

fn first(rows: &[Row]) -> Result<&Row, EngineError> {
    rows.first()
        .ok_or_else(|| foreign("an answer without a row"))
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    index: usize,
) -> Result<T, EngineError> {
    let read = row.try_get(index);
    read.map_err(|error| foreign(&format!("a setting that cannot be read: {error}")))
}
