//! How a hub reaches the engine of its cluster, whichever engine that is: addresses, a login, TLS,
//! sockets, and the name under which the cluster is kept there.

mod address;
mod login;
mod name;
mod slot;
mod socket;
mod tls;

pub use address::Address;
pub use login::{Login, LoginError, PASSWORD_BYTES_MAX};
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use slot::{Connected, Slot, Taken, Ticket};
pub use socket::{DialError, Watch, connect, encrypt};
pub use tls::{Tls, TlsError, TlsFiles};
