//! TLS with a private authority and certificates of hubs, and a user with the least permissions.

use std::path::{Path, PathBuf};

use redis::Value;
use tidings_access::{Address, Login, Tls, TlsFiles};
use tidings_cluster::engine::{Engine, EngineError};
use tidings_contract::{Authority, check_all};
use tidings_redis::{Options, Place, Redis, permissions};

use crate::harness::{Kind, RedisRig, Server, free_port, name, options, run};

const USER: &str = "hub";
const PASSWORD: &str = "correct horse battery staple";

#[test]
fn tls_and_a_user_with_few_permissions_keep_the_contract() {
    let guarded = Guarded::start();
    // The suite uses a name for each check; a real user has one.
    for line in 1..100 {
        guarded.allow(&format!("line-{line}"));
    }
    let mut rig = RedisRig::new(guarded.options(), |_key| guarded.server.connection());
    run(check_all(&mut rig));
}

#[test]
fn a_wrong_password_is_told_without_it() {
    let guarded = Guarded::start();
    let mut options = guarded.options();
    let file = guarded.write("wrong", "hunter2\n");
    options.login = Login::read(Some(USER), Some(&file)).unwrap();
    let error = state(options);
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    assert!(error.line().contains("WRONGPASS"), "{}", error.line());
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn a_user_without_permissions_is_told_so() {
    let guarded = Guarded::start();
    let mut options = guarded.options();
    options.name = name("not-allowed");
    let error = state(options);
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    assert!(
        error.line().contains("the permissions that a hub needs"),
        "{}",
        error.line()
    );
}

#[test]
fn a_server_of_another_authority_is_not_believed() {
    let guarded = Guarded::start();
    let other = Authority::new();
    let mut options = guarded.options();
    options.tls = Some(guarded.tls(other.pem(), true));
    let error = state(options);
    assert!(
        matches!(error, EngineError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.line().contains("TLS"), "{}", error.line());
}

#[test]
fn a_hub_without_a_certificate_is_not_let_in() {
    let guarded = Guarded::start();
    let mut options = guarded.options();
    options.tls = Some(guarded.tls(guarded.authority.pem(), false));
    state(options);
}

#[test]
fn a_hub_without_tls_is_not_let_in() {
    let guarded = Guarded::start();
    let mut options = guarded.options();
    options.tls = None;
    state(options);
}

/// A server with TLS for hubs, and a plain port for the test.
struct Guarded {
    server: Server,
    tls_port: u16,
    authority: Authority,
}

impl Guarded {
    fn start() -> Self {
        let authority = Authority::new();
        let (certificate, key) = authority.sign("127.0.0.1");
        let tls_port = free_port();
        let port = tls_port.to_string();
        let arguments = [
            "--tls-port",
            &port,
            "--tls-auth-clients",
            "yes",
            "--tls-cert-file",
            "server.pem",
            "--tls-key-file",
            "server.key",
            "--tls-ca-cert-file",
            "authority.pem",
        ];
        let server = Server::start_from(Kind::Redis, &arguments, |folder| {
            std::fs::write(folder.join("server.pem"), certificate)?;
            std::fs::write(folder.join("server.key"), key)?;
            std::fs::write(folder.join("authority.pem"), authority.pem())
        });
        let guarded = Self {
            server,
            tls_port,
            authority,
        };
        let password = format!(">{PASSWORD}");
        let words = ["ACL", "SETUSER", USER, "on", &password];
        let _ok: Value = guarded.server.ask(&words);
        guarded.allow("it");
        guarded
    }

    /// Lets the user do what a hub does under a name.
    fn allow(&self, line: &str) {
        let rules = permissions(&name(line));
        let words: Vec<&str> = ["ACL", "SETUSER", USER]
            .into_iter()
            .chain(rules.split(' '))
            .collect();
        let _ok: Value = self.server.ask(&words);
    }

    fn options(&self) -> Options {
        let password = self.write("password", &format!("{PASSWORD}\n"));
        Options {
            login: Login::read(Some(USER), Some(&password)).unwrap(),
            tls: Some(self.tls(self.authority.pem(), true)),
            ..options(Place::Server(Address {
                host: "127.0.0.1".to_owned(),
                port: self.tls_port,
            }))
        }
    }

    fn tls(&self, authority: &str, with_identity: bool) -> Tls {
        let (certificate, key) = self.authority.sign("hub");
        let authority = self.write("trusted.pem", authority);
        let identity: (PathBuf, PathBuf) = (
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
        let path: &Path = self.server.folder();
        let path = path.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// The error of a probe that must fail.
fn state(options: Options) -> EngineError {
    let engine = Redis::new(options);
    let mut error = None;
    run(async {
        error = engine.state().await.err();
    });
    error.expect("it was let in")
}
