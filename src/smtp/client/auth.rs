//! AUTH (RFC 4954): between the EHLO reply and the first message.
//!
//! The best mechanism that both sides have is tried first. After a refusal the next one is, but only one more for the
//! same secret once that was called wrong: servers lock accounts that are guessed at.

use std::time::Instant;

use super::session::{Session, State};
use super::{AuthFault, Event, FaultKind, Output, Reply};
use crate::sasl::client::{Credentials, Exchange, Proof, usable};
use crate::sasl::encoding::{base64, from_base64};
use crate::sasl::{Mechanism, Policy, Secret};

/// How to log in. Credentials for one session; never shown.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The account, with the line of the secrets file that each part of it is from.
    pub entries: Vec<(Credentials, Option<u32>)>,
    /// Which mechanisms may be used.
    pub policy: Policy,
    /// Whose account it is, for messages about it.
    pub selector: String,
    /// An unpredictable text without commas.
    pub nonce: String,
    /// What SCRAM-SHA-256-PLUS binds to, if there is something.
    pub exporter: Option<Vec<u8>>,
    /// The server is on this machine: nobody listens to what goes there.
    pub local: bool,
    /// Once a token is refused a fresh one is asked for ([`Output::NeedToken`](super::Output::NeedToken)).
    pub renewable: bool,
}

/// A login under way.
#[derive(Debug)]
pub(super) struct Attempt {
    exchange: Exchange,
    /// How it is described in log lines and reasons.
    how: How,
    /// The first response, where it could not go with the command.
    first: Option<Secret>,
    /// We have given the exchange up.
    cancelled: bool,
    candidate: Candidate,
    /// What comes after this, best first.
    rest: Vec<Candidate>,
    /// The secret has been called wrong before.
    called_wrong: bool,
}

/// A login that waits for a fresh token.
#[derive(Debug)]
pub(super) struct Renewal {
    candidate: Candidate,
    rest: Vec<Candidate>,
    called_wrong: bool,
    how: How,
    /// What the refusal was.
    reply: Reply,
}

/// A mechanism, and the entry of the account to use it with.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    mechanism: Mechanism,
    entry: usize,
}

/// Mechanism and account in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// The mechanism, in lower case.
    pub mechanism: String,
    /// The kind of secret.
    pub kind: &'static str,
    /// The user there.
    pub user: String,
    /// The line of the secrets file.
    pub line: Option<u32>,
}

/// The reply that a wrong password gets (RFC 4954 §6).
const WRONG: u16 = 535;

/// The longest first response that goes with the command, before base64.
const MAX_INITIAL: usize = 450;

impl Session {
    /// Logs in if that is wanted, and is then ready for messages.
    pub(super) fn authenticate(&mut self, now: Instant) {
        let Some(login) = &self.login else { return self.become_ready(now) };
        if self.peer.auth.is_empty() {
            return self.fail(FaultKind::Auth(AuthFault::NotOffered));
        }
        let candidates = self.candidates(login);
        if candidates.is_empty() {
            let selector = login.selector.clone();
            return self.fail(FaultKind::Auth(AuthFault::NothingInCommon { selector }));
        }
        self.try_next(&candidates, false, now);
    }

    /// What both sides have and is allowed, best first.
    fn candidates(&self, login: &Login) -> Vec<Candidate> {
        let mut all: Vec<Candidate> = Vec::new();
        for mechanism in Mechanism::ALL {
            let good = |(credentials, _): &(Credentials, _)| usable(&credentials.proof).contains(&mechanism);
            if let Some(entry) = login.entries.iter().position(good) {
                all.push(Candidate { mechanism, entry });
            }
        }
        let names: Vec<Mechanism> = all.iter().map(|candidate| candidate.mechanism).collect();
        let chosen = login.policy.choose(&names, self.is_secure());
        let offered = chosen.into_iter().filter(|mechanism| {
            let bound = *mechanism != Mechanism::ScramSha256Plus || login.exporter.is_some();
            bound && self.peer.auth.iter().any(|name| name == mechanism.name())
        });
        offered.filter_map(|name| all.iter().find(|candidate| candidate.mechanism == name).copied()).collect()
    }

    fn try_next(&mut self, candidates: &[Candidate], called_wrong: bool, now: Instant) {
        let Some((candidate, rest)) = candidates.split_first() else { return };
        let Some(login) = &self.login else { return };
        let Some((credentials, line)) = login.entries.get(candidate.entry) else { return };
        let exporter = login.exporter.as_deref();
        let mechanism = candidate.mechanism;
        let Some(mut exchange) = Exchange::new(mechanism, credentials, &login.nonce, exporter) else {
            return;
        };
        let how = How {
            mechanism: mechanism.to_string(),
            kind: credentials.proof.kind(),
            user: credentials.user.clone(),
            line: *line,
        };
        let exposed = mechanism.shows_secret() && !self.is_secure() && !login.local;
        let initial = exchange.initial();
        let (now_sent, first) = match initial {
            Some(secret) if secret.expose().len() > MAX_INITIAL => (None, Some(secret)),
            initial => (initial, None),
        };
        let (candidate, rest) = (*candidate, rest.to_vec());
        let attempt = Attempt { exchange, how, first, cancelled: false, candidate, rest, called_wrong };
        self.state = State::Auth(Box::new(attempt));
        if exposed {
            self.log(Event::SecretInClear);
        }
        self.say_auth(mechanism, now_sent, now);
    }

    fn say_auth(&mut self, mechanism: Mechanism, initial: Option<Secret>, now: Instant) {
        let name = mechanism.name();
        let Some(initial) = initial else {
            return self.send_auth(&format!("AUTH {name}"), Event::Sent(format!("AUTH {name}")), now);
        };
        let encoded = base64(initial.expose());
        // The name is no secret.
        let shown = if mechanism == Mechanism::Login { &encoded } else { "[not logged]" };
        let trace = Event::Sent(format!("AUTH {name} {shown}"));
        self.send_auth(&format!("AUTH {name} {encoded}"), trace, now);
    }

    /// The server's word in an exchange.
    pub(super) fn on_auth(&mut self, reply: Reply, now: Instant) {
        let State::Auth(attempt) = &mut self.state else { return };
        match reply.code {
            334 if !attempt.cancelled => {
                let answer = match attempt.first.take() {
                    // Whatever it says, it asks for the first response.
                    Some(first) => Some(first),
                    None => from_base64(reply.text.trim().as_bytes())
                        .and_then(|challenge| attempt.exchange.respond(&challenge).ok()),
                };
                let line = answer.as_ref().map_or("*".to_owned(), |answer| base64(answer.expose()));
                attempt.cancelled = answer.is_none();
                self.send_auth(&line, Event::SentAuth, now);
            }
            421 | 334 => self.fail(FaultKind::UnexpectedResponse(reply)),
            200..=399 if !attempt.cancelled => self.accepted(now),
            _ => self.refused(&reply, now),
        }
    }

    fn accepted(&mut self, now: Instant) {
        let State::Auth(attempt) = &self.state else { return };
        let how = attempt.how.clone();
        if !attempt.exchange.is_satisfied() {
            return self.fail(FaultKind::Auth(AuthFault::Impostor { how }));
        }
        let secure = self.is_secure();
        self.log(Event::LoggedIn { how, secure });
        self.become_ready(now);
    }

    fn refused(&mut self, reply: &Reply, now: Instant) {
        let State::Auth(attempt) = &mut self.state else { return };
        let how = attempt.how.clone();
        let rest = std::mem::take(&mut attempt.rest);
        let (candidate, called_wrong) = (attempt.candidate, attempt.called_wrong);
        if reply.code >= 500 && self.may_renew(candidate) {
            let reply = reply.clone();
            self.state = State::Renewing(Box::new(Renewal { candidate, rest, called_wrong, how, reply }));
            self.stop_waiting();
            return self.push(Output::NeedToken(candidate.entry));
        }
        self.go_on(reply, how, &rest, called_wrong, now);
    }

    /// Whether the token of this entry is worth being replaced, which it is once.
    fn may_renew(&mut self, candidate: Candidate) -> bool {
        let Some(login) = &mut self.login else { return false };
        let holds_token = matches!(
            login.entries.get(candidate.entry),
            Some((Credentials { proof: Proof::Token(_), .. }, _))
        );
        holds_token && std::mem::take(&mut login.renewable)
    }

    /// The fresh token that [`Output::NeedToken`] asked for, which is tried on the same connection. Without one, or with the same
    /// again, the refusal counts.
    pub fn renewed(&mut self, token: Option<Secret>, now: Instant) {
        let State::Renewing(renewal) = &mut self.state else { return };
        let Renewal { candidate, called_wrong, .. } = **renewal;
        let (how, reply) = (renewal.how.clone(), renewal.reply.clone());
        let rest = std::mem::take(&mut renewal.rest);
        let entry = self.login.as_mut().and_then(|login| login.entries.get_mut(candidate.entry));
        if let (Some((credentials, _)), Some(token)) = (entry, token)
            && credentials.proof != Proof::Token(token.clone())
        {
            credentials.proof = Proof::Token(token);
            let next = candidate.mechanism.to_string();
            self.log(Event::AuthRefused { how, text: reply.text, next });
            return self.try_next(&[&[candidate], &rest[..]].concat(), called_wrong, now);
        }
        self.go_on(&reply, how, &rest, called_wrong, now);
    }

    /// After a refusal: the next mechanism, or the end.
    fn go_on(&mut self, reply: &Reply, how: How, rest: &[Candidate], called_wrong: bool, now: Instant) {
        let (wrong, text) = (reply.code == WRONG, reply.text.clone());
        // Temporary: another mechanism would not help. Twice wrong: the account may be locked by a third try.
        let hopeless = reply.code < 500 || (wrong && called_wrong);
        match rest.first().filter(|_| !hopeless) {
            Some(next) => {
                let next = next.mechanism.to_string();
                self.log(Event::AuthRefused { how, text, next });
                self.try_next(rest, called_wrong || wrong, now);
            }
            None => self.fail(FaultKind::Auth(AuthFault::Refused { how, text })),
        }
    }

    fn send_auth(&mut self, line: &str, trace: Event, now: Instant) {
        if self.config.trace {
            self.log(trace);
        }
        self.send_secret(line, now);
    }
}
