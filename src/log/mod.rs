//! The log: typed events in, text lines, syslog or journal entries out.
//!
//! ```text
//! emit(context, event) -> level? -> folded? -> Record -> queue -> writer thread -> one tracing event -> layers
//!                                                 (until start_writer: directly)        text | syslog | journal
//! ```
//!
//! - [`Event`] has a variant for every fact; its `Display` is the text of the line, which tools match and which therefore never
//!   changes. What a peer sent is escaped there ([`escape`]), and the finished line is checked once more.
//! - [`kind`] gives each its level and the `MESSAGE_ID=` of the journal; `systemd/emailrelay.catalog` explains them.
//! - [`Context`] says where it happened; which parts a line shows is the user's choice ([`Format`]), the journal gets all as fields.
//! - Warnings that a peer can cause at will are folded above ten a second, by kind and peer.
//! - The queue is bounded; when the disk or journald cannot follow, verbose lines are dropped first, and the loss is reported.

mod carrier;
mod context;
mod escape;
mod event;
mod file;
mod format;
mod init;
pub mod kind;
mod logger;
mod queue;
mod ratelimit;
mod text;

pub use context::{Context, show};
pub use escape::{Peer, escape};
pub use event::{
    AdminEvent, Delivery, DeliveryEvent, DnsblEvent, Event, Fields, FilterEvent, FilterVerdict, ForwardEvent,
    LoginEvent, NotifyEvent, PopEvent, ProcessEvent, Server, ServerEvent, SpoolEvent, StartEvent, TlsEvent,
    VerifyEvent,
};
pub use format::{Format, program_name};
pub use init::{Journal, JournalText, LogConfig, LogError, LogHandle, Stderr, init};
pub use kind::{Kind, Level};
pub use logger::{emit, is_enabled};

#[cfg(test)]
mod tests;
