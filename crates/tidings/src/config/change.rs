//! What a running hub makes of a configuration that changed: which keys differ, which of them it can
//! apply, and which keep their value until the next start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::keys::{self, Change, Form};
use super::settings::{Entry, Place, Settings};
use super::{Config, check, env, error, read, show};

/// Where the configuration of a running hub comes from, and the settings in use.
#[derive(Debug)]
pub struct Source {
    path: Option<PathBuf>,
    running: Settings,
    /// The most bytes of an update for which the servers of the cluster's engine were checked at the
    /// start, if they may refuse a larger one.
    update_bytes_max: Option<u64>,
}

/// A key whose value changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key, with numbers for entries of arrays.
    pub key: String,
    /// The value in use, as TOML. Secrets are hidden.
    pub old: Option<String>,
    /// The value that is written now.
    pub new: Option<String>,
    /// When it takes effect.
    pub change: Change,
}

/// A configuration for a running hub.
#[derive(Debug)]
pub struct Changed {
    /// The new configuration, with the old values of keys that only a start can change.
    pub config: Config,
    /// Every key whose value changed.
    pub differences: Vec<Difference>,
}

impl Source {
    /// Takes note of where a configuration was read: the file that was named, if one was, and what came
    /// out of it and the environment, which is `config` now.
    pub fn new(path: Option<&Path>, running: Settings, config: &Config) -> Self {
        let cluster = config.cluster.as_ref();
        Self {
            path: path.map(Path::to_owned),
            running,
            update_bytes_max: cluster.and_then(|cluster| cluster.engine.update_bytes_max()),
        }
    }

    /// Returns what [`read_again`](Self::read_again) would change.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn compare(&self) -> Result<Vec<Difference>, error::ConfigErrors> {
        Ok(self.next()?.1.differences)
    }

    /// Reads the configuration again. The settings in use change if nothing is wrong.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, with the whole configuration or with what a running hub makes of it.
    pub fn read_again(&mut self) -> Result<Changed, error::ConfigErrors> {
        let (settings, changed) = self.next()?;
        self.running = settings;
        Ok(changed)
    }

    /// Returns the next settings in use, and what they change.
    fn next(&self) -> Result<(Settings, Changed), error::ConfigErrors> {
        let reading = read(self.path.as_deref(), &env::variables());
        let written = reading.into_settings()?;
        let differences = differences(&self.running, &written);
        let merged = written.with_start_keys_of(&self.running);
        let config = check::check(&merged)?;
        self.engine_takes_updates_of(&config)?;
        let changed = Changed {
            config,
            differences,
        };
        Ok((merged, changed))
    }

    /// Refuses to let updates in for which the engine's servers were not checked. Only a start asks them.
    fn engine_takes_updates_of(&self, config: &Config) -> Result<(), error::ConfigErrors> {
        let bytes_max = self.update_bytes_max.unwrap_or(u64::MAX);
        let lengths = [
            ("publish.body_bytes_max", config.publish.body_bytes_max),
            (
                "websocket.message_bytes_max",
                config.websocket.message_bytes_max,
            ),
            ("sockjs.body_bytes_max", config.sockjs.body_bytes_max),
        ];
        let errors: Vec<_> = lengths
            .into_iter()
            .filter(|(_, length)| *length as u64 > bytes_max)
            .map(|(key, length)| error::ConfigError::Invalid {
                key: key.to_owned(),
                reason: format!(
                    "{length} is more than {bytes_max}, for which the servers of the cluster's \
                     engine were checked when the hub started: restart it, so that it checks them \
                     again"
                )
                .into(),
            })
            .collect();
        match errors.is_empty() {
            true => Ok(()),
            false => Err(error::ConfigErrors(errors)),
        }
    }
}

impl Settings {
    /// Returns these settings with the values of `running` for all keys that only a start can change.
    fn with_start_keys_of(&self, running: &Self) -> Self {
        let only_live = |settings: &Self, change| {
            let entries = settings.entries();
            let wanted = entries.filter(|(place, _)| change_of(place) == change);
            let cloned = wanted.map(|(place, entry)| (place.clone(), entry.clone()));
            cloned.collect::<Vec<_>>()
        };
        let mut entries = only_live(self, Change::Live);
        entries.extend(only_live(running, Change::Start));
        self.with_entries(entries)
    }
}

fn change_of(place: &Place) -> Change {
    keys::find(&place.general()).map_or(Change::Start, |key| key.change)
}

/// Returns the keys whose values differ, sorted by place.
pub fn differences(old: &Settings, new: &Settings) -> Vec<Difference> {
    let places: BTreeSet<&Place> = old
        .entries()
        .chain(new.entries())
        .map(|(at, _)| at)
        .collect();
    let differ = places.into_iter().filter_map(|place| {
        let key = place.to_string();
        let (before, after) = (old.find(&key), new.find(&key));
        if before.map(|entry| &entry.value) == after.map(|entry| &entry.value) {
            return None;
        }
        let is_secret =
            keys::find(&place.general()).is_some_and(|known| known.form == Form::Secret);
        let shown = |entry: &Entry| match is_secret {
            true => "(hidden)".to_owned(),
            false => show::shown(&entry.value).to_string(),
        };
        Some(Difference {
            key,
            old: before.map(shown),
            new: after.map(shown),
            change: change_of(place),
        })
    });
    differ.collect()
}

#[cfg(test)]
mod tests;
