//! Doors for what only old clients need: the hub of 2019 and its demo, the chat of the PHP tutorial, and the
//! WebSocket handshake of 2010.

pub(crate) mod chat;
pub(crate) mod demo;
pub(crate) mod hixie;
pub(crate) mod hub_2019;
