//! TLS with a private authority and certificates of hubs, and a user with the least permissions.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidings_access::{Login, Tls, TlsFiles};
use tidings_cluster::engine::{Engine as _, EngineError, State};
use tidings_contract::{Authority, check_all};
use tidings_postgresql::{Encryption, Options, Postgresql};

use crate::harness::server::{copy, give, make_schema_for, template};
use crate::harness::{PostgresqlRig, Server, run};

/// Logs in by a password, and shows a certificate of anybody.
const USER: &str = "hub";
/// Logs in by a certificate with its name. A password takes a hundredth of a second of arithmetic.
const CERTIFIED: &str = "certified";
const PASSWORD: &str = "correct horse battery staple";

#[test]
fn tls_and_a_user_with_few_permissions_keep_the_contract() {
    let guarded = Guarded::start();
    let mut options = guarded.options();
    options.login = Login::without_password(CERTIFIED);
    let rig = PostgresqlRig::new(&guarded.server, options);
    run(check_all(&mut rig.granted_to(CERTIFIED)));
}

#[test]
fn a_hub_logs_in_by_a_password() {
    let guarded = Guarded::start();
    make_schema_for(guarded.server.port, "it", USER);
    run(async {
        let engine = Postgresql::new(guarded.options());
        assert_eq!(engine.state().await.unwrap(), State::None);
    });
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let guarded = Guarded::start();
    let refused = |options: Options, expected: &str| {
        let error = state(options);
        assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
        assert!(error.line().contains(expected), "{}", error.line());
        assert!(!format!("{error:?}").contains("hunter2"));
    };
    let mut options = guarded.options();
    let file = guarded.write("wrong", "hunter2\n");
    options.login = Login::read(Some(USER), Some(&file)).unwrap();
    refused(options, "set the user name and the password file");

    let mut options = guarded.options();
    options.place.database = "nowhere".to_owned();
    refused(options, "create the database");

    refused(guarded.options(), "tidings cluster schema --hub ROLE");

    let mut options = guarded.options();
    options.place.encryption = Encryption::None;
    refused(options, "no encryption");

    // A hub that shows no certificate.
    let mut options = guarded.options();
    options.tls = Some(guarded.tls(guarded.authority.pem(), false));
    let error = state(options);
    assert!(error.line().contains("certificate"), "{}", error.line());

    // A server of another authority.
    let mut options = guarded.options();
    options.tls = Some(guarded.tls(Authority::new().pem(), true));
    let error = state(options);
    assert!(
        matches!(error, EngineError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.line().contains("TLS"), "{}", error.line());
}

/// A server with TLS and passwords for hubs, in which the test's own user is believed.
struct Guarded {
    server: Server,
    authority: Authority,
    folder: TempDir,
}

impl Guarded {
    fn start() -> Self {
        let authority = Authority::new();
        let (certificate, key) = authority.sign("127.0.0.1");
        let settings = [
            "ssl=on",
            "ssl_cert_file=server.pem",
            "ssl_key_file=server.key",
            "ssl_ca_file=authority.pem",
        ];
        let server = Server::start_from(&settings, |data| {
            copy(&template(), data);
            let rules = "host all postgres 127.0.0.1/32 trust\n\
                         hostssl all certified 127.0.0.1/32 cert\n\
                         hostssl all hub 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n";
            for (name, text) in [
                ("server.pem", certificate.as_str()),
                ("server.key", &key),
                ("authority.pem", authority.pem()),
                ("pg_hba.conf", rules),
            ] {
                let path = data.join(name);
                std::fs::write(&path, text).unwrap();
                secret(&path);
                give(&path);
            }
        });
        server.sql(&format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"));
        server.sql(&format!("CREATE ROLE {CERTIFIED} LOGIN"));
        server.make_schema("it");
        Self {
            server,
            authority,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn options(&self) -> Options {
        let password = self.write("password", &format!("{PASSWORD}\n"));
        let mut options = self.server.options();
        options.place.encryption = Encryption::Tls;
        options.login = Login::read(Some(USER), Some(&password)).unwrap();
        options.tls = Some(self.tls(self.authority.pem(), true));
        options
    }

    fn tls(&self, authority: &str, with_identity: bool) -> Tls {
        let (certificate, key) = self.authority.sign(CERTIFIED);
        let authority = self.write("trusted.pem", authority);
        let identity = (
            self.write("hub.pem", &certificate),
            self.write("hub.key", &key),
        );
        let identity = with_identity.then_some((identity.0.as_path(), identity.1.as_path()));
        Tls::read(TlsFiles {
            authorities: Some(&authority),
            identity,
        })
        .unwrap()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// The server takes no key that others may read.
fn secret(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The error of a probe that must fail.
fn state(options: Options) -> EngineError {
    let engine = Postgresql::new(options);
    let mut error = None;
    run(async {
        error = engine.state().await.err();
    });
    error.expect("it was let in")
}
