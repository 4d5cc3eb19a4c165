//! The part of a transaction that sends chunks and reads their replies (RFC 3030).

use super::super::chunks::{Need, is_misunderstanding};
use super::super::{FaultKind, Outcome, Reply};
use super::{Action, Carrier, Phase, Then, Transaction, after_final_reply};

impl Transaction {
    /// Sends what may be sent of the chunks.
    pub(super) fn send_chunks(&mut self) -> Action {
        let Carrier::Chunks(chunks) = &mut self.carrier else { return Action::Wait };
        let (bytes, trace) = chunks.take();
        let need = chunks.need();
        if need == Need::FinalReply {
            self.phase = Phase::Final;
        }
        let more = need == Need::Content && !std::mem::replace(&mut self.asked_for_content, true);
        match (bytes.is_empty(), more) {
            (false, _) => Action::SendContent { bytes, trace, more },
            (true, true) => Action::NeedContent,
            (true, false) => Action::Wait,
        }
    }

    /// Takes note of a reply while chunks are sent; false if it cannot be for any of them.
    pub(super) fn takes_chunk_reply(&mut self) -> bool {
        match &mut self.carrier {
            Carrier::Chunks(chunks) => chunks.answered(),
            Carrier::Lines(_) => false,
        }
    }

    /// The reply to a chunk that is not the last.
    pub(super) fn chunk_reply(&mut self, reply: Reply) -> Action {
        let Carrier::Chunks(chunks) = &mut self.carrier else { return Action::Wait };
        if reply.is_closing() {
            return Action::Fault(FaultKind::UnexpectedResponse(reply));
        }
        if !reply.is_positive() && self.chunk_refusal.is_none() {
            chunks.stop();
            self.chunk_refusal = Some(reply);
        }
        match &self.chunk_refusal {
            Some(refusal) if chunks.is_quiet() || is_misunderstanding(refusal) => {
                Action::Finish(Outcome::ContentRefused(refusal.clone()), after_chunk_refusal(refusal))
            }
            _ => self.send_chunks(),
        }
    }

    /// The server's state after the reply to the end of the content.
    pub(super) fn after_end(&self, reply: &Reply) -> Then {
        match self.carrier {
            Carrier::Chunks(_) if !reply.is_success() && !reply.is_closing() => after_chunk_refusal(reply),
            _ => after_final_reply(reply),
        }
    }
}

/// A failed BDAT leaves a state that only RSET clears (RFC 3030 section 2), if it was understood at all.
fn after_chunk_refusal(refusal: &Reply) -> Then {
    if is_misunderstanding(refusal) {
        Then::Fault(FaultKind::UnexpectedResponse(refusal.clone()))
    } else {
        Then::Reset
    }
}
