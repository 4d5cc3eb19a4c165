//! E-MailRelay again.
/// Name shown in greetings, banners and `--version`.
pub const PRODUCT: &str = "E-MailRelay";
/// Version shown behind [`PRODUCT`].
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub mod cli;
pub mod config;
pub mod forward;
pub mod log;
pub mod message;
pub mod net;
pub mod os;
pub mod role;
pub mod smtp;
pub mod spool;
