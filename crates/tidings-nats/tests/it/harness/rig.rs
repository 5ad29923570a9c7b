//! The engine for the contract suite, and its faults: what would be there if they had happened.

use async_nats::Client;
use serde_json::{Value, json};
use tidings_cluster::engine::Engine;
use tidings_contract::{Fault, Possible, Rig, Step};
use tidings_nats::{Nats, Options};

use super::admin::{ask, connect, lose_tail};
use super::{moment, name};

/// An engine on some servers, one name after the other.
pub(crate) struct NatsRig {
    options: Options,
    lines: u32,
}

impl NatsRig {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, lines: 0 }
    }

    fn stream(&self) -> String {
        format!("tidings_{}", self.options.name)
    }

    async fn client(&self) -> Client {
        let servers = self.options.place.servers.iter();
        let urls: Vec<String> = servers.map(|address| format!("nats://{address}")).collect();
        connect(urls).await
    }

    async fn make(&self, fault: Fault) -> Possible {
        let client = self.client().await;
        let stream = self.stream();
        let info = ask(&client, &format!("STREAM.INFO.{stream}"), &Value::Null).await;
        let update = async |config: &Value| {
            let updated = ask(&client, &format!("STREAM.UPDATE.{stream}"), config).await;
            assert!(updated.get("error").is_none(), "{updated}");
        };
        let mut config = info["config"].clone();
        match fault {
            Fault::LoseTail { last } => lose_tail(&client, &stream, last.get()).await,
            Fault::LoseEverything => {
                for stream in [&stream, &format!("{stream}=leases")] {
                    ask(&client, &format!("STREAM.DELETE.{stream}"), &Value::Null).await;
                }
            }
            Fault::LoseHead => {
                // Somebody has replaced the stream's settings.
                config["metadata"] = json!({});
                config["subjects"] = json!([format!("other.{stream}")]);
                update(&config).await;
            }
            // An atomic batch is stored as a whole.
            Fault::EndBehind { .. } => return Possible::No,
            Fault::Trim { oldest } => {
                let last = info["state"]["last_seq"].as_u64().unwrap();
                // Its limit is one of bytes: the newest message always fits.
                if oldest.get() > last {
                    return Possible::No;
                }
                config["max_msgs"] = (last + 1 - oldest.get()).into();
                update(&config).await;
                config["max_msgs"] = (-1).into();
                update(&config).await;
            }
        }
        Possible::Yes
    }
}

impl Rig for NatsRig {
    fn fresh(&mut self) {
        self.lines += 1;
        self.options.name = name(&format!("line-{}", self.lines));
    }

    fn engine(&self) -> Box<dyn Engine> {
        Box::new(Nats::new(self.options.clone()))
    }

    fn fault(&self, fault: Fault) -> Step<'_, Possible> {
        Box::pin(self.make(fault))
    }

    fn moment(&self) -> Step<'_, ()> {
        Box::pin(moment())
    }
}
