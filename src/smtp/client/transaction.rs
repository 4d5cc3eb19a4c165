//! One message: MAIL, RCPT, DATA or BDAT, content and the replies to them, in groups where the server allows it (RFC 2920).
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
//!
//! By BDAT there is no group with DATA: the chunks follow when all recipients are answered (RFC 3030 section 2), and no chunk goes
//! out for a message that is refused. A refused chunk ends the message, not the session: the chunk that is under way
//! is completed, all replies are awaited, and RSET clears the rest.

use super::chunks::{Chunker, Need, WrongSize};
use super::limits::{CONTENT_BUFFER, MAX_GROUP_BYTES, MAX_GROUP_RECIPIENTS, MAX_RECIPIENT_TEXT};
use super::{
    Capabilities, ClientConfig, Event, FaultKind, MessageResult, Outcome, Outgoing, Recipient,
    RecipientResult, Reply, Stage, Stuffer,
};

mod chunked;

/// What the session has to do next for its transaction.
#[derive(Debug)]
pub(super) enum Action {
    /// Nothing before the next reply.
    Wait,
    /// Send a group of command lines.
    Send(Vec<u8>),
    /// Send content; `trace` says in the log what it is. With `more`, ask for content then.
    SendContent { bytes: Vec<u8>, trace: Vec<Event>, more: bool },
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
    /// After the final dot or the last chunk.
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
    carrier: Carrier,
    /// The caller has been asked for content and has not given it yet.
    asked_for_content: bool,
    /// The reply that refused a chunk.
    chunk_refusal: Option<Reply>,
    size: u64,
}

/// How content goes out.
#[derive(Debug)]
enum Carrier {
    /// DATA.
    Lines(Stuffer),
    /// BDAT.
    Chunks(Chunker),
}

impl Transaction {
    pub(super) fn new(config: &ClientConfig, peer: &Capabilities, message: Outgoing) -> Self {
        let chunks = message.cut(config, peer).map(|cut| Chunker::new(cut, message.size));
        Self {
            size: message.size,
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
            carrier: chunks.map_or_else(|| Carrier::Lines(Stuffer::default()), Carrier::Chunks),
            asked_for_content: false,
            chunk_refusal: None,
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
        let by_data = matches!(self.carrier, Carrier::Lines(_));
        if by_data && all_asked && (group.is_empty() || data_may_join) {
            group.extend_from_slice(b"DATA\r\n");
            self.data = Answer::Awaited;
            self.outstanding += 1;
        }
        group
    }

    /// Takes the reply to the oldest outstanding command.
    pub(super) fn reply(&mut self, reply: Reply) -> Action {
        if self.phase == Phase::Content && self.takes_chunk_reply() {
            return self.chunk_reply(reply);
        }
        match self.phase {
            Phase::Envelope => self.envelope_reply(reply),
            // The server has stopped reading and the connection is in the middle of a line: whatever it said about the message
            // counts, but nothing more can be sent.
            Phase::Content if reply.is_positive() || reply.is_closing() || self.chunk_refusal.is_some() => {
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
                let then = self.after_end(&reply);
                let outcome =
                    if reply.is_success() { Outcome::Sent(reply) } else { Outcome::ContentRefused(reply) };
                Action::Finish(outcome, then)
            }
        }
    }

    /// Takes a piece of the content file.
    pub(super) fn content(&mut self, chunk: &[u8], last: bool) -> Action {
        if self.phase != Phase::Content || !std::mem::take(&mut self.asked_for_content) {
            return Action::Wait;
        }
        match &mut self.carrier {
            Carrier::Lines(stuffer) => {
                stuffer.push(chunk);
                if last {
                    stuffer.finish();
                    self.phase = Phase::Final;
                } else if stuffer.len() < CONTENT_BUFFER {
                    return self.need_content();
                }
                let (bytes, lines) = stuffer.take();
                self.asked_for_content = !last;
                Action::SendContent { bytes, trace: line_events(lines, last), more: !last }
            }
            Carrier::Chunks(chunks) => match chunks.push(chunk, last) {
                Ok(()) => self.send_chunks(),
                Err(WrongSize) => Action::Fault(FaultKind::ContentSize(self.size)),
            },
        }
    }

    /// True if everything there is to send for now has been handed out, and it is a reply to a chunk that is missing.
    pub(super) fn awaits_chunk_reply(&self) -> bool {
        matches!(&self.carrier, Carrier::Chunks(chunks) if chunks.need() == Need::Reply)
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
        if let Some(reply) = &self.chunk_refusal {
            return Some(Outcome::ContentRefused(reply.clone()));
        }
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
        let by_chunks = matches!(self.carrier, Carrier::Chunks(_));
        if by_chunks && self.answers.len() == self.recipients.len() {
            self.data = Answer::Accepted;
        }
        match std::mem::replace(&mut self.data, Answer::Accepted) {
            Answer::Accepted => {
                self.phase = Phase::Content;
                self.need_content()
            }
            Answer::Refused(reply) => Action::Finish(Outcome::DataRefused(reply), Then::Reset),
            unsent @ (Answer::NotSent | Answer::Awaited) => {
                self.data = unsent;
                Action::Send(self.next_group())
            }
        }
    }

    /// Asks for content, unless that has been done.
    fn need_content(&mut self) -> Action {
        let asked = std::mem::replace(&mut self.asked_for_content, true);
        if asked { Action::Wait } else { Action::NeedContent }
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

/// What the log says about lines of content.
fn line_events(lines: u64, last: bool) -> Vec<Event> {
    let content = (lines > 0).then_some(Event::SentContent { lines });
    content.into_iter().chain(last.then(|| Event::Sent(".".to_owned()))).collect()
}

/// After a final dot the server is ready, unless it said that it is closing.
fn after_final_reply(reply: &Reply) -> Then {
    if reply.is_closing() { Then::Fault(FaultKind::UnexpectedResponse(reply.clone())) } else { Then::Ready }
}
