//! What can go wrong with a submission, and the exit code that tells the caller what to do about it.

use nix::errno::Errno;

use crate::message::HeaderError;
pub(super) use crate::role::sysexits::{DATA, NO_INPUT, NOT_PERMITTED, TEMPORARY, USAGE};

use super::store::StoreFault;

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The envelope sender is no address.
    #[error("invalid sender address: [{0}]")]
    Sender(String),
    /// An envelope recipient is no address.
    #[error("invalid recipient address: [{0}]")]
    Recipient(String),
    /// A header that is needed for the envelope is no address list.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// `--content-to` with nothing to set the header to.
    #[error("content-to option used but no envelope-to addresses have been defined")]
    ContentTo,
    /// Neither the command line nor the headers name a recipient.
    #[error("no recipients")]
    NoRecipients,
    /// More `Bcc` recipients than can have messages of their own at once.
    #[error("too many bcc recipients to split: {0}")]
    SplitCount(usize),
    /// The program does not understand itself.
    #[error("no options")]
    Options,
    /// A `--content` value is not base64.
    #[error("base64 encoding error")]
    Base64,
    /// The header block is over its limit, in bytes.
    #[error("message header is bigger than {0} bytes")]
    HeaderSize(usize),
    /// The content is over the limit of `--size`, in bytes.
    #[error("message size exceeds fixed maximum message size of {0} bytes")]
    Size(u64),
    /// `--copy` without the right to write the spool directory.
    #[error("--copy needs a spool directory that may be written")]
    Copy,
    /// The input file cannot be opened.
    #[error("cannot open input file [{0}]")]
    Open(String),
    /// The input broke off.
    #[error("cannot read input: {}", reason(.0))]
    Read(#[source] std::io::Error),
    /// The spool did not take the message.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl Fault {
    /// The exit code, as in sysexits.
    #[must_use]
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Copy => USAGE,
            Self::Open(_) | Self::Read(_) => NO_INPUT,
            Self::Store(StoreFault::Temporary(_)) => TEMPORARY,
            Self::Store(StoreFault::NotPermitted) => NOT_PERMITTED,
            _ => DATA,
        }
    }
}

/// The text of a system error, in the lower case that messages have.
fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}
