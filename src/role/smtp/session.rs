//! One SMTP session: what it asks of the spool.

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::dns::dnsbl::Dnsbl;
use crate::filter::Chain;
use crate::forward::proxy::Line;
use crate::log::{self, Context, Server, ServerEvent, TlsEvent};
use crate::message::date::date_time;
use crate::net::address::Endpoint;
use crate::net::limits::Seat;
use crate::net::server::{Driver, Ended, Handler};
use crate::net::stream::Stream;
use crate::os::clock;
use crate::role::login::{self, Attempt, Logins};
use crate::role::serve::{Alarm, Arrival};
use crate::role::smtp::secure::Begins;
use crate::role::smtp::{SmtpRole, SmtpSettings, events, screen, secure};
use crate::smtp::reply;
use crate::smtp::server::{self, Answer, AuthStep, Login, Peer, Question, Refusal, Session};
use crate::spool::{Envelope, MessageId, NewMessage, Spool, StoreError};
use crate::tls::{Acceptor, Secured};
use crate::verify::{Checker, Query};

/// Content is kept in memory up to this size, so that a small message is written in one visit to the disk; more of it
/// goes to the content file as it comes.
const SPILL: usize = 64 * 1024;

/// The mechanism of a client that has not authenticated, for the verifier.
const NOT_AUTHENTICATED: &str = "none";

/// Why a session ends that is still in the middle of a message at the end of the stop timeout.
const CUT_OFF: &str = "shutting down";

/// Runs one session from greeting to close.
pub(super) async fn run(role: Arc<SmtpRole>, arrival: Arrival) {
    let Arrival { mut stream, peer, context, admission, implicit_tls } = arrival;
    let settings = role.settings();
    let server = Server::Smtp;
    let _alarm = Alarm { context: &context, server };
    log::emit(&context, &ServerEvent::Connected { server, address: peer.to_string() }.into());
    if settings.reset_on_close {
        // Only changes how the connection ends.
        let _ = stream.reset_on_close();
    }
    // Who hands messages over is known already, and on this machine.
    let handover = peer.user().is_some();
    let logins = settings.logins.as_ref().filter(|_| !handover);
    // What happens once is kept apart: a session that waits is to have no room for it.
    let (mut who, attempt) = Box::pin(identify(logins, &peer, &context)).await;
    // Who is trusted by name is not judged by others.
    if who.trust.is_none()
        && !Box::pin(screen::admits(&role, &settings, &mut stream, &peer, &context, implicit_tls)).await
    {
        let (reason, address) = (String::new(), peer.to_string());
        log::emit(&context, &ServerEvent::Disconnected { server, reason, address }.into());
        drop(admission);
        return role.session_ended();
    }
    who.screened = settings.dnsbl_defer && settings.dnsbl.is_some();
    let mut store = Store {
        role: &role,
        peer: &peer,
        client: &context,
        context: context.clone(),
        message: None,
        attempt,
        checker: Checker::new(Arc::clone(&settings.verifier)),
        domain: &settings.session.domain,
        dnsbl: settings.dnsbl.as_deref(),
        tls: settings.tls.clone().filter(|_| !handover),
        secured: None,
        exporter: None,
        // As messages that the program can put into the spool by itself.
        filters: settings.filters.clone().filter(|_| !handover),
        line: role.proxy.as_ref().filter(|_| !handover).map(Line::new),
        seat: admission.seat(),
    };
    let reason = tokio::select! {
        biased;
        reason = converse(&settings, stream, &mut store, who, admission.seat(), implicit_tls && !handover) => reason,
        // A message that the commit thread has is stored all the same; the client does not hear of it.
        () = role.gate.kill.cancelled() => CUT_OFF.to_owned(),
    };
    drop(store);
    log::emit(&context, &ServerEvent::Disconnected { server, reason, address: peer.to_string() }.into());
    drop(admission);
    role.session_ended();
}

/// What the session is to know of the client, and how it can log in.
async fn identify(
    logins: Option<&Arc<Logins>>,
    peer: &Endpoint,
    context: &Context,
) -> (Peer, Option<Attempt>) {
    let address = peer.host();
    let Some(logins) = logins else { return (Peer { address, ..Peer::default() }, None) };
    logins.consult().await;
    let trust = logins.trust(peer.ip()).map(|trust| {
        let reason = format!("matched [{}] from line {}", trust.range, trust.line);
        Box::new(server::Trust { keyword: trust.keyword, reason })
    });
    let attempt = Attempt::new(Arc::clone(logins), peer.ip(), trust.is_none(), context.clone());
    (Peer { address, offer: Some(logins.offer()), trust, ..Peer::default() }, Some(attempt))
}

/// Drives the session, through a handshake if there is one, and returns why it ended.
async fn converse(
    settings: &SmtpSettings,
    mut stream: Stream,
    store: &mut Store<'_>,
    mut who: Peer,
    seat: Arc<Seat>,
    implicit_tls: bool,
) -> String {
    if implicit_tls {
        match Box::pin(secure::handshake(settings, stream, store, &seat, Begins::AtOnce)).await {
            Ok((secure, secured)) => {
                stream = secure;
                who.cipher = Some(secured.cipher.as_str().into());
                store.exporter = stream.exporter();
                store.secured = Some(Box::new(secured));
            }
            Err(reason) => return reason,
        }
    }
    let handover = store.peer.user().is_some();
    let config = Arc::clone(if handover { &settings.handover } else { &settings.session });
    let mut session = if store.role.spool.smtp_disabled() {
        log::emit(store.client, &ServerEvent::Disabled { address: store.peer.to_string() }.into());
        Session::disabled(config, who, now())
    } else {
        Session::new(config, who, now())
    };
    let stop = store.role.gate.stop.clone();
    let driver = Driver { write_timeout: settings.session.idle_timeout, stop, seat };
    loop {
        match driver.run(&mut stream, &mut session, store).await {
            Ended::Closed(reason) => return reason.to_string(),
            Ended::StartTls => {}
        }
        match Box::pin(secure::handshake(settings, stream, store, &driver.seat, Begins::OnCommand)).await {
            Ok((secure, secured)) => {
                stream = secure;
                session.secured(&secured.cipher, now());
                store.exporter = stream.exporter();
                store.secured = Some(Box::new(secured));
            }
            Err(reason) => return reason,
        }
    }
}

/// The message that a session is taking in.
pub(super) struct OpenMessage {
    pub(super) id: MessageId,
    content: Content,
}

enum Content {
    /// Not on disk yet.
    Memory(Vec<u8>),
    /// In its file, with what has come since the last write.
    File(NewMessage, Vec<u8>),
    /// It could not be written; what follows is dropped and the message refused at its end.
    Failed(StoreError),
}

/// Answers a session's questions from the spool.
pub(super) struct Store<'a> {
    pub(super) role: &'a Arc<SmtpRole>,
    pub(super) peer: &'a Endpoint,
    /// What is logged is about the client,
    pub(super) client: &'a Context,
    /// and from the start of a message until the next one also about that.
    pub(super) context: Context,
    pub(super) message: Option<OpenMessage>,
    /// None where nobody needs to log in.
    attempt: Option<Attempt>,
    pub(super) checker: Checker,
    /// What this server is called.
    domain: &'a str,
    /// What is asked about the client if the session wants to know.
    dnsbl: Option<&'a Dnsbl>,
    tls: Option<Arc<Acceptor>>,
    /// How the connection is secure, if it is.
    pub(super) secured: Option<Box<Secured>>,
    /// What a login can be bound to.
    exporter: Option<Vec<u8>>,
    pub(super) filters: Option<Arc<Chain>>,
    /// Where messages go whose client waits until they are sent on.
    pub(super) line: Option<Line>,
    pub(super) seat: Arc<Seat>,
}

impl Handler for Store<'_> {
    async fn ask(&mut self, question: Question) -> Answer {
        // What takes long is kept apart: a session that waits is to have no room for it.
        match question {
            Question::Screen => Box::pin(self.screen()).await,
            Question::Begin { declared_size, .. } => self.begin(declared_size).await,
            Question::Verify { recipient, sender, login } => {
                Box::pin(self.verify(recipient, sender, login)).await
            }
            Question::Vrfy { argument, login } => {
                let verified = Box::pin(self.verify(argument, String::new(), login)).await;
                if self.message.is_none() {
                    self.checker.reset();
                }
                verified
            }
            Question::Authenticate(step) => Box::pin(self.authenticate(step)).await,
            Question::StartTls => match &self.tls {
                Some(acceptor) if acceptor.has_room() => Answer::TlsReady,
                _ => Answer::Refused(Refusal::new(reply::TLS_NOT_AVAILABLE.code(), "")),
            },
            Question::Commit(transaction) => Box::pin(self.commit(*transaction)).await,
        }
    }

    async fn content(&mut self, bytes: Vec<u8>) {
        let Some(message) = &mut self.message else { return };
        let full = match &mut message.content {
            Content::Memory(buffer) | Content::File(_, buffer) => {
                if buffer.is_empty() {
                    *buffer = bytes;
                } else {
                    buffer.extend_from_slice(&bytes);
                }
                buffer.len() >= SPILL
            }
            Content::Failed(_) => false,
        };
        if full && let Some(OpenMessage { id, content }) = self.message.take() {
            let spool = Arc::clone(&self.role.spool);
            let wanted = id.clone();
            let spilled = spawn_blocking(move || spill(&spool, wanted, content)).await;
            // The runtime reports the panic; the message is refused at its end.
            let (id, content) = spilled.unwrap_or_else(|_| (id, Content::Failed(StoreError::Incomplete)));
            if let Content::Failed(error) = &content {
                self.emit(ServerEvent::SaveFailed { id: id.to_string(), reason: error.to_string() });
            }
            self.message = Some(OpenMessage { id, content });
        }
    }

    fn discard(&mut self) {
        self.checker.reset();
        self.context = self.client.clone();
        if let Some(OpenMessage { content: Content::File(message, _), .. }) = self.message.take() {
            // Removing files may take a moment, and nobody waits for it.
            self.role.gate.sessions.spawn_blocking(move || message.discard());
        }
    }

    fn log(&mut self, event: server::Event) {
        match event {
            server::Event::MissingBrackets if !self.role.syntax.admits(self.peer.ip(), now()) => {}
            server::Event::PlaintextAfterStartTls => {
                let address = self.peer.to_string();
                log::emit(self.client, &TlsEvent::PlaintextAfterStartTls { address }.into());
            }
            server::Event::ClientGone => {
                let id = self.context.msgid.as_deref().unwrap_or_default().to_owned();
                self.emit(ServerEvent::ClientGone { id });
            }
            event => log::emit(&self.context, &events::of(&event)),
        }
    }

    fn broken(&mut self, error: &io::Error) -> String {
        secure::broken(error, self.secured.is_some(), self.message.is_some(), self.client)
    }
}

impl Store<'_> {
    pub(super) fn emit(&self, event: ServerEvent) {
        log::emit(&self.context, &event.into());
    }

    async fn screen(&self) -> Answer {
        let Some(dnsbl) = self.dnsbl else { return Answer::Admitted };
        match screen::judge(self.role, dnsbl, self.peer, self.client).await {
            None => Answer::Admitted,
            Some(list) => Answer::Blocked { list },
        }
    }

    async fn verify(&mut self, address: String, sender: String, login: Option<Login>) -> Answer {
        let mechanism = login.as_ref().and_then(|login| login.mechanism);
        let query = Query {
            address,
            sender,
            client: self.peer.to_string(),
            domain: self.domain.to_owned(),
            mechanism: mechanism
                .map_or(NOT_AUTHENTICATED.to_owned(), |mechanism| mechanism.name().to_lowercase()),
            identity: login.map(|login| login.identity).unwrap_or_default(),
        };
        Answer::Verified(self.checker.verify(&query, &self.context).await)
    }

    async fn begin(&mut self, declared_size: Option<u64>) -> Answer {
        let known = self.role.spool.known_to_take(declared_size);
        let taken = match known {
            Some(known) => known,
            None => {
                let spool = Arc::clone(&self.role.spool);
                let check = spawn_blocking(move || spool.check(declared_size));
                // The runtime reports a panic.
                check.await.unwrap_or(Err(StoreError::Incomplete))
            }
        };
        match taken {
            Ok(()) => {
                let id = self.role.spool.next_id();
                self.context = self.client.with_message(&id.to_string());
                self.emit(ServerEvent::ContentFile { id: id.to_string() });
                self.message = Some(OpenMessage { id, content: Content::Memory(Vec::new()) });
                Answer::Begun { received_date: date_time(&clock::now()) }
            }
            Err(error) => self.refuse("", &error),
        }
    }

    async fn authenticate(&mut self, step: AuthStep) -> Answer {
        // Only asked where something is offered.
        let Some(attempt) = &mut self.attempt else { return Answer::LoginRefused };
        let verdict = match step {
            AuthStep::Begin { mechanism, initial } => {
                let binding = attempt.binding(self.exporter.clone());
                attempt.begin(mechanism, initial, binding).await
            }
            AuthStep::Respond(response) => attempt.respond(response).await,
        };
        match verdict {
            login::Verdict::Challenge(bytes) => Answer::Challenge(bytes),
            login::Verdict::Accepted { identity } => Answer::LoggedIn { identity },
            login::Verdict::Refused => Answer::LoginRefused,
            login::Verdict::Unavailable => Answer::LoginUnavailable,
        }
    }
}

/// Moves what is in memory to the content file. Blocking.
fn spill(spool: &Arc<Spool>, id: MessageId, content: Content) -> (MessageId, Content) {
    let written = match content {
        Content::Memory(bytes) => spool.create(&id).and_then(|message| append(message, &bytes)),
        Content::File(message, bytes) => append(message, &bytes),
        Content::Failed(error) => Err(error),
    };
    match written {
        Ok(message) => (message.id().clone(), Content::File(message, Vec::with_capacity(SPILL))),
        Err(error) => (id, Content::Failed(error)),
    }
}

/// Completes both files. Blocking.
pub(super) fn write_out(
    spool: &Arc<Spool>,
    message: OpenMessage,
    envelope: &Envelope,
) -> Result<NewMessage, StoreError> {
    let (_, content) = spill(spool, message.id, message.content);
    match content {
        Content::File(mut message, _) => {
            message.write_envelope(envelope)?;
            Ok(message)
        }
        Content::Failed(error) => Err(error),
        Content::Memory(_) => Err(StoreError::Incomplete),
    }
}

fn append(mut message: NewMessage, bytes: &[u8]) -> Result<NewMessage, StoreError> {
    message.append(bytes)?;
    Ok(message)
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

#[cfg(test)]
mod tests;
