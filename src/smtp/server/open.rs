//! A message on its way in, from MAIL to its commit.

use super::chunk::Chunks;
use super::content::Content;
use super::question::Transaction;

/// A transaction under way.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) transaction: Transaction,
    /// SMTPUTF8 was given at MAIL.
    pub(super) smtputf8: bool,
    /// Date for the `Received:` line.
    pub(super) received_date: String,
    /// The driver has been told to drop the message; the rest of its content is only counted.
    pub(super) dropped: bool,
    /// Bytes of the recipients so far.
    pub(super) recipient_bytes: usize,
    /// That there are too many recipients has been logged.
    pub(super) limit_told: bool,
    /// Set in the data state.
    pub(super) content: Option<Content>,
    /// Set from the first chunk on.
    pub(super) chunks: Option<Chunks>,
}
