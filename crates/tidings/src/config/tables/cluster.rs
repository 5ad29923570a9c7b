//! `[cluster]`: the engine that orders the updates of several hubs.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::keys::Form::{self, Path, Text, Url};
use crate::config::keys::rule::{flag, number, text, unset, word};
use crate::config::value::{Secret, Words};

table! {
    /// The `[cluster]` table.
    pub struct ClusterTable = "cluster" {
        /// What orders the updates of the hubs of a cluster. Hubs with the same engine, address and
        /// name are one hub for publishers and subscribers; see the guide to clusters. `redis` is
        /// Redis 6.2 or later, or Valkey; `postgresql` is PostgreSQL 14 or later; `nats` is NATS
        /// 2.12.8 or later with JetStream.
        engine: EngineKind = word::<EngineKind>("none").start();
        /// Where the engine is: `redis://HOST:PORT` for one server, `redis+sentinel://A,B,C/NAME`
        /// for a primary that Sentinels name (list all of them), `redis+cluster://A,B,C` for a Redis
        /// Cluster. With `rediss` instead of `redis`, all connections use TLS. PostgreSQL is
        /// `postgresql://HOST:PORT/DATABASE`, or `postgresql://A,B/DATABASE` with all servers of
        /// which one is the primary; connections use TLS, and the server's certificate is checked,
        /// unless all servers are on this machine or the URL ends in `?sslmode=disable`. NATS is
        /// `nats://A:4222,B:4222,C:4222` with some or all servers of one NATS cluster, or `tls://`
        /// for TLS. A URL contains no user name and no password.
        url: Option<String> = unset(Url, "none").start();
        /// PostgreSQL: where a hub waits for notifications, if `cluster.url` is a pooler that gives
        /// each transaction another connection; it is the address of the server itself. Without
        /// notifications, updates of other hubs arrive up to half a second later.
        notify_url: Option<String> = unset(Url, "cluster.url").start();
        /// PostgreSQL: where a hub reads the updates, such as a standby near it. It still publishes
        /// at `cluster.url`.
        read_url: Option<String> = unset(Url, "cluster.url").start();
        /// The name of the cluster. Keys in Redis begin with `{t:NAME}:`, and in PostgreSQL it is
        /// the name of the schema, so that several clusters can use one server. In NATS the streams
        /// are `tidings_NAME` and `tidings_NAME=leases`. 1 to 64 letters, digits, `.`, `_` or `-`.
        name: String = text("tidings").start();
        /// The name of this hub in log lines and in the status of the cluster.
        node: Option<String> = unset(Text, "the name of the machine").start();
        /// The user of the engine; for PostgreSQL, without it, `tidings`. Requires
        /// `cluster.password_file`, but not with PostgreSQL, which may let in by a certificate.
        username: Option<String> = unset(Text, "the engine's default user").start();
        /// File with the password for the engine. With `nats` and no `cluster.username`, it holds a
        /// token.
        password_file: Option<PathBuf> = unset(Path, "none: no login").start();
        /// File with the seed of the nkey by which this hub logs in to NATS: one line that begins
        /// with `SU`.
        nkey_file: Option<PathBuf> = unset(Path, "none").start();
        /// File with the credentials by which this hub logs in to NATS, as `nsc generate creds`
        /// writes it.
        credentials_file: Option<PathBuf> = unset(Path, "none").start();
        /// The user of the Sentinels. Requires `cluster.sentinel_password_file`.
        sentinel_username: Option<String> = unset(Text, "the Sentinels' default user").start();
        /// File with the password for the Sentinels, which have users of their own.
        sentinel_password_file: Option<PathBuf> = unset(Path, "none: no login").start();
        /// PEM file with the authorities that may have issued the engine's certificate.
        ca_file: Option<PathBuf> = unset(Path, "the system's authorities").start();
        /// PEM file with the certificate, and its chain, that this hub presents to the engine.
        /// Requires `cluster.key_file`.
        certificate_file: Option<PathBuf> = unset(Path, "none").start();
        /// PEM file with the private key of `cluster.certificate_file`.
        key_file: Option<PathBuf> = unset(Path, "none").start();
        /// What the engine guarantees before a publisher gets its 200: `engine`, that the primary
        /// has the update, by its own persistence; `replicated`, that `cluster.replicas` replicas
        /// of Redis, or the standbys in `synchronous_standby_names` of PostgreSQL, have it too. With
        /// NATS, the stream is on one server with `engine`, and on 2 × `cluster.replicas` + 1 servers
        /// with `replicated`, of which a majority has the update. The hub that accepted the update
        /// has always stored it.
        acknowledge: AcknowledgeBy = word::<AcknowledgeBy>("engine").start();
        /// Redis and NATS: replicas that must have an update with
        /// `cluster.acknowledge = "replicated"`. With NATS, 1 means streams on three servers, and 2
        /// on five; more is not possible there.
        replicas: u32 = number(1).at_least(1).at_most(16).start();
        /// Redis: milliseconds that `replicated` waits for the replicas. An update without their answer is
        /// in doubt: its publisher gets 503 with the problem `in-doubt`.
        replicas_timeout as "replicas_timeout_ms": Duration =
            number(1000).millis().at_least(10).at_most(2000).start();
        /// Milliseconds that a publisher waits while the engine is away. Then it gets 503 with
        /// `Retry-After`. The default covers a failover by Sentinel, and most of NATS, which take 5
        /// to 9 seconds.
        wait_max as "max_wait_ms": Duration = number(10_000).millis().at_most(60_000).start();
        /// Redis: whether to start although the primary takes updates without a replica
        /// (`min-replicas-to-write` is 0). After a failover, the old primary may then acknowledge
        /// updates for some seconds that it loses when it comes back; the hubs publish again what
        /// they have of them.
        allow_unguarded: bool = flag(false).start();
        /// Whether a hub without a history may begin the cluster if its name is not in use. With
        /// `false`, only `tidings cluster init` does. Use `false` if the engine keeps nothing and
        /// hubs start with empty disks: an engine that lost everything looks like a new one.
        create: bool = flag(true).start();
        /// URL at which the other hubs reach the operators' listener (`admin.address`) of this hub,
        /// such as `http://10.0.0.11:4401`. A hub that was away for longer than the engine holds
        /// updates, or whose disk is empty, fetches there what it misses. Requires
        /// `cluster.peer_token`.
        address: Option<String> = unset(Url, "none: other hubs fetch nothing from this one").start();
        /// The token by which the hubs of a cluster fetch updates from each other, the same on all.
        /// Whoever presents it at `admin.address` may read every stored update. At least 32
        /// characters; make one with `openssl rand -hex 32`.
        peer_token: Option<Secret> = unset(Form::Secret, "none: hubs fetch nothing from each other").start();
        /// File that contains the value of `peer_token`. A single line break at its end is not part
        /// of it.
        peer_token_file: Option<PathBuf> = unset(Path, "none").start();
        /// Bytes of recent updates that the engine holds. A hub that was away for longer fetches the
        /// updates in between from another hub (`cluster.address`). Without one that has them, it
        /// loses them and tells its subscribers.
        window_bytes: u64 = number(256 * 1024 * 1024).at_least(WINDOW_BYTES_MIN).start();
        /// Milliseconds to connect to a server of the engine.
        connect_timeout as "connect_timeout_ms": Duration =
            number(2000).millis().at_least(10).at_most(60_000).start();
        /// Milliseconds between two looks for updates that applications publish by SQL, while there
        /// are none. One hub of the cluster looks. Only with the engine `postgresql`.
        inbox_poll as "inbox_poll_ms": Duration =
            number(50).millis().at_least(5).at_most(10_000).start();
        /// Seconds that a start waits for the engine. Then it fails.
        start_timeout as "start_timeout_secs": Duration = number(30).secs().at_least(1).start();
    }
}

/// The smallest window.
const WINDOW_BYTES_MIN: u64 = tidings_redis::WINDOW_BYTES_MIN;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// None: the hub is alone.
    None,
    /// Redis or Valkey.
    Redis,
    /// PostgreSQL.
    Postgresql,
    /// NATS JetStream.
    Nats,
}

impl Words for EngineKind {
    const WORDS: &'static [&'static str] = &["none", "redis", "postgresql", "nats"];
    const VALUES: &'static [Self] = &[Self::None, Self::Redis, Self::Postgresql, Self::Nats];
}

/// What is waited for before an update counts as taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcknowledgeBy {
    /// The engine's primary.
    Engine,
    /// Replicas too.
    Replicated,
}

impl Words for AcknowledgeBy {
    const WORDS: &'static [&'static str] = &["engine", "replicated"];
    const VALUES: &'static [Self] = &[Self::Engine, Self::Replicated];
}
