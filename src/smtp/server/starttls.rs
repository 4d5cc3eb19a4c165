//! STARTTLS (RFC 3207), and what is refused without it.

use std::time::Instant;

use super::event::{CloseReason, Event};
use super::output::Output;
use super::question::Question;
use super::session::{Asked, Session, State};
use crate::smtp::reply::{self, Reply};

impl Session {
    /// Takes the command. Where it is not offered it is as unknown as any other word.
    pub(super) fn starttls(&mut self, now: Instant) {
        if !self.config.starttls {
            return self.protocol_error(&reply::UNRECOGNIZED, now);
        }
        if self.is_secure() || self.state != State::Idle {
            return self.out_of_sequence(now);
        }
        self.queue.push(Output::Ask(Question::StartTls));
        self.asked = Asked::StartTls;
    }

    /// The driver can begin a handshake: the next bytes are to be the client's part of it.
    pub(super) fn begin_tls(&mut self) {
        self.state = State::Handshake;
        self.send(&reply::READY_FOR_TLS);
        self.queue.push(Output::StartTls);
    }

    /// Bytes that were there before the handshake are nobody's: whoever put them behind the command wants them to count as
    /// the client's (CVE-2011-0411).
    pub(super) fn plaintext(&mut self, bytes: &[u8]) -> usize {
        if !bytes.is_empty() {
            self.log(Event::PlaintextAfterStartTls);
            self.close(CloseReason::PlaintextAfterStartTls);
        }
        bytes.len()
    }

    /// The handshake has succeeded with this cipher. All that the client said before is forgotten (RFC 3207 §4.2); only
    /// its errors are not.
    pub fn secured(&mut self, cipher: &str, now: Instant) {
        if self.state == State::Handshake {
            self.state = State::Start;
            self.hello = None;
            self.log_out();
            self.secret_lines = 0;
            self.peer.cipher = Some(cipher.into());
            self.active = now;
        }
    }

    /// True from [`Output::StartTls`] until [`Session::secured`], or the end.
    pub fn awaits_handshake(&self) -> bool {
        self.state == State::Handshake
    }

    /// Whether the peer's bytes come encrypted.
    pub(super) fn is_secure(&self) -> bool {
        self.peer.cipher.is_some()
    }

    /// A refusal for a client that must encrypt first.
    pub(super) fn unencrypted(&self) -> Option<Reply> {
        (self.config.tls_required && !self.is_secure()).then(|| self.with_hint(&reply::ENCRYPTION_REQUIRED))
    }

    /// A refusal that says what would help, where that is so.
    pub(super) fn with_hint(&self, refusal: &Reply) -> Reply {
        if self.config.starttls && !self.is_secure() {
            refusal.with_hint(reply::USE_STARTTLS)
        } else {
            refusal.clone()
        }
    }
}
