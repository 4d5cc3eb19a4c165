//! Sockets and the pumps between them and the pure protocol sessions.
//!
//! This is the only layer in which a protocol session meets a stream: [`server`], [`client`], [`pop`] and [`admin`] feed bytes and
//! timer ticks in and carry replies, questions and content out. Nothing here knows what the bytes mean.

pub mod address;
pub mod admin;
pub mod alternatives;
pub mod client;
pub mod connect;
pub mod ledger;
pub mod limits;
pub mod listener;
pub mod pop;
pub mod read;
pub mod server;
pub mod socks;
pub mod stream;
