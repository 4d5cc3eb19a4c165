//! The SMTP client: a pure state machine for one session with one server (RFC 5321).
//!
//! The caller owns the connection, the clock and the message. It feeds what the server sent ([`Session::input`]),
//! the end of the connection ([`Session::closed`]) and the passing of time ([`Session::timer`]), and after each call
//! drains [`Session::next`], obeying every [`Output`]. A session is re-used for any number of messages:
//!
//! ```text
//! new -> Ready -> send(message) -> NeedContent -> content(..)... -> Done(result) -> Ready -> ... -> quit -> Close
//!                                                     any time: Fault(fault), Close
//! ```
//!
//! [`MessageResult`] is what the server (or a local check) decided about one message, [`Fault`] is the end of a session
//! for a cause that says nothing about a message. What either means for the spool is decided by
//! `crate::forward::outcome`, not here.
//!
//! Files: `session` dispatches, `greeting` opens the dialogue, `transaction` carries one message, `reply` and `capabilities`
//! parse what the server says, `content` turns file bytes into DATA lines, `chunks` into BDAT chunks. `starttls` and then `auth`
//! come between the EHLO reply and `Ready`.

mod auth;
mod capabilities;
mod chunks;
mod config;
mod content;
mod events;
mod greeting;
pub mod limits;
mod message;
mod reply;
mod result;
mod session;
mod starttls;
#[cfg(test)]
mod tests;
mod transaction;

pub use auth::{How, Login};
pub use capabilities::Capabilities;
pub use config::{ClientConfig, StartTls};
pub use content::Stuffer;
pub use events::{Event, Level, MissingExtension};
pub use message::{LocalRefusal, Outgoing};
pub use reply::{ParseError, Reply, ReplyParser, Step};
pub use result::{AuthFault, Fault, FaultKind, MessageResult, Outcome, Recipient, RecipientResult, Stage};
pub use session::{Output, Session};
