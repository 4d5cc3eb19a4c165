//! What a session asks its driver, and the answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::marks::Marks;
use crate::sasl::{Mechanism, Secret};

/// A question; the session is busy until [`super::Session::answer`] is called. One is open at a time.
///
/// A question loses its asker when the session closes first: an answer to a closed session is ignored.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// Who is this, and what is in its mailbox? [`Answer::Challenge`], [`Answer::LoggedIn`], [`Answer::Denied`] or
    /// [`Answer::NoMailbox`].
    Login(Login),
    /// Opens a message, counted from 0. [`Answer::Content`], [`Answer::Gone`] or [`Answer::Unreadable`].
    Open {
        /// Its number.
        index: usize,
    },
    /// The next block of the open message. [`Answer::More`] or [`Answer::Unreadable`].
    More,
    /// Deletes messages. [`Answer::Deleted`] or [`Answer::NotDeleted`].
    Delete(Marks),
}

/// What a client has said of itself.
#[derive(Debug, PartialEq, Eq)]
pub enum Login {
    /// USER and PASS.
    Password {
        /// The name.
        user: Vec<u8>,
        /// All behind `PASS `. If that is not the password and it has a blank in it, the first word may be.
        password: Secret,
    },
    /// APOP, to be judged by the session's challenge.
    Apop {
        /// The name.
        user: Vec<u8>,
        /// In hexadecimal digits.
        digest: Vec<u8>,
    },
    /// AUTH: an exchange begins.
    Begin {
        /// One that is offered.
        mechanism: Mechanism,
        /// The initial response.
        initial: Option<Secret>,
        /// The session is encrypted.
        secure: bool,
    },
    /// The response to the last challenge.
    Respond(Secret),
}

/// The answer to a [`Question`].
pub enum Answer {
    /// To [`Question::Login`]: the exchange goes on with this, not yet in base64.
    Challenge(Vec<u8>),
    /// To [`Question::Login`]: yes.
    LoggedIn(Arc<dyn Maildrop>),
    /// To [`Question::Login`]: no.
    Denied(Denial),
    /// To [`Question::Login`]: yes, but there is no mailbox to see.
    NoMailbox(NoMailbox),
    /// To [`Question::Open`].
    Content {
        /// Size of the file in bytes.
        size: u64,
        /// Its beginning.
        block: Block,
    },
    /// To [`Question::Open`]: somebody else has removed the message.
    Gone,
    /// To [`Question::More`].
    More(Block),
    /// To [`Question::Open`] and [`Question::More`]: it cannot be read.
    Unreadable,
    /// To [`Question::Delete`]: all of them are gone, durably.
    Deleted,
    /// To [`Question::Delete`]: some stay.
    NotDeleted,
}

/// A part of a message, at most [`super::BLOCK`] bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The bytes as stored.
    pub bytes: Vec<u8>,
    /// Nothing comes behind.
    pub last: bool,
}

/// Why a login failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Wrong name or password. The reply waits so long.
    Wrong(Duration),
    /// It could not be found out.
    Unavailable,
}

/// Why there is no mailbox for a user who is who he says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMailbox {
    /// Another session has it.
    InUse,
    /// It cannot be read.
    Unavailable,
    /// There cannot be one of this name.
    Invalid,
}

/// The list of a mailbox, fixed for the session. Messages are counted from 0.
pub trait Maildrop: Send + Sync {
    /// How many messages there are.
    fn count(&self) -> usize;
    /// Bytes of all of them.
    fn total(&self) -> u64;
    /// Bytes of one.
    fn size(&self, index: usize) -> u64;
    /// The name of one that stays the same for ever.
    fn unique_name(&self, index: usize) -> String;
}

impl fmt::Debug for dyn Maildrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maildrop").field("count", &self.count()).finish_non_exhaustive()
    }
}
