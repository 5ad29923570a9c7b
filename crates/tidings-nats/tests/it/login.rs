//! TLS with a private authority and certificates of hubs, and users with the least permissions.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidings_access::{Login, Tls, TlsFiles};
use tidings_cluster::engine::{
    BATCH_BYTES_MAX, Claimed, Engine, EngineError, EpochId, Lease, LeaseName, LineEnd, Seen, Tailed,
};
use tidings_contract::{Authority, Hub};
use tidings_core::Position;
use tidings_nats::{Access, Nats, Options, permissions};

use crate::harness::{NatsRig, Servers, name, options, run};

/// The pair of the manual of NATS, "NKeys".
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
const PUBLIC: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
const PASSWORD: &str = "correct horse battery staple";

#[test]
fn tls_and_users_with_few_permissions_suffice() {
    let guarded = Guarded::start();
    for access in [guarded.nkey(SEED), guarded.password(PASSWORD)] {
        let options = Options {
            access,
            ..guarded.options()
        };
        run(use_everything(&NatsRig::new(options.clone())));
        let problems = Nats::new(options);
        run(async {
            let found = problems.problems(None).await.unwrap();
            assert!(found.len() < 2, "one server keeps the line: {found:?}");
        });
    }
}

/// Each call of a hub, and so each subject that it uses.
pub(crate) async fn use_everything(rig: &NatsRig) {
    let seen = Seen {
        position: Position::ZERO,
        print: None,
    };
    let mut hub = Hub::join(rig, 1).await;
    let before = hub.line().await.last;
    hub.append_keyed(seen, &[(b"a", Some("k")), (b"b", None)])
        .await;
    hub.append_keyed(seen, &[(b"c", Some("l"))]).await;
    let tailed = hub.engine.tail(before, BATCH_BYTES_MAX).await.unwrap();
    assert!(matches!(tailed, Tailed::Entries(some) if !some.is_empty()));
    assert!(!hub.entries(1).await.is_empty());
    let line = hub.line().await;
    let end = LineEnd {
        epoch: line.epoch,
        last: line.last,
    };
    let new = EpochId::new(line.epoch.get() + 1);
    hub.engine.bump(end, new).await.unwrap();
    assert_eq!(hub.line().await.epoch, new);
    for name in [LeaseName::Node, LeaseName::Named("trim".into())] {
        let lease = Lease {
            name,
            holder: hub.sender,
            ttl_ms: 60_000,
            record: None,
        };
        hub.engine.lease(lease).await.unwrap();
    }
    assert_eq!(hub.engine.leases().await.unwrap().len(), 1);
    let claimed = hub.engine.claim(hub.sender, hub.sender).await.unwrap();
    assert_eq!(claimed, Claimed::Alive);
}

#[test]
fn a_wrong_secret_is_told_without_it() {
    let guarded = Guarded::start();
    let other = "SUAO2BSQEXVNCQFEB4DDWKYFR3WHPMSGCNBVJBYFJOYWO66QJIZWPYN22U";
    for (access, secret) in [
        (guarded.nkey(&SEED.replace("VY", "V4")), "SUACSSL"),
        (guarded.nkey(other), other),
        (guarded.password("hunter2"), "hunter2"),
        (Access::Anyone, "?"),
    ] {
        let mut options = guarded.options();
        options.access = access;
        let error = state(options);
        assert!(!format!("{error:?}{}", error.line()).contains(secret));
        assert!(!error.leaves_doubt(), "{error:?}");
    }
}

#[test]
fn a_user_without_permissions_is_told_so() {
    let guarded = Guarded::start();
    let mut options = guarded.options();
    options.name = name("not-allowed");
    let error = state(options);
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    let wanted = "the permissions that a hub needs";
    assert!(error.line().contains(wanted), "{}", error.line());
}

#[test]
fn a_server_of_another_authority_is_not_believed() {
    let guarded = Guarded::start();
    let mut options = guarded.options();
    options.tls = Some(guarded.tls(Authority::new().pem(), true));
    let error = state(options);
    assert!(
        matches!(error, EngineError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(
        error.line().to_lowercase().contains("certificate"),
        "{}",
        error.line()
    );
}

#[test]
fn a_hub_without_a_certificate_or_without_tls_is_not_let_in() {
    let guarded = Guarded::start();
    let mut options = guarded.options();
    options.tls = Some(guarded.tls(guarded.authority.pem(), false));
    state(options.clone());
    options.tls = None;
    state(options);
}

#[test]
fn a_token_is_a_password_without_a_user() {
    let servers = Servers::start_with(1, "authorization { token: \"open sesame\" }");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "open sesame\n").unwrap();
    let mut options = options(&servers);
    state(options.clone());
    options.access = Access::password(Login::read(None, Some(&file)).unwrap());
    let engine = Nats::new(options);
    run(async {
        engine.state().await.unwrap();
    });
}

/// A server that wants a certificate and a user.
struct Guarded {
    servers: Servers,
    authority: Authority,
    folder: TempDir,
}

impl Guarded {
    fn start() -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.sign("127.0.0.1");
        let path = |name: &str| folder.path().join(name).display().to_string();
        for (name, text) in [
            ("server.pem", certificate.as_str()),
            ("server.key", &key),
            ("authority.pem", authority.pem()),
        ] {
            std::fs::write(path(name), text).unwrap();
        }
        let allowed = permissions(&name("it"));
        let allowed: Vec<String> = allowed
            .iter()
            .map(|subject| format!("{subject:?}"))
            .collect();
        let permissions = format!(
            "permissions {{ subscribe: \"_INBOX.>\", publish: [{}] }}",
            allowed.join(", ")
        );
        let settings = format!(
            "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}\n\
             authorization {{ users: [\n{{ nkey: {PUBLIC}, {permissions} }},\n\
             {{ user: hub, password: {PASSWORD:?}, {permissions} }}\n] }}",
            path("server.pem"),
            path("server.key"),
            path("authority.pem"),
        );
        Self {
            servers: Servers::start_with(1, &settings),
            authority,
            folder,
        }
    }

    fn options(&self) -> Options {
        let mut options = options(&self.servers);
        options.place.tls = true;
        options.access = self.nkey(SEED);
        options.tls = Some(self.tls(self.authority.pem(), true));
        options
    }

    fn nkey(&self, seed: &str) -> Access {
        Access::nkey(&self.write("seed", &format!("{seed}\n"))).unwrap()
    }

    fn password(&self, password: &str) -> Access {
        let file = self.write("password", &format!("{password}\n"));
        Access::password(Login::read(Some("hub"), Some(&file)).unwrap())
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
        let path: &Path = self.folder.path();
        let path = path.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// The error of a probe that must fail.
pub(crate) fn state(options: Options) -> EngineError {
    let engine = Nats::new(options);
    let mut error = None;
    run(async {
        error = engine.state().await.err();
    });
    error.expect("it was let in")
}
