//! Takes over a changed configuration while the hub runs: all of what can change, or nothing.

use std::cell::RefCell;
use std::sync::Arc;

use super::{Hub, parts};
use crate::config::change::{Difference, Source};
use crate::config::keys::Change;
use crate::config::{Config, error::ConfigErrors};
use crate::control::message::{KeyChange, Reloaded};
use crate::open_files;
use crate::telemetry::output;
use tidings_auth::AuthorityError;
use tidings_hub::clock::unix_secs;

/// How a hub reads its configuration again.
pub(crate) struct Reloading {
    source: RefCell<Source>,
    /// What else takes over a new configuration.
    on_config: Box<dyn Fn(&Config)>,
}

impl Reloading {
    /// Reads again from `source`. `on_config` is called with each new configuration.
    pub(crate) fn new(source: Source, on_config: Box<dyn Fn(&Config)>) -> Self {
        Self {
            source: RefCell::new(source),
            on_config,
        }
    }
}

impl std::fmt::Debug for Reloading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloading").finish_non_exhaustive()
    }
}

impl Hub {
    /// Reads everything again, and takes over what a running hub can. Says what became of it.
    pub(super) fn reload(&self) -> Reloaded {
        self.notifier.reloading();
        let reloaded = self.read_again();
        self.notifier.ready(&self.status());
        reloaded
    }

    /// Says what a reload would do.
    pub(super) fn compare(&self) -> Reloaded {
        let Some(reloading) = &self.reloading else {
            return Reloaded::default();
        };
        match reloading.source.borrow().compare() {
            Ok(differences) => by_change(&differences),
            Err(ConfigErrors(errors)) => Reloaded {
                errors: errors.iter().map(ToString::to_string).collect(),
                ..Reloaded::default()
            },
        }
    }

    fn read_again(&self) -> Reloaded {
        if let Err(error) = self.read_files_again() {
            return refused(vec![error]);
        }
        let Some(reloading) = &self.reloading else {
            tracing::info!("reload: this hub has no configuration file to read again");
            return Reloaded::default();
        };
        let changed = reloading.source.borrow_mut().read_again();
        let changed = match changed {
            Ok(changed) => changed,
            Err(ConfigErrors(errors)) => {
                return refused(errors.iter().map(ToString::to_string).collect());
            }
        };
        for warning in &changed.config.warnings {
            tracing::warn!("{warning}");
        }
        if let Err(error) = self.take_over_issuers(&changed.config) {
            return refused(vec![format!("auth: {error}")]);
        }
        (reloading.on_config)(&changed.config);
        self.take_over_config(changed.config);
        let reloaded = by_change(&changed.differences);
        say(&reloaded);
        reloaded
    }

    /// Has tokens checked by the issuers and keys of a new configuration.
    fn take_over_issuers(&self, config: &Config) -> Result<(), AuthorityError> {
        let new = self.shared.authority.replace(config.auth.clone())?;
        for set in &new {
            set.read_file();
        }
        if let Some(store) = &self.key_store {
            for set in new.iter().filter(|set| set.unread().is_some()) {
                set.restore(store, unix_secs(), &self.shared.metrics.key_sets);
            }
        }
        self.key_sets_replaced.notify_one();
        Ok(())
    }

    /// Puts a new configuration in the place of the one in use.
    fn take_over_config(&self, mut config: Config) {
        open_files::fit(&mut config);
        let (bounds, connections, sockjs_sessions) = parts::bounds(&config);
        let shared = &self.shared;
        shared
            .account
            .set_limits(bounds, connections, sockjs_sessions);
        shared.options.set(parts::options(&config));
        shared.history.set_retention(config.history.retention);
        if let (Some(presence), Some(options)) = (&self.presence, &config.presence) {
            presence.set_grace(options.grace);
        }
        self.live.store(Arc::new(config));
    }

    /// Has the certificate and the key sets read again, and the access log opened.
    ///
    /// # Errors
    ///
    /// The access log cannot be written at its place. It goes on in the file that is open.
    fn read_files_again(&self) -> Result<(), String> {
        let opened = output::reopen_access_log();
        if let Some(tls) = &self.tls {
            tls.want();
        }
        for set in self.shared.authority.key_sets() {
            set.want();
        }
        opened.map_err(|error| format!("log.access_file: {error}"))
    }
}

/// Sorts changes by what they need.
fn by_change(differences: &[Difference]) -> Reloaded {
    let of = |wanted| {
        let changes = differences.iter();
        let changes = changes.filter(move |one| one.change == wanted);
        changes.map(key_change).collect()
    };
    Reloaded {
        applied: of(Change::Live),
        needs_restart: of(Change::Start),
        errors: Vec::new(),
    }
}

/// Says that nothing was changed.
fn refused(errors: Vec<String>) -> Reloaded {
    tracing::error!(
        errors = errors.join("; "),
        "reload: the configuration is not usable, so nothing was changed"
    );
    Reloaded {
        errors,
        ..Reloaded::default()
    }
}

fn key_change(difference: &Difference) -> KeyChange {
    KeyChange {
        key: difference.key.clone(),
        old: difference.old.clone(),
        new: difference.new.clone(),
    }
}

fn say(reloaded: &Reloaded) {
    for change in &reloaded.applied {
        let KeyChange { key, old, new } = change;
        tracing::info!(key, old, new, "reload: applied");
    }
    for change in &reloaded.needs_restart {
        let KeyChange { key, old, new } = change;
        tracing::warn!(
            key,
            old,
            new,
            "reload: this key needs a restart and keeps its old value"
        );
    }
    tracing::info!(
        applied = reloaded.applied.len(),
        needs_restart = reloaded.needs_restart.len(),
        "reload: done"
    );
}
