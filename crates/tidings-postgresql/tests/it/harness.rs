//! Servers of a test, and the engine on them.

mod pooler;
mod rig;
pub(crate) mod server;
mod sql;

use tidings_postgresql::{Options, Postgresql};

pub(crate) use pooler::Pooler;
pub(crate) use rig::PostgresqlRig;
pub(crate) use server::Server;
pub(crate) use sql::Sql;
pub(crate) use tidings_contract::relays::{RelayHub, publish_by_turns, wait_for_equal};
pub(crate) use tidings_contract::waiting::{DEADLINE, moment, run, until, wait_until};

/// Two hubs on a server.
pub(crate) fn hubs(options: &Options) -> [RelayHub; 2] {
    RelayHub::two(|| Box::new(Postgresql::new(options.clone())))
}
