//! Typed, validated settings.
//!
//! The options of the command line and the configuration files are read by [`crate::cli`]; what comes out is
//! the plain data here.
//! Whoever holds [`Settings`] needs no further check: addresses are parsed, times are [`std::time::Duration`] with
//! "no limit" as `None`, paths have their `@app` and `@cred` replaced. Nothing here opens, resolves or binds
//! anything.

pub mod address;
mod auth;
pub mod built_in;
mod compat;
pub mod dnsbl;
pub mod filter;
pub mod interface;
pub mod keywords;
pub mod line;
mod logging;
pub mod network;
pub mod number;
mod settings;
pub mod spam;
pub mod tls;
pub mod verifier;

pub use auth::{ClientAuth, ServerAuth};
pub use compat::Compat;
pub use filter::{FilterSettings, FilterSpec};
pub use logging::{Facility, LogFormat, LogSettings, Verbosity};
pub use settings::{
    AdminSettings, Anonymous, Durability, ForwardSettings, InDoubt, PopSettings, ProcessSettings, Reach,
    Retry, Settings, SmtpSettings,
};

/// The longest path of a unix socket, in bytes: what the kernel's address structure holds (unix(7)).
pub const UNIX_PATH_MAX: usize = 107;
