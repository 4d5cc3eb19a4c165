//! The POP3 server's side of a session, without I/O (RFC 1939).
//!
//! A [`Session`] is fed with bytes, answers and the time, and gives back [`Output`]s: bytes to send, questions to answer,
//! facts to log, and at last a close. It is driven as [`crate::smtp::server`] is, with these differences:
//!
//! - replies can be as long as a mailbox: the driver writes what has gathered before it calls [`Session::next`] again, and
//!   tells by [`Session::sent`] that the peer takes it;
//! - after [`Output::StartTls`] it makes the handshake and reports by [`Session::tls_started`], or, when bytes lie behind
//!   the command in clear, [`Session::plaintext_after_stls`].
//!
//! | state | meaning | leaves by |
//! |---|---|---|
//! | start | not logged in | USER, PASS, APOP, AUTH, STLS, QUIT |
//! | sasl | an exchange is under way (RFC 5034) | its outcome, `*` |
//! | handshake | STLS was answered (RFC 2595) | its outcome |
//! | transaction | a mailbox is open | QUIT |
//! | closed | nothing more | |
//!
//! Across these lies busy: a question is open, a reply is being produced piece by piece, or is held back. No command is
//! taken then, so pipelined commands (RFC 2449 §6.8) are answered strictly in order, and nothing is cut off.
//!
//! Messages are deleted at QUIT, by one question, before its reply; any other end deletes nothing.

mod auth;
mod capabilities;
mod command;
mod config;
mod content;
mod ends;
mod event;
mod limits;
mod maildrop;
mod marks;
mod output;
mod question;
pub mod reply;
mod scan;
mod session;
mod trace;

#[cfg(test)]
mod tests;

pub use config::{Channel, Habits, Offer, Offers, PopConfig, Start, StartTls};
pub use event::{CloseReason, Event, Severity};
pub use limits::{
    BLOCK, MAX_ERRORS, MAX_FAILURES, MAX_IDLE_BEFORE_LOGIN, MAX_LINE_AFTER, MAX_LINE_BEFORE, MAX_LINE_SASL,
    MAX_LOGIN_TIME, MAX_LONG_LINES, MAX_UNENDED,
};
pub use marks::Marks;
pub use output::Output;
pub use question::{Answer, Block, Denial, Login, Maildrop, NoMailbox, Question};
pub use session::Session;
