//! The opening of a session: greeting, EHLO, HELO.

use std::time::Instant;

use super::session::{Session, State};
use super::{Capabilities, Event, FaultKind, Reply};

impl Session {
    /// The first reply of the server.
    pub(super) fn on_greeting(&mut self, reply: Reply, now: Instant) {
        if reply.code == 220 {
            self.say_ehlo(true, now);
        } else {
            self.fail(FaultKind::UnexpectedResponse(reply));
        }
    }

    /// No greeting came: some servers wait for the client, so try it.
    pub(super) fn on_greeting_timeout(&mut self, now: Instant) {
        let seconds = self.config.prompt_timeout.unwrap_or_default().as_secs();
        self.log(Event::GreetingTimeout { seconds });
        self.say_ehlo(false, now);
    }

    /// The reply to EHLO, or a greeting that came late.
    pub(super) fn on_ehlo(&mut self, reply: Reply, greeted: bool, now: Instant) {
        match reply.code {
            220 if !greeted => {
                self.state = State::Ehlo { greeted: true };
                self.expect_reply(now);
            }
            250 => {
                self.peer = Capabilities::parse(self.parser.texts());
                self.after_ehlo(now);
            }
            500..=502 => self.no_esmtp(reply, now),
            _ => self.fail(FaultKind::UnexpectedResponse(reply)),
        }
    }

    /// The reply to HELO. No extensions are known.
    pub(super) fn on_helo(&mut self, reply: Reply, now: Instant) {
        if reply.code == 250 {
            self.authenticate(now);
        } else {
            self.fail(FaultKind::UnexpectedResponse(reply));
        }
    }

    pub(super) fn say_ehlo(&mut self, greeted: bool, now: Instant) {
        self.state = State::Ehlo { greeted };
        let command = format!("EHLO {}\r\n", self.config.ehlo_name);
        self.send_commands(command.into_bytes(), now);
    }
}
