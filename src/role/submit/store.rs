//! Storing a composed submission: every message is created first, the body is streamed into all of them, and nothing
//! becomes visible before everything is written.

use super::compose::{BCC, Bcc, Envelope, Submission};
use super::fault::Fault;
use super::read::Body;

/// The line between header and body.
const EMPTY_LINE: &[u8] = b"\r\n";

/// Where messages go.
pub(super) trait Store {
    /// A message that is not visible yet; dropping it removes it.
    type Draft: Draft;

    /// Starts a message, which will have this envelope.
    ///
    /// # Errors
    /// When it is not wanted, or its content file cannot be created.
    fn create(&self, envelope: &Envelope) -> Result<Self::Draft, StoreFault>;

    /// Makes the messages durable and visible, and calls `stored` with the name of each content file, in order.
    ///
    /// # Errors
    /// The first failure, after all messages have been tried.
    fn commit(&self, drafts: Vec<Self::Draft>, stored: &mut dyn FnMut(&str)) -> Result<(), StoreFault>;

    /// Tells the forwarder that there is something to send. Not being able to is no error: the forwarder looks by
    /// itself from time to time.
    fn request_forward(&self);
}

/// A message that is being written.
pub(super) trait Draft {
    /// Adds bytes to the content.
    ///
    /// # Errors
    /// When they cannot be written.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreFault>;

    /// Writes the envelope, not visible yet.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write_envelope(&mut self, envelope: &Envelope) -> Result<(), StoreFault>;
}

/// The spool did not take a message.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreFault {
    /// Not now, for this reason.
    #[error("{0}")]
    Temporary(String),
    /// Not at all, says the SMTP server with this reply.
    #[error("message refused: {0}")]
    Refused(String),
    /// The envelope says what only those may say who can write the spool.
    #[error("only who may write the spool directory may use --auth and --from-auth-out")]
    NotPermitted,
    /// Its envelope is bigger than an envelope may be.
    #[error("too many recipients")]
    EnvelopeSize,
}

/// Stores the messages of a submission with the rest of the input as their body.
///
/// # Errors
/// On an error before the last step nothing is left behind.
pub(super) fn store<S: Store>(
    store: &S,
    submission: &Submission,
    body: &mut Body,
    limit: Option<u64>,
    stored: &mut dyn FnMut(&str),
) -> Result<(), Fault> {
    let mut sizes = Vec::with_capacity(submission.messages.len());
    let mut drafts = Vec::with_capacity(submission.messages.len());
    for message in &submission.messages {
        let mut draft = store.create(&message.envelope)?;
        let mut header = match &message.bcc {
            Bcc::AsIs => submission.headers.to_bytes(),
            Bcc::Removed => submission.headers.to_bytes_replacing(BCC, None),
            Bcc::Replaced(line) => submission.headers.to_bytes_replacing(BCC, Some(line)),
        };
        header.extend_from_slice(EMPTY_LINE);
        draft.append(&header)?;
        sizes.push(header.len() as u64);
        drafts.push(draft);
    }
    let mut largest = sizes.into_iter().max().unwrap_or_default();
    check_size(largest, limit)?;
    body.copy_to(|bytes| {
        largest += bytes.len() as u64;
        check_size(largest, limit)?;
        drafts.iter_mut().try_for_each(|draft| draft.append(bytes)).map_err(Fault::from)
    })?;
    for (draft, message) in drafts.iter_mut().zip(&submission.messages) {
        draft.write_envelope(&message.envelope)?;
    }
    let mut any = false;
    let result = store.commit(drafts, &mut |name| {
        any = true;
        stored(name);
    });
    if any {
        store.request_forward();
    }
    Ok(result?)
}

fn check_size(size: u64, limit: Option<u64>) -> Result<(), Fault> {
    match limit {
        Some(limit) if size > limit => Err(Fault::Size(limit)),
        _ => Ok(()),
    }
}
