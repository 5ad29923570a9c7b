//! `tidings history import`: imports the history of another Mercure hub.
//!
//! The other hub's file is read twice: first to check that all of it is readable, then to import
//! it. It is opened read-only and locked against its hub. Each update goes through `ingest`, like
//! every other update.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tidings_cluster::{Loopback, Relay};
use tidings_core::limits::TOPICS_PER_UPDATE_MAX;
use tidings_history::{Kind, Retention};
use tidings_wire::bolt::{Bolt, BoltError, Source, Stop};
use tidings_wire::form;
use tidings_wire::publish_form::PublishForm;
use tidings_wire::stored_update::{StoredError, StoredUpdate};
use tokio::runtime::Builder;

use crate::cli::print;
use crate::config::{Config, env, read};
use crate::server;
use tidings_hub::ingest::{Ingest, PublishError, Publisher};

/// Import the updates from another Mercure hub's bbolt file
///
/// Keeps order and ids, so that subscribers resume where they were. Both hubs must be stopped, and
/// the history must be empty. A damaged file is refused before anything is written, and the file is
/// never changed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The other hub's file, such as mercure.db or updates.db
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The bucket with the updates
    #[arg(long, value_name = "NAME", default_value = "updates")]
    bucket: String,

    /// Configuration file [default: tidings.toml in this folder or in /etc/tidings, if it exists]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,

    /// Print the result as JSON: how many were imported, and how many were not, by reason
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = read(arguments.config.as_deref(), &env::variables()).into_config()?;
    let Kind::File { path: target } = &config.history.kind else {
        bail!("history.kind is not \"file\", so there is no history to import into");
    };
    let target = target.clone();
    let shown = arguments.file.display().to_string();
    let stored = Stored::open(&arguments.file, &arguments.bucket).with_context(|| shown.clone())?;
    let count = stored.check().with_context(|| shown.clone())?;
    let import = Importing::start(config)?;
    if import.history.bounds().last.get() > 0 {
        bail!(
            "{}: the history already has updates: import into an empty one",
            target.display()
        );
    }
    let bar = bar(count);
    let result = import.take_over(&stored, &bar);
    bar.finish_and_clear();
    let tally = result.with_context(|| {
        format!(
            "{} of {count} updates were imported; remove {} and try again",
            bar.position(),
            target.display()
        )
    })?;
    import.history.close();
    if arguments.json {
        return print::json(&tally.document());
    }
    for (reason, count) in &tally.refused {
        print::error(&format!("not imported: {count}: {reason}"));
    }
    print::output(&format!("{} updates imported\n", tally.taken))
}

/// The other hub's file, locked.
struct Stored {
    bolt: Bolt<Locked>,
    /// `None`: that hub never published, so the file has no bucket.
    bucket: Option<tidings_wire::bolt::Bucket>,
}

/// A file that its hub cannot open in the meantime.
struct Locked {
    file: File,
    bytes: u64,
}

impl Source for Locked {
    type Error = Arc<std::io::Error>;

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        Ok(self.file.read_exact_at(buffer, offset)?)
    }
}

impl Stored {
    fn open(path: &Path, bucket: &str) -> anyhow::Result<Self> {
        use rustix::fs::{FlockOperation, flock};
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        flock(&file, FlockOperation::NonBlockingLockShared)
            .context("the file is in use; stop its hub first")?;
        let bolt = Bolt::open(Locked { file, bytes })?;
        let bucket = match bolt.bucket(bucket.as_bytes()) {
            Ok(bucket) => Some(bucket),
            Err(BoltError::NoBucket) => match bolt.bucket_names(NAMES_MAX)?.as_slice() {
                [] => None,
                names => bail!(
                    "the file has no bucket {bucket:?}; it has {names:?}: name one with --bucket"
                ),
            },
            Err(error) => return Err(error.into()),
        };
        Ok(Self { bolt, bucket })
    }

    /// Calls `take` with each update, in order.
    fn walk(&self, mut take: impl FnMut(StoredUpdate) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Some(bucket) = &self.bucket else {
            return Ok(());
        };
        let walked = self.bolt.walk(bucket, &mut |key, value| {
            let update = StoredUpdate::decode(key, value).map_err(Failure::Stored)?;
            take(update).map_err(Failure::Taking)
        });
        match walked {
            Ok(()) => Ok(()),
            Err(Stop::Bolt(error)) => Err(error.into()),
            Err(Stop::Visitor(Failure::Stored(error))) => Err(error.into()),
            Err(Stop::Visitor(Failure::Taking(error))) => Err(error),
        }
    }

    /// Reads everything once and returns the number of updates.
    fn check(&self) -> anyhow::Result<u64> {
        let mut count = 0;
        self.walk(|_update| {
            count += 1;
            Ok(())
        })
        .context("the file is damaged; nothing was imported")?;
        Ok(count)
    }
}

/// Why a walk ended early.
enum Failure {
    Stored(StoredError),
    Taking(anyhow::Error),
}

/// Our history, open.
struct Importing {
    history: tidings_history::Handle,
    ingest: Ingest,
    runtime: tokio::runtime::Runtime,
}

/// The result of an import.
#[derive(Default)]
struct Tally {
    taken: u64,
    /// The reasons why updates were skipped, with their numbers.
    refused: Vec<(String, u64)>,
}

type Publishing<'a> = Pin<Box<dyn Future<Output = Result<(), PublishError>> + 'a>>;

impl Importing {
    fn start(config: Config) -> anyhow::Result<Self> {
        let mut options = config.history;
        // Excess updates are removed when the hub runs, not during the import. Age counts from the
        // import; its limit bounds the effect of a wrong clock on existing updates.
        options.retention = Retention {
            updates_max: None,
            bytes_max: None,
            ..options.retention
        };
        let history = tidings_history::start(options, Box::new(|_step| {}), server::clock())?;
        let relay = Arc::new(Loopback::new());
        relay.start(Arc::new(history.clone()))?;
        Ok(Self {
            ingest: Ingest::new(config.hub, relay, Arc::default()),
            history,
            runtime: Builder::new_current_thread().build()?,
        })
    }

    fn take_over(&self, stored: &Stored, bar: &ProgressBar) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        let mut window: Vec<Publishing<'_>> = Vec::with_capacity(WINDOW);
        stored.walk(|update| {
            window.push(Box::pin(self.publish(update)));
            if window.len() == WINDOW {
                self.finish(&mut window, &mut tally, bar)?;
            }
            Ok(())
        })?;
        self.finish(&mut window, &mut tally, bar)?;
        Ok(tally)
    }

    /// Has a number of updates written as one group, in their order.
    fn finish(
        &self,
        window: &mut Vec<Publishing<'_>>,
        tally: &mut Tally,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        let mut outcomes: Vec<Option<Result<(), PublishError>>> =
            window.iter().map(|_| None).collect();
        self.runtime.block_on(std::future::poll_fn(|context| {
            // The first look at each is what puts it into the queue, so they stay in order.
            for (publishing, outcome) in window.iter_mut().zip(&mut outcomes) {
                if outcome.is_none()
                    && let Poll::Ready(result) = publishing.as_mut().poll(context)
                {
                    *outcome = Some(result);
                }
            }
            match outcomes.iter().all(Option::is_some) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        window.clear();
        for outcome in outcomes.into_iter().flatten() {
            bar.inc(1);
            match outcome {
                Ok(()) => tally.taken += 1,
                Err(
                    error @ (PublishError::Busy
                    | PublishError::Closed
                    | PublishError::EngineAway
                    | PublishError::NotStored(_)),
                ) => {
                    return Err(error.into());
                }
                Err(error) => tally.refuse(&error),
            }
        }
        Ok(())
    }

    async fn publish(&self, update: StoredUpdate) -> Result<(), PublishError> {
        // Read like a form that is published, so that the same rules hold.
        let form = PublishForm::decode(form_of(&update).as_bytes(), TOPICS_PER_UPDATE_MAX);
        let Ok(form) = form else {
            return Err(PublishError::Topics(
                tidings_core::update::TopicsError::None,
            ));
        };
        self.ingest
            .publish(form, Publisher::Unchecked, None, None)
            .await?;
        Ok(())
    }
}

impl Tally {
    fn document(&self) -> serde_json::Value {
        let refused = self.refused.iter();
        let refused: Vec<_> = refused
            .map(|(reason, count)| json!({"reason": reason, "count": count}))
            .collect();
        json!({"imported": self.taken, "not_imported": refused})
    }

    fn refuse(&mut self, error: &PublishError) {
        let reason = if matches!(error, PublishError::Reserved { .. }) {
            "what the other hub said of its subscriptions".to_owned()
        } else {
            error.to_string()
        };
        let reason = if self.refused.len() < REASONS_MAX {
            reason
        } else {
            "other reasons".to_owned()
        };
        match self.refused.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.refused.push((reason, 1)),
        }
    }
}

/// Writes an update as a publisher would send it. One that had targets is private: whom they name
/// cannot be known here, and nobody else may see it.
fn form_of(update: &StoredUpdate) -> String {
    let mut form = String::new();
    let mut append = |name: &str, value: &str| form::append_pair(&mut form, name, value);
    for topic in &update.topics {
        append("topic", topic);
    }
    append("data", &update.data);
    append("id", &update.id);
    if update.private || update.targets().next().is_some() {
        append("private", "on");
    }
    if !update.event_type.is_empty() {
        append("type", &update.event_type);
    }
    if update.retry_ms > 0 {
        append("retry", &update.retry_ms.to_string());
    }
    form
}

fn bar(count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count).with_message("taking over");
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}");
    // The template is a constant; if it were wrong, the plain bar would do.
    style
        .map(|style| bar.clone().with_style(style))
        .unwrap_or(bar)
}

/// Updates that are written as one group.
const WINDOW: usize = 512;

/// Reasons that are told apart.
const REASONS_MAX: usize = 20;

/// Buckets that are named where the wanted one is not there.
const NAMES_MAX: usize = 8;

const EXAMPLES: &str = "\
Examples:
  tidings history import /data/caddy/mercure.db
  tidings history import updates.db --config /etc/tidings/tidings.toml

Exit codes: 0 taken over, 1 refused or failed, 2 wrong configuration.";
