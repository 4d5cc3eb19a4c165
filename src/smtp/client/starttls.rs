//! STARTTLS (RFC 3207).

use std::time::Instant;

use super::config::StartTls;
use super::session::{Output, Session, State};
use super::{Capabilities, Event, FaultKind, Reply};

impl Session {
    /// The reply to EHLO is known: encrypt, or go on.
    pub(super) fn after_ehlo(&mut self, now: Instant) {
        match self.config.starttls {
            StartTls::IfOffered | StartTls::Required if !self.secure && self.peer.starttls => {
                self.state = State::StartTls;
                self.send_commands(b"STARTTLS\r\n".to_vec(), now);
            }
            StartTls::Required if !self.secure => self.fail(FaultKind::TlsNotOffered),
            _ => self.authenticate(now),
        }
    }

    /// EHLO was not understood.
    pub(super) fn no_esmtp(&mut self, reply: Reply, now: Instant) {
        if self.config.starttls == StartTls::Required && !self.secure {
            return self.fail(FaultKind::TlsWithoutEsmtp);
        }
        // A server that spoke ESMTP before STARTTLS does so after it.
        if self.secure && self.config.starttls != StartTls::Never {
            return self.fail(FaultKind::UnexpectedResponse(reply));
        }
        self.state = State::Helo;
        let command = format!("HELO {}\r\n", self.config.ehlo_name);
        self.send_commands(command.into_bytes(), now);
    }

    /// The reply to STARTTLS.
    pub(super) fn on_starttls(&mut self, reply: Reply) {
        match reply.code {
            220 => {
                self.state = State::Handshake;
                self.stop_waiting();
                self.push(Output::StartTls);
            }
            454 => self.fail(FaultKind::TlsRefused(reply)),
            _ => self.fail(FaultKind::UnexpectedResponse(reply)),
        }
    }

    /// Bytes that came in clear behind the reply are never read as replies, nor as the start of one: whoever sent them wants
    /// them to count as the server's (CVE-2011-1431 and its like).
    pub(super) fn plaintext(&mut self) {
        self.log(Event::PlaintextAfterStartTls);
        self.fail(FaultKind::PlaintextAfterStartTls);
    }

    /// The connection is secure: by the handshake that [`Output::StartTls`] asked for, after which all that the server said
    /// before is forgotten; or from its start, before any input.
    pub fn secured(&mut self, now: Instant) {
        self.secure = true;
        if self.awaits_handshake() {
            self.peer = Capabilities::default();
            self.say_ehlo(true, now);
        }
    }

    /// True from [`Output::StartTls`] until [`Session::secured`], or the end.
    pub fn awaits_handshake(&self) -> bool {
        matches!(self.state, State::Handshake)
    }

    /// True once the connection is secure.
    pub fn is_secure(&self) -> bool {
        self.secure
    }
}
