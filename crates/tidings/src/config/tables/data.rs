//! `[data]`: where the hub writes.

use std::path::PathBuf;

use crate::config::keys::rule::path;

table! {
    /// The `[data]` table.
    pub struct DataTable = "data" {
        /// The folder that the hub writes to. The hub creates it if it is missing.
        dir: PathBuf = path("/var/lib/tidings").start();
    }
}
