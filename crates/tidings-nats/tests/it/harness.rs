//! Servers of a test, and the engine on them.

mod admin;
mod links;
mod rig;
mod servers;

use std::time::Duration;

use tidings_access::Name;
use tidings_nats::{Access, Options, Place, Timeouts, WINDOW_BYTES_MIN};

pub(crate) use admin::{Admin, Replaced, lose_tail};
pub(crate) use rig::NatsRig;
pub(crate) use servers::Servers;
pub(crate) use tidings_contract::waiting::{DEADLINE, moment, run, until, wait_until};

/// What a hub on `servers` is told.
pub(crate) fn options(servers: &Servers) -> Options {
    Options {
        place: Place {
            servers: servers.addresses(),
            tls: false,
        },
        name: name("it"),
        access: Access::Anyone,
        tls: None,
        replicas: servers.count(),
        window_bytes: WINDOW_BYTES_MIN,
        update_bytes_max: 1024 * 1024,
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            answer: Duration::from_millis(2500),
            wait: Duration::from_secs(1),
        },
    }
}

/// The same for a test that has no hub which would ask again: hubs that append at once on a busy machine
/// with one slow disk wait long for their turns.
pub(crate) fn patient_options(servers: &Servers) -> Options {
    let mut options = options(servers);
    options.timeouts.answer = DEADLINE;
    options
}

pub(crate) fn name(name: &str) -> Name {
    name.parse().unwrap()
}
