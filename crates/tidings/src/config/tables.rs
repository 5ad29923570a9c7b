//! The tables of the configuration. Each row is a key: its manual entry, its type, its default, its
//! range, and whether a change needs a restart. Everything else about keys is derived from these
//! rows.
//!
//! One file per table. Most tables are at the same time the options of a part of the program; the
//! file of a table whose part is another crate also makes that crate's options of it. A rule that
//! involves two keys, a file or another table is in `check/`, in a file of the same name. `Values`
//! reads a table from the settings and collects the errors.

use super::error::ConfigError;
use super::keys::{Fallback, Key};
use super::settings::Settings;
use super::value::FromValue;

/// A table of the configuration, as a type.
pub trait Table: Sized {
    /// Where the table stands in the file; an array of tables ends in `.N`.
    const PATH: &'static str;
    /// Its keys, in the order of the manual.
    const KEYS: &'static [Key];

    /// Takes the values of all keys, in this order.
    fn read(values: &mut Values<'_>) -> Self;

    /// Returns the table of which nothing is written.
    fn defaults() -> Self {
        let (settings, mut missing) = (Settings::default(), Vec::new());
        Self::read(&mut Values::new(&settings, Self::PATH, &mut missing))
    }
}

/// Makes a table's type and its keys.
///
/// A row is `/// manual entry`, then `field: Type = rule;`. `field as "key"` gives the key another name
/// than the field, for a time whose key names its unit.
macro_rules! table {
    (
        $(#[$about:meta])+
        pub struct $name:ident = $path:literal {
            $(
                $(#[doc = $text:literal])+
                $field:ident $(as $key:literal)?: $type:ty = $row:expr;
            )+
        }
    ) => {
        $(#[$about])+
        #[derive(Debug, Clone)]
        pub struct $name {
            $(
                $(#[doc = $text])+
                pub $field: $type,
            )+
        }

        impl $crate::config::tables::Table for $name {
            const PATH: &'static str = $path;
            const KEYS: &'static [$crate::config::keys::Key] =
                &[$(table!(@key $path [$field $($key)?] [$($text)+] $row)),+];

            fn read(values: &mut $crate::config::tables::Values<'_>) -> Self {
                Self {
                    $(
                        $field: values.take(
                            const { &table!(@key $path [$field $($key)?] [$($text)+] $row) }
                        ),
                    )+
                }
            }
        }
    };
    (@key $path:literal [$($name:tt)+] [$($text:literal)+] $row:expr) => {
        $crate::config::keys::Key::new(
            concat!($path, ".", table!(@name $($name)+)),
            concat!($($text),+),
            $row,
        )
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $key:literal) => { $key };
}

pub mod acme;
pub mod admin;
pub mod auth;
pub mod cluster;
pub mod cors;
pub mod data;
pub mod dialects;
pub mod flash;
pub mod history;
pub mod hub;
pub mod limits;
pub mod listen;
pub mod log;
pub mod pages;
pub mod presence;
pub mod proxy;
pub mod publish;
pub mod rooms;
pub mod server;
pub mod sockjs;
pub mod subscribe;
pub mod tls;
pub mod traces;
pub mod websocket;
pub mod zeromq;

/// The keys of all tables, in the order of the manual.
pub const ALL: &[&[Key]] = &[
    listen::ListenTable::KEYS,
    tls::TlsTable::KEYS,
    acme::AcmeTable::KEYS,
    hub::HubTable::KEYS,
    data::DataTable::KEYS,
    server::ServerOptions::KEYS,
    admin::AdminTable::KEYS,
    proxy::ProxyOptions::KEYS,
    auth::AuthTable::KEYS,
    auth::IssuerTable::KEYS,
    dialects::DialectOptions::KEYS,
    subscribe::SubscribeOptions::KEYS,
    publish::PublishOptions::KEYS,
    cors::CorsOptions::KEYS,
    websocket::WebSocketOptions::KEYS,
    rooms::RoomOptions::KEYS,
    sockjs::SockJsOptions::KEYS,
    flash::FlashOptions::KEYS,
    history::HistoryTable::KEYS,
    cluster::ClusterTable::KEYS,
    presence::PresenceTable::KEYS,
    limits::LimitOptions::KEYS,
    pages::PageOptions::KEYS,
    zeromq::ZeroMqTable::KEYS,
    zeromq::ZeroMqBrokerTable::KEYS,
    zeromq::ZeroMqInputTable::KEYS,
    zeromq::ZeroMqOutputTable::KEYS,
    log::LogOptions::KEYS,
    traces::TracesTable::KEYS,
];

/// Reads one table from the settings. A value that is wrong is an error, and its key is then read as if
/// it were not written, so that the checks of other keys go on.
#[derive(Debug)]
pub struct Values<'a> {
    settings: &'a Settings,
    place: &'a str,
    errors: &'a mut Vec<ConfigError>,
}

impl<'a> Values<'a> {
    /// Reads the table at `place`, with numbers for entries of arrays.
    pub fn new(settings: &'a Settings, place: &'a str, errors: &'a mut Vec<ConfigError>) -> Self {
        Self {
            settings,
            place,
            errors,
        }
    }

    /// Returns the value of a key.
    pub fn take<T: FromValue>(&mut self, key: &Key) -> T {
        let place = format!("{}.{}", self.place, key.name());
        let written = self.settings.find(&place);
        match written.map(|entry| T::from_value(&entry.value, &key.bounds)) {
            Some(Ok(value)) => return value,
            Some(Err(error)) => self.errors.push(ConfigError::Invalid {
                key: place,
                reason: error.into(),
            }),
            None => {
                if let Fallback::Required(Some(advice)) = key.fallback {
                    self.errors
                        .push(ConfigError::Missing { key: place, advice });
                }
            }
        }
        fallback(key)
    }
}

/// Returns what counts when a key is not written.
#[expect(
    clippy::expect_used,
    reason = "a row of the table; a test reads the fallback of every one"
)]
fn fallback<T: FromValue>(key: &Key) -> T {
    let value = match key.fallback_value() {
        Some(value) => T::from_value(&value, &key.bounds).ok(),
        None => T::unset(),
    };
    value.expect("a fallback of the field's type")
}

#[cfg(test)]
mod tests;
