//! DATA: the content of a message, from the 354 to the question whether it is stored.

use std::time::Instant;

use super::config::{BareLf, ServerConfig};
use super::event::{CloseReason, Event};
use super::limits::{OVERSIZE_SLACK, Rate};
use super::open::Open;
use super::output::Output;
use super::question::Question;
use super::session::{Asked, Session, State};
use crate::smtp::Body;
use crate::smtp::data::Decoder;
use crate::smtp::received::{Received, protocol};
use crate::smtp::reply::{self, Reply};

/// Content on its way.
#[derive(Debug)]
pub(super) struct Content {
    decoder: Decoder,
    pub(super) rate: Rate,
    /// The `Received:` line until the first bytes of the message go out behind it.
    head: Vec<u8>,
}

impl Session {
    pub(super) fn data(&mut self, now: Instant) {
        let body = self.open.as_deref().map(|open| open.transaction.body);
        match self.state {
            State::Mail | State::Rcpt if body == Some(Body::BinaryMime) => {
                self.abort();
                self.state = State::MustReset;
                self.protocol_error(&reply::BINARY_DATA, now);
            }
            State::Mail => {
                self.abort();
                self.state = State::Idle;
                self.reply(&reply::NO_RECIPIENTS, now);
            }
            State::Rcpt => {
                let head = self.received_line();
                if let Some(open) = &mut self.open {
                    open.content = Some(Content { decoder: Decoder::default(), rate: Rate::new(now), head });
                }
                self.state = State::Data;
                self.reply(&reply::START_INPUT, now);
            }
            _ => self.out_of_sequence(now),
        }
    }

    /// Takes content up to the end of data.
    pub(super) fn content(&mut self, bytes: &[u8], now: Instant) -> usize {
        let Some(open) = self.open.as_deref_mut() else { return 0 };
        let Some(content) = &mut open.content else { return 0 };
        if bytes.is_empty() {
            return 0;
        }
        let mut chunk = std::mem::take(&mut content.head);
        let head = chunk.len();
        chunk.reserve_exact(bytes.len());
        let fed = content.decoder.feed(bytes, &mut chunk);
        content.rate.add(fed.taken);
        let long_line = content.decoder.long_line();
        let received = chunk.len().saturating_sub(head) as u64;
        open.transaction.size = open.transaction.size.saturating_add(received);

        let too_far = is_far_too_big(open, &self.config);
        let unwanted = refusal(open, &self.config);
        if !open.dropped {
            if unwanted.is_some() {
                open.dropped = true;
                self.queue.push(Output::Discard);
            } else if !chunk.is_empty() {
                self.queue.push(Output::Content(chunk));
            }
        }
        self.note_line(long_line.unwrap_or_default());
        match unwanted {
            Some(unwanted) if too_far => {
                self.log(unwanted.event);
                self.farewell(&unwanted.reply, CloseReason::TooBig);
            }
            unwanted if fed.end => self.end_of_data(unwanted, now),
            _ => {}
        }
        fed.taken
    }

    fn end_of_data(&mut self, unwanted: Option<Unwanted>, now: Instant) {
        if self.config.trace {
            self.log(Event::RxContent);
            self.log(Event::Rx(".".to_owned()));
        }
        match unwanted {
            Some(Unwanted { reply, event }) => {
                self.state = State::Idle;
                self.open = None;
                self.log(event);
                self.finish(&reply, now);
            }
            None => self.ask_to_commit(),
        }
    }

    /// All content has come and is wanted.
    pub(super) fn ask_to_commit(&mut self) {
        self.state = State::Idle;
        let Some(open) = self.open.take() else { return };
        self.queue.push(Output::Ask(Question::Commit(Box::new(open.transaction))));
        self.asked = Asked::Commit;
    }

    pub(super) fn received_line(&self) -> Vec<u8> {
        if self.config.anonymous.content {
            return Vec::new();
        }
        let Some(open) = &self.open else { return Vec::new() };
        let line = Received {
            peer: &open.transaction.hello,
            address: &self.peer.address,
            domain: &self.config.domain,
            protocol: protocol(self.is_secure(), self.login.is_some()),
            cipher: self.peer.cipher.as_deref(),
            date: &open.received_date,
        };
        line.to_line().into_bytes()
    }
}

/// Why a message will be refused at its end.
struct Unwanted {
    reply: Reply,
    event: Event,
}

fn refusal(open: &Open, config: &ServerConfig) -> Option<Unwanted> {
    if config.max_size.is_some_and(|limit| open.transaction.size > limit) {
        return Some(Unwanted { reply: reply::TOO_BIG, event: Event::ContentTooBig });
    }
    let bare = open.content.as_ref()?.decoder.bare();
    let reply = match config.bare_lf {
        BareLf::Smuggling | BareLf::Reject if bare.lone_dot => reply::BARE_DOT,
        BareLf::Reject if bare.lf => reply::BARE_LF,
        _ => return None,
    };
    Some(Unwanted { reply, event: Event::BareLineEndings })
}

/// So far over the limit that the peer is not worth reading to the end. Tested before the end of data is looked at,
/// so that it does not depend on how the input was cut.
fn is_far_too_big(open: &Open, config: &ServerConfig) -> bool {
    most_read(config).is_some_and(|most| open.transaction.size >= most)
}

/// Bytes of unwanted content that are read before the connection is given up.
pub(super) fn most_read(config: &ServerConfig) -> Option<u64> {
    config.max_size.map(|limit| limit.saturating_mul(2).saturating_add(OVERSIZE_SLACK))
}
