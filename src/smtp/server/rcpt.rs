//! RCPT and VRFY: recipients, and what the verifier says of them.

use std::time::Instant;

use super::event::{CloseReason, Event};
use super::limits::{MAX_RECIPIENT_BYTES, MAX_VRFY, RECIPIENT_OVERHEAD};
use super::open::Open;
use super::output::Output;
use super::question::{Question, Rejection, Verdict};
use super::session::{Asked, Session, State};
use crate::smtp::command::{is_blank, trim};
use crate::smtp::path::{self, Mailbox, PathError};
use crate::smtp::reply::{self, Reply};

impl Session {
    pub(super) fn rcpt(&mut self, argument: &[u8], now: Instant) {
        let Some(mut open) = self.open.take_if(|_| matches!(self.state, State::Mail | State::Rcpt)) else {
            return self.out_of_sequence(now);
        };
        match self.read_rcpt(argument, &mut open) {
            Ok(recipient) => {
                self.queue.push(Output::Ask(Question::Verify {
                    recipient: recipient.address().to_owned(),
                    sender: open.transaction.sender.clone(),
                    login: self.who(),
                }));
                self.asked = Asked::Verify {
                    sent: recipient.as_sent().to_owned(),
                    address: recipient.address().to_owned(),
                };
                self.open = Some(open);
            }
            Err(refusal) => {
                self.open = Some(open);
                self.reply(&refusal, now);
            }
        }
    }

    pub(super) fn recipient_verified(&mut self, sent: &str, address: String, verdict: Verdict, now: Instant) {
        let Some(open) = self.open.as_deref_mut() else { return };
        let Open { transaction, recipient_bytes, .. } = open;
        let mut count = |address: &str| *recipient_bytes += address.len().saturating_add(RECIPIENT_OVERHEAD);
        let accepted = match verdict {
            Verdict::Local { mailbox, .. } => {
                count(&mailbox);
                transaction.local.push(mailbox);
                reply::local_recipient_ok(sent)
            }
            Verdict::Remote { address } => {
                let local_part = address.rsplit_once('@').map_or(&*address, |(local, _)| local);
                transaction.utf8_mailboxes |= !local_part.is_ascii();
                count(&address);
                transaction.remote.push(address);
                reply::remote_recipient_ok(sent)
            }
            Verdict::Rejected { rejection, text, reason } => {
                let refusal = self.rejected(sent, address, rejection, text, reason);
                return self.reply(&refusal, now);
            }
            Verdict::Abort => return self.close(CloseReason::VerifierAbort),
        };
        self.state = State::Rcpt;
        self.reply(&accepted, now);
    }

    pub(super) fn vrfy(&mut self, argument: &[u8], now: Instant) {
        if matches!(self.state, State::MustReset | State::Bdat) {
            return self.out_of_sequence(now);
        }
        self.vrfys = self.vrfys.saturating_add(1);
        if self.config.anonymous.vrfy || self.vrfys > MAX_VRFY {
            return self.reply(&reply::CANNOT_VRFY, now);
        }
        if let Some(refusal) = self.unauthorised().or_else(|| self.unencrypted()) {
            return self.reply(&refusal, now);
        }
        match vrfy_argument(argument) {
            Some(argument) => {
                let login = self.who();
                self.queue.push(Output::Ask(Question::Vrfy { argument: argument.clone(), login }));
                self.asked = Asked::Vrfy { argument };
            }
            None => self.reply(&reply::INVALID_MAILBOX, now),
        }
    }

    pub(super) fn vrfy_verified(&mut self, argument: &str, verdict: Verdict, now: Instant) {
        let reply = match verdict {
            Verdict::Local { full_name, mailbox } if full_name.is_empty() => reply::verified(&mailbox),
            Verdict::Local { full_name, .. } => reply::verified(&full_name),
            Verdict::Remote { .. } => reply::cannot_verify(argument),
            Verdict::Rejected { rejection, text, reason } => {
                self.rejected(argument, argument.to_owned(), rejection, text, reason)
            }
            Verdict::Abort => return self.close(CloseReason::VerifierAbort),
        };
        self.reply(&reply, now);
    }

    fn read_rcpt(&mut self, argument: &[u8], open: &mut Open) -> Result<Mailbox, Reply> {
        let refusal = reply::recipient_not_allowed;
        let recipient = path::forward_path(argument, self.rules()).map_err(|error| {
            self.note_brackets(error);
            refusal(error)
        })?;
        if self.lacks_utf8(&recipient, open.smtputf8) {
            return Err(refusal(PathError::RecipientNeedsUtf8));
        }
        if let Some(excess) = self.is_one_too_many(open, recipient.address()) {
            if !std::mem::replace(&mut open.limit_told, true) {
                self.log(excess);
            }
            return Err(reply::TOO_MANY_RECIPIENTS);
        }
        Ok(recipient)
    }

    /// What there is to log if a message cannot have this recipient as well.
    fn is_one_too_many(&self, open: &Open, address: &str) -> Option<Event> {
        let limit = self.config.max_recipients;
        if open.transaction.recipients() >= limit as usize {
            return Some(Event::TooManyRecipients { limit });
        }
        let size = open.recipient_bytes.saturating_add(address.len()).saturating_add(RECIPIENT_OVERHEAD);
        (size > MAX_RECIPIENT_BYTES).then_some(Event::RecipientsTooLong { limit: MAX_RECIPIENT_BYTES })
    }

    fn rejected(
        &mut self,
        sent: &str,
        address: String,
        rejection: Rejection,
        text: String,
        reason: String,
    ) -> Reply {
        let response = if text.is_empty() { reply::MAILBOX_UNAVAILABLE.to_owned() } else { text };
        let reply = reply::recipient_refused(rejection.code(), sent, &response);
        self.log(Event::RecipientRejected { address, response, reason });
        reply
    }
}

/// The argument without one trailing `SMTPUTF8` (RFC 6531 §3.7.4.2); none if nothing is left or it is not UTF-8.
fn vrfy_argument(argument: &[u8]) -> Option<String> {
    let argument = trim(argument);
    let address = match argument.strip_suffix(b"SMTPUTF8") {
        Some(rest) if rest.last().is_none_or(|b| is_blank(*b)) => trim(rest),
        _ => argument,
    };
    let address = std::str::from_utf8(address).ok()?;
    (!address.is_empty()).then(|| address.to_owned())
}
