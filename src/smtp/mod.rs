//! smtp
pub mod client;
pub mod server;
