//! One client on its way through an exchange.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::throttle::Throttle;
use super::{Logins, Source};
use crate::log::{self, Context, LoginEvent};
use crate::os::random;
use crate::sasl::server::{Binding, Exchange, Fresh, Outcome, Step, Used, check_apop, check_password};
use crate::sasl::{Mechanism, Secret};
use crate::secrets::pam::PamError;

/// The kind of account in log lines.
const PAM_KIND: &str = "pam";

/// Passwords that are checked against slow hashes at a time, in the whole process: each may take
/// [`MAX_MEMORY`](crate::sasl::MAX_MEMORY).
static COSTLY: Semaphore = Semaphore::const_new(COSTLY_AT_ONCE);
/// So many.
const COSTLY_AT_ONCE: usize = 2;

/// How long a client waits for its turn with them.
const TURN_TIME: Duration = Duration::from_secs(30);

/// What to tell the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This is to be answered.
    Challenge(Vec<u8>),
    /// It is who it says it is.
    Accepted {
        /// That name, printable.
        identity: String,
    },
    /// It is not.
    Refused,
    /// That cannot be said now.
    Unavailable,
}

/// The logins of one client, one after the other.
#[derive(Debug)]
pub struct Attempt {
    logins: Arc<Logins>,
    peer: Option<IpAddr>,
    /// Its failures count for its address.
    counted: bool,
    context: Context,
    /// The exchange under way.
    open: Option<(Mechanism, Exchange)>,
}

impl Attempt {
    /// A client that has not tried yet; `peer` is none for unix-domain sockets. `counted`: its failures are held against
    /// its address, as they are not if that is trusted.
    pub fn new(logins: Arc<Logins>, peer: Option<IpAddr>, counted: bool, context: Context) -> Self {
        Self { logins, peer, counted, context, open: None }
    }

    /// The client has chosen a mechanism. An exchange that was under way is forgotten.
    pub async fn begin(
        &mut self,
        mechanism: Mechanism,
        initial: Option<Secret>,
        binding: Binding,
    ) -> Verdict {
        self.open = None;
        if self.is_rejected() {
            return Verdict::Unavailable;
        }
        self.logins.consult().await;
        let mut exchange = Exchange::new(mechanism, &self.fresh(), binding);
        let secrets = self.logins.secrets();
        let step = spawn_blocking(move || {
            let step = exchange.begin(&*secrets, initial.as_ref().map(Secret::expose));
            (step, exchange)
        });
        self.carry_on(mechanism, step.await.ok()).await
    }

    /// The client has answered.
    pub async fn respond(&mut self, response: Secret) -> Verdict {
        let Some((mechanism, mut exchange)) = self.open.take() else { return Verdict::Refused };
        let secrets = self.logins.secrets();
        let step = spawn_blocking(move || (exchange.respond(&*secrets, response.expose()), exchange));
        self.carry_on(mechanism, step.await.ok()).await
    }

    /// The client has said a name and a password in other words, as POP's USER and PASS.
    pub async fn password(&mut self, user: Vec<u8>, password: Secret) -> Verdict {
        if self.is_rejected() {
            return Verdict::Unavailable;
        }
        self.logins.consult().await;
        let first = first_word(&password);
        self.check(Mechanism::Plain, user, password, first).await
    }

    /// The client has answered the challenge in the greeting (RFC 1939 §7).
    pub async fn apop(&mut self, challenge: &str, user: &[u8], digest: &[u8]) -> Verdict {
        if self.is_rejected() {
            return Verdict::Unavailable;
        }
        self.logins.consult().await;
        let outcome = check_apop(&*self.logins.secrets(), challenge, user, digest);
        self.conclude(Mechanism::Apop, &outcome)
    }

    /// What the session can be bound to, for [`Attempt::begin`].
    pub fn binding(&self, exporter: Option<Vec<u8>>) -> Binding {
        let plus = self.logins.offer().bound.contains(&Mechanism::ScramSha256Plus);
        Binding { offered: plus && exporter.is_some(), exporter }
    }

    /// What is new in an exchange; POP's greeting has one too.
    pub fn fresh(&self) -> Fresh {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Fresh { random: random::bytes(), time, domain: self.logins.domain.clone() }
    }

    async fn carry_on(&mut self, mechanism: Mechanism, done: Option<(Step, Exchange)>) -> Verdict {
        // None: it panicked, which the runtime reports.
        let Some((step, exchange)) = done else { return Verdict::Unavailable };
        match step {
            Step::Challenge(bytes) => {
                self.open = Some((mechanism, exchange));
                Verdict::Challenge(bytes)
            }
            Step::Password { user, password } => self.check(mechanism, user, password, None).await,
            Step::Done(outcome) => self.conclude(mechanism, &outcome),
        }
    }

    /// `second`: what may be the password if `password` is not.
    async fn check(
        &mut self,
        mechanism: Mechanism,
        user: Vec<u8>,
        password: Secret,
        second: Option<Secret>,
    ) -> Verdict {
        match &self.logins.source {
            Source::File(store) => {
                let secrets = store.current();
                let turn = if secrets.is_costly(&user) {
                    let Ok(Ok(turn)) = timeout(TURN_TIME, COSTLY.acquire()).await else {
                        log::emit(&self.context, &LoginEvent::Crowded.into());
                        return Verdict::Unavailable;
                    };
                    Some(turn)
                } else {
                    None
                };
                let checked = spawn_blocking(move || {
                    // Also when nobody waits for the outcome any more.
                    let _turn = turn;
                    let outcome = check_password(&*secrets, &user, &password);
                    let second = second.filter(|_| !outcome.accepted);
                    let retried = second.map(|second| check_password(&*secrets, &user, &second));
                    retried.filter(|retried| retried.accepted).unwrap_or(outcome)
                });
                match checked.await {
                    Ok(outcome) => self.conclude(mechanism, &outcome),
                    Err(_) => Verdict::Unavailable,
                }
            }
            Source::Pam { pam, .. } => {
                let judged = pam.check(user.clone(), password).await;
                self.by_pam(mechanism, user, judged)
            }
        }
    }

    fn by_pam(&self, mechanism: Mechanism, user: Vec<u8>, judged: Option<Result<(), PamError>>) -> Verdict {
        let error = match judged {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error),
            None => {
                let text = "pam error: timeout".to_owned();
                log::emit(&self.context, &LoginEvent::PamError { text }.into());
                return Verdict::Unavailable;
            }
        };
        if let Some(error) = &error {
            log::emit(&self.context, &LoginEvent::PamError { text: error.to_string() }.into());
        }
        if let Some(PamError::Unavailable { .. }) = error {
            return Verdict::Unavailable;
        }
        let used = Some(Used { kind: PAM_KIND, line: None });
        self.conclude(mechanism, &Outcome { user: Some(user), used, accepted: error.is_none() })
    }

    /// Says in the log how it ended.
    fn conclude(&self, mechanism: Mechanism, outcome: &Outcome) -> Verdict {
        let user = outcome.user.as_deref().map(printable);
        let event = LoginEvent::Login {
            accepted: outcome.accepted,
            mechanism: mechanism.to_string(),
            kind: outcome.used.map(|used| used.kind),
            user: user.clone(),
            line: outcome.used.and_then(|used| used.line),
        };
        log::emit(&self.context, &event.into());
        if outcome.accepted {
            return Verdict::Accepted { identity: user.unwrap_or_default() };
        }
        if let Some(throttle) = self.throttle()
            && throttle.failed(self.peer, Instant::now())
        {
            log::emit(&self.context, &LoginEvent::Throttled.into());
        }
        Verdict::Refused
    }

    fn is_rejected(&self) -> bool {
        self.throttle().is_some_and(|throttle| throttle.rejects(self.peer, Instant::now()))
    }

    fn throttle(&self) -> Option<&Throttle> {
        self.logins.throttle.as_ref().filter(|_| self.counted)
    }
}

/// compat: E-MailRelay 2.6 took the first word behind PASS for the password.
fn first_word(password: &Secret) -> Option<Secret> {
    let mut words = password.expose().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let first = words.next()?;
    (first.len() < password.expose().len()).then(|| Secret::new(first.to_vec()))
}

/// A name as text. Names that are not UTF-8 are told apart by their bytes.
fn printable(user: &[u8]) -> String {
    String::from_utf8(user.to_vec()).unwrap_or_else(|_| user.escape_ascii().to_string())
}
