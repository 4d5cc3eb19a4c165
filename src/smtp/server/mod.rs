//! The SMTP server's side of a session, without I/O.
//!
//! A [`Session`] is fed with bytes, answers, the time, and the news that the peer has gone; it gives back
//! [`Output`]s: bytes to send, content to store, questions to answer, facts to log, and at last a close. The driver
//! loop is:
//!
//! 1. offer all unread bytes to [`Session::input`], which may take a part;
//! 2. drain [`Session::next`], doing what it says in that order, and answer a [`Question`] by [`Session::answer`] as
//!    soon as the answer is known; as long as bytes were taken or an answer given go to 1;
//! 3. write what is to be sent in one piece, read more, and go to 1; when [`Session::deadline`] passes call
//!    [`Session::timer`] and go to 1; when the peer has closed and all its bytes are taken, or none are taken any
//!    more, call [`Session::peer_closed`] and drain.
//!
//! So commands are executed strictly in order, and a pipelined command behind a question waits for its reply. Reading
//! should stop while [`Session::is_busy`], and while much output is unsent.
//!
//! | state | meaning | leaves by |
//! |---|---|---|
//! | start | connected | EHLO, HELO |
//! | idle | greeted, no transaction | MAIL, AUTH |
//! | auth | an exchange of AUTH is under way (RFC 4954) | its outcome, `*` |
//! | mail | sender accepted | RCPT, DATA (refused), RSET |
//! | rcpt | at least one recipient accepted | DATA, BDAT, RSET |
//! | must-reset | DATA was tried for a binary message, or a chunk was refused | RSET |
//! | data | content comes | end of data |
//! | bdat | between two chunks of a message (RFC 3030) | BDAT, RSET |
//! | bdat-data | a chunk comes | its end |
//! | handshake | STARTTLS was accepted; bytes in clear end the session | [`Session::secured`], back to start |
//! | closed | nothing more | |
//!
//! Across these lies busy: a question is open, or a reply is held back from a peer that makes too many errors.
//! A refused chunk is dropped on the way to the next command, whatever the state.
//!
//! STARTTLS (RFC 3207) is unknown unless [`ServerConfig::starttls`], and BDAT unless [`Extensions::chunking`] is set.

mod auth;
mod chunk;
mod config;
mod content;
mod ends;
mod event;
mod hello;
mod limits;
mod mail;
mod open;
mod output;
mod question;
mod rcpt;
mod session;
mod starttls;
mod trace;

#[cfg(test)]
pub(crate) mod tests;

pub use auth::Login;
pub use config::{Anonymous, BareLf, Extensions, Habits, Offer, Peer, ServerConfig, Trust};
pub use event::{CloseReason, Event, Severity};
pub use limits::{
    MAX_AUTH_FAILURES, MAX_ERRORS, MAX_IDLE_BEFORE_HELLO, MAX_PEER_NAME, MAX_QUEUED, MAX_RECIPIENT_BYTES,
    MAX_SMALL_CHUNKS, MAX_VRFY, OVERSIZE_SLACK, RATE_FLOOR, RECIPIENT_OVERHEAD, SMALL_CHUNK,
};
pub use output::Output;
pub use question::{Answer, AuthStep, Question, Refusal, Rejection, Transaction, Verdict};
pub use session::Session;
