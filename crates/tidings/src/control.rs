//! The control socket, by which commands and the next process speak to a running hub.
//!
//! ```text
//!   DATA/control.sock ◀── tidings reload          one request, one answer
//!                     ◀── tidings serve --take-over   the hand-over of listeners and history
//! ```
//!
//! Only the user that runs the hub, and root, can use it. Requests and answers are lines of JSON.

pub(crate) mod forward;
pub(crate) mod hand_over;
pub(crate) mod message;
pub(crate) mod socket;
pub(crate) mod take_over;
