//! What a row of a table is enough for.

use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use toml::Value;

use super::super::check;
use super::super::env::Variable;
use super::super::keys::rule::{flag, number};
use super::super::keys::{self, Change, Form};
use super::super::settings::Settings;
use super::super::value::ValueError;
use super::*;

table! {
    /// A table that only this test has.
    pub struct Example = "example" {
        /// Seconds between two somethings, at least 2. A second
        /// line goes on.
        pause as "pause_secs": Duration = number(3).secs().at_least(2).live();
        /// Whether "it" is `on`.
        on: bool = flag(true).start();
    }
}

#[test]
fn a_row_makes_the_type_the_default_the_range_and_the_manual_entry() {
    let Example { pause, on } = Example::defaults();
    assert_eq!((pause, on), (Duration::from_secs(3), true));
    let [first, second] = Example::KEYS else {
        panic!("two rows are two keys");
    };
    assert_eq!(first.path, "example.pause_secs");
    assert_eq!(first.variable(), "TIDINGS_EXAMPLE__PAUSE_SECS");
    assert_eq!(
        first.text(),
        "Seconds between two somethings, at least 2. A second line goes on."
    );
    assert_eq!(first.fallback_value(), Some(Value::Integer(3)));
    assert_eq!((first.change, second.change), (Change::Live, Change::Start));
    let small = Duration::from_value(&Value::Integer(1), &first.bounds).unwrap_err();
    assert_eq!(small.to_string(), "1 is too small: write at least 2");
}

#[test]
fn the_fallback_of_every_row_has_the_type_of_its_field() {
    let tables: &[fn() -> &'static [Key]] = &[
        read::<acme::AcmeTable>,
        read::<admin::AdminTable>,
        read::<auth::AuthTable>,
        read::<auth::IssuerTable>,
        read::<cluster::ClusterTable>,
        read::<cors::CorsOptions>,
        read::<data::DataTable>,
        read::<dialects::DialectOptions>,
        read::<flash::FlashOptions>,
        read::<history::HistoryTable>,
        read::<hub::HubTable>,
        read::<limits::LimitOptions>,
        read::<listen::ListenTable>,
        read::<log::LogOptions>,
        read::<pages::PageOptions>,
        read::<presence::PresenceTable>,
        read::<proxy::ProxyOptions>,
        read::<publish::PublishOptions>,
        read::<rooms::RoomOptions>,
        read::<server::ServerOptions>,
        read::<sockjs::SockJsOptions>,
        read::<subscribe::SubscribeOptions>,
        read::<tls::TlsTable>,
        read::<traces::TracesTable>,
        read::<websocket::WebSocketOptions>,
        read::<zeromq::ZeroMqBrokerTable>,
        read::<zeromq::ZeroMqInputTable>,
        read::<zeromq::ZeroMqOutputTable>,
        read::<zeromq::ZeroMqTable>,
    ];
    let keys: usize = tables.iter().map(|read| read().len()).sum();
    assert_eq!(keys, keys::all().count(), "a table is missing here");
}

fn read<T: Table>() -> &'static [Key] {
    T::defaults();
    T::KEYS
}

#[test]
fn the_form_of_every_row_fits_the_type_of_its_field() {
    let value = |key: &Key| match key.form {
        Form::Flag => "true".to_owned(),
        Form::Number => key.bounds.min.to_string(),
        Form::Choice(words) => words[0].to_owned(),
        Form::Text | Form::Secret | Form::Path | Form::Address | Form::Url | Form::List => {
            "text".to_owned()
        }
    };
    let variables: Vec<Variable> = keys::all()
        .map(|key| Variable {
            name: key.variable().replace("__N__", "__0__"),
            value: Some(value(key)),
        })
        .collect();
    let mut errors = Vec::new();
    let settings = Settings::read(None, &variables, &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    let wrong = check::check(&settings).unwrap_err().to_string();
    assert!(!wrong.contains(&ValueError::Form.to_string()), "{wrong}");
}

#[test]
fn a_wrong_value_hides_no_other() {
    let text = "[limits]\nconnections_max = 0\nhead_timeout_secs = 0\nbody_timeout_secs = 7\n";
    let mut errors = Vec::new();
    let settings = Settings::read(Some((Path::new("t.toml"), text)), &[], &mut errors);
    let read = limits::LimitOptions::read(&mut Values::new(&settings, "limits", &mut errors));
    let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "limits.connections_max: 0 is too small: write at least 1",
            "limits.head_timeout_secs: 0 is too small: write at least 1",
        ]
    );
    assert_eq!(read.body, Duration::from_secs(7));
}

/// Every key is one of the two, since a row without one does not compile. Which one is a promise to
/// operators: a key that leaves or joins this list changes what they must do.
#[test]
fn what_only_a_start_can_change_is_decided() {
    let mut tables: Vec<(&str, String)> = Vec::new();
    for key in keys::all().filter(|key| key.change == Change::Start) {
        let (table, name) = key.path.rsplit_once('.').unwrap();
        match tables.last_mut() {
            Some((last, names)) if *last == table => names.push_str(&format!(" {name}")),
            _ => tables.push((table, name.to_owned())),
        }
    }
    let lines = tables
        .iter()
        .map(|(table, names)| format!("{table}: {names}\n"));
    let paths: String = lines.collect();
    expect![[r#"
        listen.N: address tls proxy_protocol room
        tls: certificate key
        tls.acme: names contact directory ca_file challenges eab_key_id eab_key eab_key_file
        hub: public_url allow_plaintext
        data: dir
        server: shards
        admin: address
        auth: jwks_cache_secs
        dialects: v0 v2019
        subscribe: keep_alive_secs
        flash: address
        history: kind path ring_bytes
        cluster: engine url notify_url read_url name node username password_file nkey_file credentials_file sentinel_username sentinel_password_file ca_file certificate_file key_file acknowledge replicas replicas_timeout_ms max_wait_ms allow_unguarded create address peer_token peer_token_file window_bytes connect_timeout_ms inbox_poll_ms start_timeout_secs
        presence: enabled page_size_max subscriptions_max
        zeromq: allow_plaintext username password high_water_mark high_water_bytes queue_bytes_max message_bytes_max peers_max subscriptions_max handshake_timeout_secs heartbeat_secs
        zeromq.brokers.N: inputs outputs
        zeromq.inputs.N: socket subscribe format unparsable topic topic_prefix event_type private match_exact match_urlpattern name
        zeromq.outputs.N: socket format match_exact match_urlpattern private origin name
        log: format access_file
        traces: endpoint headers service_name resource_attributes sampler ratio
    "#]].assert_eq(&paths);
}
