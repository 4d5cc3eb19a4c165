//! Sockets and the pumps between them and the pure protocol sessions.
//!
//! This is the only layer in which a protocol session meets a stream: [`server`] and [`client`] feed bytes and
//! timer ticks in and carry replies, questions and content out. Nothing here knows what the bytes mean.

pub mod address;
pub mod client;
pub mod connect;
pub mod limits;
pub mod listener;
pub mod read;
pub mod server;
pub mod stream;
