//! The administration protocol without I/O: lines in, replies and questions out.
//!
//! The dialogue is that of E-MailRelay 2.6, byte for byte where it had one: no greeting, no prompt before the first line,
//! and a prompt behind every reply. What is new has commands of its own.
//!
//! | module | what it is |
//! |---|---|
//! | [`command`] | a line becomes a [`Command`], and what right each needs |
//! | [`event`] | what `notify` tells |
//! | [`session`] | the connection |
//! | `text` | the fixed texts |

pub mod command;
pub mod event;
pub mod question;
pub mod session;
#[cfg(test)]
mod tests;
mod text;

pub use command::{Action, Command, Right, State};
pub use event::Notice;
pub use question::{Answer, FlushEnd, Request};
pub use session::{AdminConfig, CloseReason, Output, Session};
pub use text::TOO_MANY_CONNECTIONS;

/// Longest line of a client, with its end.
pub const MAX_LINE: usize = 4096;
/// So many commands in a connection that are unknown or not allowed end it, as in E-MailRelay 2.6.
pub const MAX_ERRORS: u32 = 30;
/// Events that may wait for a client; the ones above are dropped, and it is told how many.
pub const MAX_NOTICES: usize = 1000;
/// Ids of a long list are given out in pieces of about this size.
const PIECE: usize = 64 * 1024;
