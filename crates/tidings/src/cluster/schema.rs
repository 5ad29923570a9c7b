//! Makes the tables of an engine that has some.

use tidings_postgresql::{Options, Postgresql, Roles};
use tokio::runtime::Builder;

use super::joining::StartError;

/// Makes or updates the schema of the cluster.
///
/// # Errors
///
/// The server does not answer, or the user may not do it.
pub(crate) fn apply(options: &Options, roles: &Roles) -> Result<(), StartError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let engine = Postgresql::new(options.clone());
    runtime
        .block_on(engine.apply_schema(roles))
        .map_err(StartError::Schema)
}
