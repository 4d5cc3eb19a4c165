//! AUTH (RFC 4954): lines and replies. What the responses mean is for the driver, which is asked about each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::Offer;
use super::event::{CloseReason, Event};
use super::limits::MAX_AUTH_FAILURES;
use super::output::Output;
use super::question::{AuthStep, Question};
use super::session::{Asked, Session, State};
use super::trace;
use crate::sasl::encoding::{base64, from_base64};
use crate::sasl::{Mechanism, Secret};
use crate::smtp::command::is_blank;
use crate::smtp::escape::printable;
use crate::smtp::reply::{self, Reply};

/// Who the client has shown to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// How; none: by its address.
    pub mechanism: Option<Mechanism>,
    /// Its name, or the keyword of its address.
    pub identity: String,
}

/// A mechanism, and the first response if it came with the command.
type Choice = (Mechanism, Option<Secret>);

impl Session {
    /// Takes the command.
    pub(super) fn auth(&mut self, argument: &[u8], now: Instant) {
        // Until the exchange is under way, what follows may be credentials that nobody asked for.
        self.secret_lines = trace::LINES_AFTER_AUTH;
        if self.state != State::Idle {
            return self.out_of_sequence(now);
        }
        if self.login.is_some() {
            self.log(Event::TooManyAuth);
            return self.out_of_sequence(now);
        }
        if let Some(refusal) = self.unencrypted() {
            return self.reply(&refusal, now);
        }
        let Some(offer) = self.peer.offer.clone().filter(|offer| offer.is_some()) else {
            self.log(Event::AuthNotAdvertised);
            return self.reply(&reply::NOT_IMPLEMENTED, now);
        };
        match self.read_auth(&offer, argument) {
            Ok((mechanism, initial)) => {
                self.secret_lines = 0;
                self.mechanism = Some(mechanism);
                self.ask_auth(AuthStep::Begin { mechanism, initial });
            }
            Err(refused) => {
                let (refusal, event) = *refused;
                self.log(event);
                self.reply(&refusal, now);
            }
        }
    }

    /// The mechanism, and what came with it. Further words are ignored.
    fn read_auth(&self, offer: &Offer, argument: &[u8]) -> Result<Choice, Box<(Reply, Event)>> {
        let mut words = argument.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        let offered = offer.mechanisms(self.peer.cipher.as_deref());
        if offered.is_empty() {
            let refusal = self.with_hint(&reply::UNSUPPORTED_MECHANISM);
            return Err(Box::new((refusal, Event::AuthInClear)));
        }
        let mechanism = std::str::from_utf8(name).ok().and_then(Mechanism::by_name);
        let Some(mechanism) = mechanism.filter(|mechanism| offered.contains(mechanism)) else {
            let event = Event::UnsupportedMechanism { name: printable(name) };
            return Err(Box::new((reply::UNSUPPORTED_MECHANISM, event)));
        };
        let initial = match words.next() {
            None => None,
            Some(_) if mechanism.is_server_first() => {
                return Err(Box::new((reply::INVALID_ARGUMENT, Event::UnexpectedInitialResponse)));
            }
            // RFC 4954 §4.
            Some(b"=") => Some(Secret::default()),
            Some(text) => {
                let refused = || Box::new((reply::INVALID_ARGUMENT, Event::BadAuthParameter));
                Some(Secret::new(from_base64(text).ok_or_else(refused)?))
            }
        };
        Ok((mechanism, initial))
    }

    /// Takes a response line.
    pub(super) fn auth_response(&mut self, line: &[u8], now: Instant) {
        self.note_line(line.len());
        if self.config.trace {
            self.log(Event::RxAuth);
        }
        self.state = State::Idle;
        if line == b"*" {
            return self.reply(&reply::AUTH_CANCELLED, now);
        }
        match from_base64(line) {
            Some(bytes) => self.ask_auth(AuthStep::Respond(Secret::new(bytes))),
            None => {
                self.log(Event::BadAuthResponse);
                self.login_refused(now);
            }
        }
    }

    fn ask_auth(&mut self, step: AuthStep) {
        self.queue.push(Output::Ask(Question::Authenticate(step)));
        self.asked = Asked::Authenticate;
    }

    /// The driver wants another response.
    pub(super) fn challenged(&mut self, challenge: &[u8]) {
        self.state = State::Auth;
        self.send(&reply::challenge(&base64(challenge)));
    }

    /// The client is who it says it is.
    pub(super) fn logged_in(&mut self, identity: String, now: Instant) {
        self.login = Some(Box::new(Login { mechanism: self.mechanism, identity }));
        self.reply(&reply::AUTH_SUCCESSFUL, now);
    }

    /// Refuses a login after a pause that grows; ends the session of who keeps trying.
    pub(super) fn login_refused(&mut self, now: Instant) {
        self.secret_lines = trace::LINES_AFTER_AUTH;
        self.auth_failures = self.auth_failures.saturating_add(1);
        let pause = match self.config.auth_delay {
            Some(unit) => unit.saturating_mul(1 << u32::from(self.auth_failures.saturating_sub(1)).min(2)),
            None => Duration::ZERO,
        };
        if self.config.auth_delay.is_some() && self.auth_failures >= MAX_AUTH_FAILURES {
            self.farewell(&reply::TOO_MANY_AUTH_FAILURES, CloseReason::TooManyAuthFailures);
        } else {
            self.reply(&reply::AUTH_FAILED, now);
        }
        if !pause.is_zero() {
            self.hold = self.hold.max(Some(now + pause));
        }
    }

    /// EHLO (RFC 4954 §4) and STARTTLS (RFC 3207 §4.2) forget who the client is.
    pub(super) fn log_out(&mut self) {
        self.login = None;
    }

    /// A refusal for a client that must log in first, to MAIL and VRFY.
    pub(super) fn unauthorised(&mut self) -> Option<Reply> {
        self.peer.offer.as_ref()?;
        if self.login.is_some() {
            return None;
        }
        if let Some(trust) = &self.peer.trust {
            let event = Event::Trusting { address: self.peer.address.clone(), reason: trust.reason.clone() };
            self.log(event);
            return None;
        }
        self.log(Event::NotTrusted { address: self.peer.address.clone() });
        // TLS would not help where it is not required.
        let required = self.config.tls_required;
        Some(if required { self.with_hint(&reply::AUTH_REQUIRED) } else { reply::AUTH_REQUIRED })
    }

    /// Who the client is, if that is known.
    pub(super) fn who(&self) -> Option<Login> {
        let trusted = || {
            let trust = self.peer.trust.as_deref()?;
            Some(Login { mechanism: None, identity: trust.keyword.clone() })
        };
        self.login.as_deref().cloned().or_else(trusted)
    }

    /// What AUTH offers at present, for EHLO.
    pub(super) fn auth_line(&self) -> Option<String> {
        // Credentials in clear would be refused, but only after they were sent.
        if self.unencrypted().is_some() {
            return None;
        }
        let names = |offer: &Arc<Offer>| {
            let mechanisms = offer.mechanisms(self.peer.cipher.as_deref());
            mechanisms.iter().map(|mechanism| mechanism.name()).collect::<Vec<_>>().join(" ")
        };
        self.peer.offer.as_ref().map(names).filter(|names| !names.is_empty())
    }
}
