//! What a session asks its driver, and the answers.

use super::auth::Login;
use crate::sasl::{Mechanism, Secret};
use crate::smtp::Body;
use crate::smtp::reply::{self, Reply};

/// A question; the session is busy until [`super::Session::answer`] is called. One is open at a time.
///
/// A question loses its asker when the session closes first: an answer to a closed session is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is this client served at all? Asked at MAIL of one that has not logged in, where [`super::Peer::screened`] says so.
    /// [`Answer::Admitted`], after which it is not asked again, or [`Answer::Blocked`].
    Screen,
    /// May a message begin? Asked at MAIL, before its reply. [`Answer::Begun`] or [`Answer::Refused`].
    Begin {
        /// Envelope sender with its domain in A-labels; empty for the null reverse path.
        sender: String,
        /// `SIZE=` of MAIL, in bytes (RFC 1870); not above the limit of the server.
        declared_size: Option<u64>,
    },
    /// Is this recipient good? [`Answer::Verified`].
    Verify {
        /// Address with its domain in A-labels.
        recipient: String,
        /// Envelope sender.
        sender: String,
        /// Who the client is.
        login: Option<Login>,
    },
    /// Is this address good? Asked at VRFY. [`Answer::Verified`].
    Vrfy {
        /// The argument of VRFY, as it came.
        argument: String,
        /// Who the client is.
        login: Option<Login>,
    },
    /// Is the client who it says it is? [`Answer::Challenge`], [`Answer::LoggedIn`], [`Answer::LoginRefused`], or
    /// [`Answer::LoginUnavailable`].
    Authenticate(AuthStep),
    /// Can a TLS handshake begin? [`Answer::TlsReady`] or [`Answer::Refused`].
    StartTls,
    /// All content has been given out: make the message durable. [`Answer::Stored`] or [`Answer::Refused`].
    ///
    /// From here on the message is the driver's: there is no [`super::Output::Discard`] for it any more.
    Commit(Box<Transaction>),
}

/// What the client said in an exchange of AUTH. A new beginning ends the exchange before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthStep {
    /// It has chosen a mechanism, of those that it was offered.
    Begin {
        /// The mechanism.
        mechanism: Mechanism,
        /// Its first response, if it came with the command.
        initial: Option<Secret>,
    },
    /// It has answered a challenge.
    Respond(Secret),
}

/// The open question, with the address as the client sent it where the reply will echo it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    #[default]
    Nothing,
    Screen {
        /// The argument of MAIL.
        argument: Box<[u8]>,
    },
    Begin {
        sent: String,
    },
    Verify {
        sent: String,
        address: String,
    },
    Vrfy {
        argument: String,
    },
    Authenticate,
    StartTls,
    Commit,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Screen`]: yes.
    Admitted,
    /// To [`Question::Screen`]: no, it is in this block list.
    Blocked {
        /// The list's domain.
        list: String,
    },
    /// To [`Question::Begin`]: yes.
    Begun {
        /// RFC 5322 date for the `Received:` line.
        received_date: String,
    },
    /// To [`Question::Verify`] and [`Question::Vrfy`].
    Verified(Verdict),
    /// To [`Question::StartTls`]: yes.
    TlsReady,
    /// To [`Question::Commit`]: the message is safe.
    Stored,
    /// To [`Question::Authenticate`]: the client must answer this.
    Challenge(Vec<u8>),
    /// To [`Question::Authenticate`]: it is this user.
    LoggedIn {
        /// For the envelope, and for verifiers.
        identity: String,
    },
    /// To [`Question::Authenticate`]: it is not.
    LoginRefused,
    /// To [`Question::Authenticate`]: that cannot be said now.
    LoginUnavailable,
    /// The same, for a client that wants to know the name it is stored by.
    StoredAs(String),
    /// To any question: no.
    Refused(Refusal),
}

/// What became of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered here.
    Local {
        /// Mailbox for the envelope.
        mailbox: String,
        /// For the reply to VRFY.
        full_name: String,
    },
    /// Forwarded.
    Remote {
        /// Address for the envelope.
        address: String,
    },
    /// Refused.
    Rejected {
        /// How finally.
        rejection: Rejection,
        /// Text for the client; empty: a general one.
        text: String,
        /// Cause for the log only; may be empty.
        reason: String,
    },
    /// The connection is to be dropped without a reply.
    Abort,
}

/// How finally an address is refused; decides the reply code (RFC 5321 §4.2.2, §4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// 550: there is no such mailbox.
    Permanent,
    /// 450: the mailbox may be there later.
    Temporary,
    /// 451: we could not find out, by a fault of our own.
    LocalFault,
}

impl Rejection {
    /// The reply code.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Permanent => 550,
            Self::Temporary => 450,
            Self::LocalFault => 451,
        }
    }
}

/// A refusal as the client will see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    code: u16,
    text: String,
}

impl Refusal {
    /// A refusal with a 4xx or 5xx code. Any other code becomes 452: what we do not understand is temporary.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code: if (400..600).contains(&code) { code } else { 452 }, text: text.into() }
    }

    /// Disk full, directory gone, write error: 452, so that the client tries again.
    pub fn insufficient_storage() -> Self {
        Self::new(reply::LOCAL_ERROR.code(), reply::INSUFFICIENT_STORAGE)
    }

    pub(super) fn to_reply(&self) -> Reply {
        reply::refused(self.code, &self.text)
    }
}

/// A complete message, its content aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Envelope sender with its domain in A-labels; empty for the null reverse path.
    pub sender: String,
    /// Mailboxes of local recipients, in the order of RCPT, repeats kept.
    pub local: Vec<String>,
    /// Addresses of remote recipients, in the order of RCPT, repeats kept.
    pub remote: Vec<String>,
    /// `BODY=` of MAIL.
    pub body: Body,
    /// `AUTH=` of MAIL as normalised xtext, `<>` included.
    pub mail_auth: Option<String>,
    /// The local part of the sender or of a remote recipient is not ASCII.
    pub utf8_mailboxes: bool,
    /// Authenticated identity; empty without login.
    pub authentication: String,
    /// Bytes of content received from the client, dots unstuffed, the `Received:` line not counted.
    pub size: u64,
    /// Name from EHLO or HELO, printable, blanks replaced by `-`.
    pub hello: String,
}

impl Transaction {
    /// Number of recipients.
    pub fn recipients(&self) -> usize {
        self.local.len().saturating_add(self.remote.len())
    }
}
