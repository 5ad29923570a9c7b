//! The runs of `tidings-bench` that `cargo xtask bench` makes, each with its own hub.

use super::cluster::EngineKind;
use super::hub::Settings;

/// One run of `tidings-bench`.
pub struct Run {
    /// Its name in the rows of the table.
    pub name: &'static str,
    /// The configuration of its hub.
    pub settings: Settings,
    /// Its arguments in the full size.
    pub full: &'static [&'static str],
    /// Its arguments in the small size. None: it is left out there, since audits show that its engine works.
    pub small: &'static [&'static str],
}

/// All runs, in order.
pub const RUNS: &[Run] = &[
    Run {
        name: "lockstep",
        settings: Settings::Usual,
        full: &["sse", "--subscribers=2000", "--updates=300"],
        small: &["sse", "--subscribers=20", "--updates=10"],
    },
    Run {
        name: "burst_8",
        settings: Settings::Usual,
        full: &["sse", "--subscribers=2000", "--updates=2400", "--burst=8"],
        small: &[
            "sse",
            "--subscribers=20",
            "--topics=3",
            "--updates=16",
            "--burst=8",
        ],
    },
    Run {
        name: "burst_200",
        settings: Settings::Usual,
        full: &[
            "sse",
            "--subscribers=2000",
            "--updates=10000",
            "--burst=200",
        ],
        small: &["sse", "--subscribers=10", "--updates=40", "--burst=20"],
    },
    Run {
        name: "paced",
        settings: Settings::Usual,
        full: &["sse", "--subscribers=2000", "--updates=300", "--rate=10"],
        small: &[
            "sse",
            "--subscribers=10",
            "--updates=10",
            "--rate=20",
            "--source-addresses=3",
        ],
    },
    Run {
        name: "idle",
        settings: Settings::Usual,
        full: &["idle", "--subscribers=10000", "--window=60"],
        small: &["idle", "--subscribers=50", "--settle=1", "--window=2"],
    },
    Run {
        name: "publish_64",
        settings: Settings::Usual,
        full: &["publish", "--publishers=64", "--updates=500000"],
        small: &["publish", "--publishers=4", "--updates=100"],
    },
    Run {
        name: "publish_1",
        settings: Settings::Usual,
        full: &["publish", "--publishers=1", "--updates=20000"],
        small: &["publish", "--publishers=1", "--updates=20"],
    },
    Run {
        name: "cluster_publish_64",
        settings: Settings::Member(EngineKind::Redis),
        full: &["publish", "--publishers=64", "--updates=300000"],
        small: &["publish", "--publishers=4", "--updates=100"],
    },
    Run {
        name: "cluster_publish_1",
        settings: Settings::Member(EngineKind::Redis),
        full: &["publish", "--publishers=1", "--updates=10000"],
        small: &["publish", "--publishers=1", "--updates=20"],
    },
    Run {
        name: "calm",
        settings: Settings::Usual,
        full: &["sse", "--subscribers=10", "--updates=500", "--rate=50"],
        small: &["sse", "--subscribers=2", "--updates=10", "--rate=20"],
    },
    Run {
        name: "cluster_calm",
        settings: Settings::Second(EngineKind::Redis),
        full: &["sse", "--subscribers=10", "--updates=500", "--rate=50"],
        small: &["sse", "--subscribers=2", "--updates=10", "--rate=20"],
    },
    Run {
        name: "cluster_unwanted",
        settings: Settings::Second(EngineKind::Redis),
        full: &["publish", "--publishers=64", "--updates=300000"],
        small: &["publish", "--publishers=4", "--updates=100"],
    },
    Run {
        name: "postgresql_publish_64",
        settings: Settings::Member(EngineKind::Postgresql),
        full: &["publish", "--publishers=64", "--updates=200000"],
        small: &[],
    },
    Run {
        name: "postgresql_publish_1",
        settings: Settings::Member(EngineKind::Postgresql),
        full: &["publish", "--publishers=1", "--updates=5000"],
        small: &[],
    },
    Run {
        name: "postgresql_calm",
        settings: Settings::Second(EngineKind::Postgresql),
        full: &["sse", "--subscribers=10", "--updates=500", "--rate=50"],
        small: &[],
    },
    Run {
        name: "nats_publish_64",
        settings: Settings::Member(EngineKind::Nats),
        full: &["publish", "--publishers=64", "--updates=200000"],
        small: &[],
    },
    Run {
        name: "nats_publish_1",
        settings: Settings::Member(EngineKind::Nats),
        full: &["publish", "--publishers=1", "--updates=5000"],
        small: &[],
    },
    Run {
        name: "nats_calm",
        settings: Settings::Second(EngineKind::Nats),
        full: &["sse", "--subscribers=10", "--updates=500", "--rate=50"],
        small: &[],
    },
    Run {
        name: "resume",
        settings: Settings::SmallRing,
        full: &[
            "resume",
            "--events=1000000",
            "--missed=10000",
            "--subscribers=1000",
        ],
        small: &[
            "resume",
            "--events=2000",
            "--cursors=10",
            "--missed=600",
            "--slow-missed=1000",
            "--subscribers=10",
        ],
    },
    Run {
        name: "idle_tls",
        settings: Settings::Tls,
        full: &["idle", "--subscribers=10000", "--window=5"],
        small: &["idle", "--subscribers=20", "--settle=1", "--window=1"],
    },
    Run {
        name: "http2",
        settings: Settings::Usual,
        full: HTTP2_MANY,
        small: HTTP2_SMALL,
    },
    Run {
        name: "http2_one",
        settings: Settings::Usual,
        full: HTTP2_ONE,
        small: HTTP2_ONE_SMALL,
    },
    Run {
        name: "http2_tls",
        settings: Settings::Tls,
        full: HTTP2_MANY,
        small: HTTP2_SMALL,
    },
    Run {
        name: "http2_tls_one",
        settings: Settings::Tls,
        full: HTTP2_ONE,
        small: HTTP2_ONE_SMALL,
    },
    Run {
        name: "websocket",
        settings: Settings::Usual,
        full: &[
            "compare",
            "--transport=websocket",
            "--connections=2000",
            "--repeats=60",
        ],
        small: &[
            "compare",
            "--transport=websocket",
            "--connections=5",
            "--repeats=2",
        ],
    },
    Run {
        name: "idle_websocket",
        settings: Settings::Usual,
        full: &[
            "idle",
            "--transport=websocket",
            "--subscribers=10000",
            "--window=5",
        ],
        small: &[
            "idle",
            "--transport=websocket",
            "--subscribers=20",
            "--settle=1",
            "--window=1",
        ],
    },
    Run {
        name: "longpoll",
        settings: Settings::Usual,
        full: &[
            "compare",
            "--transport=longpoll",
            "--connections=1000",
            "--repeats=20",
        ],
        small: &[
            "compare",
            "--transport=longpoll",
            "--connections=5",
            "--repeats=2",
        ],
    },
    Run {
        name: "idle_longpoll",
        settings: Settings::Usual,
        full: &[
            "idle",
            "--transport=longpoll",
            "--subscribers=5000",
            "--window=5",
        ],
        small: &[
            "idle",
            "--transport=longpoll",
            "--subscribers=20",
            "--settle=1",
            "--window=1",
        ],
    },
    Run {
        name: "sockjs",
        settings: Settings::Usual,
        full: &[
            "compare",
            "--transport=sockjs",
            "--connections=1000",
            "--repeats=20",
        ],
        small: &[
            "compare",
            "--transport=sockjs",
            "--connections=5",
            "--repeats=2",
        ],
    },
    Run {
        name: "idle_sockjs",
        settings: Settings::Usual,
        full: &[
            "idle",
            "--transport=sockjs",
            "--subscribers=5000",
            "--window=5",
        ],
        small: &[
            "idle",
            "--transport=sockjs",
            "--subscribers=20",
            "--settle=1",
            "--window=1",
        ],
    },
    Run {
        name: "match_exact",
        settings: Settings::Usual,
        full: &["match", "--connections=1000", "--matchers=100"],
        small: &[
            "match",
            "--connections=4",
            "--matchers=50",
            "--updates=20",
            "--quiet=200",
            "--waves=2",
        ],
    },
    Run {
        name: "match_presence",
        settings: Settings::Presence,
        full: &["match", "--connections=1000", "--matchers=100"],
        small: &[
            "match",
            "--connections=4",
            "--matchers=50",
            "--updates=20",
            "--quiet=200",
            "--waves=2",
        ],
    },
    Run {
        name: "presence",
        settings: Settings::Presence,
        full: &["presence", "--connections=1000", "--matchers=100"],
        small: &[
            "presence",
            "--connections=4",
            "--matchers=20",
            "--topics=40",
            "--asks=3",
        ],
    },
    Run {
        name: "match_urlpattern",
        settings: Settings::Usual,
        full: &[
            "match",
            "--urlpattern",
            "--connections=200",
            "--matchers=100",
        ],
        small: &[
            "match",
            "--urlpattern",
            "--connections=4",
            "--matchers=20",
            "--updates=20",
            "--quiet=200",
            "--waves=2",
        ],
    },
    Run {
        name: "match_urlpattern_free",
        settings: Settings::Usual,
        full: &[
            "match",
            "--urlpattern",
            "--shape=https://bench.example/:kind/x#/:id",
            "--connections=200",
            "--matchers=100",
        ],
        small: &[
            "match",
            "--urlpattern",
            "--shape=https://bench.example/:kind/x#/:id",
            "--connections=2",
            "--matchers=20",
            "--updates=10",
            "--quiet=200",
            "--waves=2",
        ],
    },
];

const HTTP2_MANY: &[&str] = &[
    "compare",
    "--transport=http2",
    "--connections=1000",
    "--repeats=60",
];
const HTTP2_ONE: &[&str] = &[
    "compare",
    "--transport=http2",
    "--connections=1",
    "--streams=100",
    "--repeats=400",
];
const HTTP2_SMALL: &[&str] = &[
    "compare",
    "--transport=http2",
    "--connections=5",
    "--repeats=2",
    "--bursts=1,8,200",
];
const HTTP2_ONE_SMALL: &[&str] = &[
    "compare",
    "--transport=http2",
    "--connections=1",
    "--streams=5",
    "--repeats=2",
    "--bursts=1,8,200",
];
