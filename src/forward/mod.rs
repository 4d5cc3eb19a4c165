//! Sending spooled messages on.
//!
//! [`outcome`], [`answer`] and [`backoff`] decide, without I/O; [`engine`] runs over the spool and `scan` looks at it, with one `lane` for each
//! destination and one `worker` for each connection, of which `permits` allow so many; `deliver` carries one message through. [`proxy`] does the same for clients that wait.

pub mod account;
pub mod answer;
mod aside;
pub mod backoff;
mod basis;
mod config;
mod content;
mod crowd;
mod deliver;
mod destination;
pub mod engine;
mod events;
mod examine;
mod filtering;
mod finish;
mod ignored;
mod known;
mod lane;
mod memory;
mod open;
pub mod outcome;
mod pace;
mod permits;
pub mod proxy;
mod scan;
mod take;
mod tally;
mod ticket;
mod token;
#[cfg(test)]
mod transcripts;
mod worker;

pub use config::{EngineConfig, Scope, Secure};
pub use destination::Destination;
pub use engine::Engine;
pub use tally::RunReport;

/// Why a run is made. The words are those of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Somebody has started the process with forwarding on.
    Startup,
    /// A timer or a request has started the process.
    Scheduled,
    /// The polling period has passed.
    Poll {
        /// The period is short.
        often: bool,
    },
    /// An SMTP client has disconnected.
    Disconnect,
    /// A filter of the SMTP server has asked for it.
    Rescan,
    /// Somebody has created the request file.
    Request,
    /// A message that had to wait is due.
    Retry,
    /// An administrator wants it.
    Admin,
    /// An administrator wants everything sent now.
    Flush,
}

impl Reason {
    /// The word in `forwarding: [..]`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup | Self::Scheduled => "startup",
            Self::Poll { .. } => "poll",
            Self::Disconnect => "client disconnect",
            Self::Rescan => "rescan",
            Self::Request => "request",
            Self::Retry => "retry",
            Self::Admin => "admin",
            Self::Flush => "flush",
        }
    }

    /// Whether somebody has chosen this moment. Such a run tries every destination, also one whose last failure was a
    /// moment ago; a run that a new message causes does not, or every new message would knock at a dead server.
    #[must_use]
    pub fn is_explicit(self) -> bool {
        matches!(self, Self::Startup | Self::Poll { .. } | Self::Admin | Self::Flush)
    }

    /// Whether such a run is worth no line in the log unless it finds something.
    #[must_use]
    pub fn is_quiet(self) -> bool {
        matches!(self, Self::Poll { often: true })
    }
}
