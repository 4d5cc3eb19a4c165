//! Recipients of a locked message that were refused for good leave it, while the others wait.
//!
//! They become a message of their own, failed, with the same content, so that whatever deals with failed messages deals with
//! them: reporters, administrators, scripts. Each recipient is in one of the two at any time, and in both after a crash
//! between the two steps: it is then refused once more.

use super::LockedMessage;
use super::delivery::{DeliveryError, Original, Parts, Stage};
use super::envelope::{Envelope, FailNote, drop_retry_lines, failure_lines, split_line};
use super::id::{BAD, BUSY, MessageId};

impl LockedMessage {
    /// Sets these recipients aside as a failed message of their own, durably, and leaves the others. None: there are no others, so
    /// that it is the message itself that has failed.
    ///
    /// # Errors
    /// It could not be done; the message is as it was.
    pub fn set_aside(
        &mut self,
        refused: &[String],
        note: &FailNote,
    ) -> Result<Option<MessageId>, DeliveryError> {
        let is_refused = |address: &String| refused.contains(address);
        let (out, rest): (Vec<_>, Vec<_>) = self.envelope.remote.iter().cloned().partition(is_refused);
        if out.is_empty() || rest.is_empty() {
            return Ok(None);
        }
        let original = Original::of(&self.shared, &self.id, Stage::Locked)?;
        let mut parts = Parts::of(&original);
        let id = parts.add(&original, parts.next_id())?;
        let mut trailer = self.envelope.trailer.clone();
        let in_doubt = drop_retry_lines(&mut trailer);
        trailer.extend(in_doubt);
        trailer.push(split_line(&self.id));
        trailer.extend(failure_lines(note));
        let part = Envelope { local: Vec::new(), remote: out, trailer, ..self.envelope.clone() };
        parts.write_envelope(&id, &part)?;
        parts.publish_as(BAD)?;
        let edited = self.edit(Envelope { remote: rest, ..self.envelope.clone() });
        edited.map_err(|error| DeliveryError::Edit {
            path: self.shared.path.join(self.id.file(BUSY)),
            errno: error.errno,
        })?;
        parts.keep();
        Ok(Some(id))
    }
}
