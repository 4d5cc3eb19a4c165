//! One message: MAIL, RCPT, DATA, content and the replies to them, in groups where the server allows it (RFC 2920).
//!
//! Replies are matched to commands by counting alone, and no command is sent while a reply to an earlier group is outstanding, so
//! that one refusal can never shift the replies that follow. Where a group ends:
//!
//! | mode | group |
//! |---|---|
//! | no PIPELINING | every command is its own group |
//! | one recipient, or refused recipients tolerated | MAIL, RCPTs, DATA |
//! | several recipients that must all be accepted | MAIL, RCPTs; DATA follows when all are accepted |
//!
//! In the last row DATA must wait: once it has its 354 the transaction could only be ended by sending content to those
//! recipients that were accepted. With one recipient there is nobody else who could get the message.

use super::limits::{CONTENT_BUFFER, MAX_GROUP_BYTES, MAX_GROUP_RECIPIENTS, MAX_RECIPIENT_TEXT};
use super::{
    Capabilities, ClientConfig, FaultKind, MessageResult, Outcome, Outgoing, Recipient, RecipientResult,
    Reply, Stage, Stuffer,
};

/// What the session has to do next for its transaction.
#[derive(Debug)]
pub(super) enum Action {
    /// Nothing before the next reply.
    Wait,
    /// Send a group of command lines.
    Send(Vec<u8>),
    /// Send content; the number is its count of lines, `last` says that the final dot is at the end.
    SendContent { bytes: Vec<u8>, lines: u64, last: bool },
    /// Ask for content.
    NeedContent,
    /// The result is known.
    Finish(Outcome, Then),
    /// The session has failed.
    Fault(FaultKind),
}

/// What follows a result.
#[derive(Debug)]
pub(super) enum Then {
    /// The server is ready for the next message.
    Ready,
    /// The transaction is open and must be ended.
    Reset,
    /// The session cannot go on.
    Fault(FaultKind),
}

/// The reply to a command that is sent once.
#[derive(Debug)]
enum Answer {
    NotSent,
    Awaited,
    Accepted,
    Refused(Reply),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// MAIL, RCPT, DATA.
    Envelope,
    /// After a 354 that is to be used.
    Content,
    /// After a 354 that nobody wanted: the empty message that goes to nobody (RFC 2920 section 3.1).
    LoneDot,
    /// After the final dot.
    Final,
}

/// The state of one message.
#[derive(Debug)]
pub(super) struct Transaction {
    mail_command: String,
    recipients: Vec<String>,
    pipelining: bool,
    to_some: bool,
    phase: Phase,
    mail: Answer,
    /// RCPT commands sent.
    asked: usize,
    /// Replies to RCPT, in order.
    answers: Vec<RecipientResult>,
    data: Answer,
    /// Commands sent and not yet replied to.
    outstanding: usize,
    stuffer: Stuffer,
}

impl Transaction {
    pub(super) fn new(config: &ClientConfig, peer: &Capabilities, message: Outgoing) -> Self {
        Self {
            mail_command: message.mail_command(config, peer),
            recipients: message.recipients,
            pipelining: config.pipelining && peer.pipelining,
            to_some: config.forward_to_some,
            phase: Phase::Envelope,
            mail: Answer::NotSent,
            asked: 0,
            answers: Vec::new(),
            data: Answer::NotSent,
            outstanding: 0,
            stuffer: Stuffer::default(),
        }
    }

    /// The next group of commands. Never empty.
    pub(super) fn next_group(&mut self) -> Vec<u8> {
        let mut group = Vec::new();
        if matches!(self.mail, Answer::NotSent) {
            group.extend_from_slice(self.mail_command.as_bytes());
            self.mail = Answer::Awaited;
            self.outstanding += 1;
        }
        while self.has_room(&group)
            && let Some(recipient) = self.recipients.get(self.asked)
        {
            group.extend_from_slice(b"RCPT TO:<");
            group.extend_from_slice(recipient.as_bytes());
            group.extend_from_slice(b">\r\n");
            self.asked += 1;
            self.outstanding += 1;
        }
        let all_asked = self.asked == self.recipients.len();
        let data_may_join = self.pipelining && (self.to_some || self.recipients.len() == 1);
        if all_asked && (group.is_empty() || data_may_join) {
            group.extend_from_slice(b"DATA\r\n");
            self.data = Answer::Awaited;
            self.outstanding += 1;
        }
        group
    }

    /// Takes the reply to the oldest outstanding command.
    pub(super) fn reply(&mut self, reply: Reply) -> Action {
        match self.phase {
            Phase::Envelope => self.envelope_reply(reply),
            // The server has stopped reading and the connection is in the middle of a line: whatever it said about the message
            // counts, but nothing more can be sent.
            Phase::Content if reply.is_positive() || reply.is_closing() => {
                Action::Fault(FaultKind::UnexpectedResponse(reply))
            }
            Phase::Content => Action::Finish(
                Outcome::ContentRefused(reply.clone()),
                Then::Fault(FaultKind::UnexpectedResponse(reply)),
            ),
            Phase::LoneDot => match self.refusal() {
                Some(outcome) => Action::Finish(outcome, after_final_reply(&reply)),
                None => Action::Fault(FaultKind::UnexpectedResponse(reply)),
            },
            Phase::Final => {
                let then = after_final_reply(&reply);
                let outcome =
                    if reply.is_success() { Outcome::Sent(reply) } else { Outcome::ContentRefused(reply) };
                Action::Finish(outcome, then)
            }
        }
    }

    /// Takes a piece of the content file.
    pub(super) fn content(&mut self, chunk: &[u8], last: bool) -> Action {
        if self.phase != Phase::Content {
            return Action::Wait;
        }
        self.stuffer.push(chunk);
        if last {
            self.stuffer.finish();
            self.phase = Phase::Final;
        } else if self.stuffer.len() < CONTENT_BUFFER {
            return Action::NeedContent;
        }
        let (bytes, lines) = self.stuffer.take();
        Action::SendContent { bytes, lines, last }
    }

    /// How far the message is.
    pub(super) fn stage(&self) -> Stage {
        match (self.phase, &self.mail) {
            (Phase::Envelope, Answer::NotSent | Answer::Awaited) => Stage::Mail,
            (Phase::Envelope, _) if self.answers.len() < self.recipients.len() => Stage::Recipients,
            (Phase::Envelope | Phase::LoneDot, _) => Stage::Data,
            (Phase::Content, _) => Stage::Content,
            (Phase::Final, _) => Stage::FinalReply,
        }
    }

    /// The server's refusal, as far as the replies read up to now decide it.
    pub(super) fn refusal(&self) -> Option<Outcome> {
        if let Answer::Refused(reply) = &self.mail {
            return Some(Outcome::MailRefused(reply.clone()));
        }
        if self.answers.len() < self.recipients.len() {
            return None;
        }
        let refused = self.answers.iter().filter(|answer| **answer != RecipientResult::Accepted).count();
        if self.to_some {
            (refused == self.recipients.len()).then_some(Outcome::AllRefused)
        } else {
            (refused > 0).then_some(Outcome::SomeRefused)
        }
    }

    /// The result with all that is known about the recipients.
    pub(super) fn result(&mut self, outcome: Outcome) -> MessageResult {
        let answers = std::mem::take(&mut self.answers).into_iter();
        let answers = answers.chain(std::iter::repeat(RecipientResult::NotTried));
        let recipients = std::mem::take(&mut self.recipients).into_iter().zip(answers);
        MessageResult {
            recipients: recipients.map(|(address, result)| Recipient { address, result }).collect(),
            outcome,
            reset_code: None,
        }
    }

    fn envelope_reply(&mut self, reply: Reply) -> Action {
        if reply.is_closing() {
            return self.fault(reply);
        }
        let refused = !reply.is_positive();
        if matches!(self.mail, Answer::Awaited) {
            match reply.code {
                250 => self.mail = Answer::Accepted,
                _ if refused => self.mail = Answer::Refused(reply),
                _ => return self.fault(reply),
            }
        } else if self.answers.len() < self.asked {
            self.answers.push(match self.mail {
                Answer::Refused(_) => RecipientResult::NotTried,
                _ if refused => RecipientResult::Refused(reply.shortened(MAX_RECIPIENT_TEXT)),
                _ => RecipientResult::Accepted,
            });
        } else {
            match reply.code {
                354 => self.data = Answer::Accepted,
                _ if refused => self.data = Answer::Refused(reply),
                _ => return self.fault(reply),
            }
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        if self.outstanding == 0 { self.advance() } else { Action::Wait }
    }

    /// All replies are in: the next step.
    fn advance(&mut self) -> Action {
        if let Some(outcome) = self.refusal() {
            return self.conclude(outcome);
        }
        match std::mem::replace(&mut self.data, Answer::Accepted) {
            Answer::Accepted => {
                self.phase = Phase::Content;
                Action::NeedContent
            }
            Answer::Refused(reply) => Action::Finish(Outcome::DataRefused(reply), Then::Reset),
            unsent @ (Answer::NotSent | Answer::Awaited) => {
                self.data = unsent;
                Action::Send(self.next_group())
            }
        }
    }

    /// The message is refused; leaves the server without a transaction.
    fn conclude(&mut self, outcome: Outcome) -> Action {
        if matches!(self.data, Answer::Accepted) {
            self.phase = Phase::LoneDot;
            return Action::Send(b".\r\n".to_vec());
        }
        let then = match outcome {
            // A refused MAIL has opened no transaction.
            Outcome::MailRefused(_) => Then::Ready,
            _ => Then::Reset,
        };
        Action::Finish(outcome, then)
    }

    /// The session ends with this reply. A refusal that was complete before it still counts.
    fn fault(&mut self, reply: Reply) -> Action {
        let kind = FaultKind::UnexpectedResponse(reply);
        match self.refusal() {
            Some(outcome) => Action::Finish(outcome, Then::Fault(kind)),
            None => Action::Fault(kind),
        }
    }

    /// True if another RCPT may join the group.
    fn has_room(&self, group: &[u8]) -> bool {
        if !self.pipelining {
            return group.is_empty();
        }
        let unanswered = self.asked.saturating_sub(self.answers.len());
        let next = self.recipients.get(self.asked).map_or(0, |recipient| recipient.len() + 12);
        unanswered < MAX_GROUP_RECIPIENTS && (group.is_empty() || group.len() + next <= MAX_GROUP_BYTES)
    }
}

/// After a final dot the server is ready, unless it said that it is closing.
fn after_final_reply(reply: &Reply) -> Then {
    if reply.is_closing() { Then::Fault(FaultKind::UnexpectedResponse(reply.clone())) } else { Then::Ready }
}
