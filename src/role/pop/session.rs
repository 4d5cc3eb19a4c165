//! One POP session: what it asks of the accounts and of the spool.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::admin::Notice;
use crate::log::{self, Context, PopEvent, Server, ServerEvent, SpoolEvent};
use crate::net::address::Endpoint;
use crate::net::limits::Seat;
use crate::net::pop::{Driver, Handler};
use crate::net::stream::Stream;
use crate::pop::{
    self, Answer, Block, Channel, Denial, Login, Marks, NoMailbox, Offer, Offers, Question, Session, Start,
};
use crate::role::login::{Attempt, Logins, Verdict};
use crate::role::pop::ahead::{self, Ahead};
use crate::role::pop::content::Reader;
use crate::role::pop::secure::Secure;
use crate::role::pop::{PopRole, PopSettings, events};
use crate::role::serve::{Alarm, Arrival};
use crate::sasl::Mechanism;
use crate::spool::{ContentError, Mailbox, MailboxError, MailboxName, MessageId, Removal};

/// Why a session ends that is still in the middle of a reply at the end of the stop timeout.
const CUT_OFF: &str = "shutting down";

/// Runs one session from greeting to close.
pub(super) async fn run(role: Arc<PopRole>, arrival: Arrival) {
    let Arrival { stream, peer, context, admission, implicit_tls } = arrival;
    let settings = role.settings();
    let server = Server::Pop;
    let _alarm = Alarm { context: &context, server };
    log::emit(&context, &ServerEvent::Connected { server, address: peer.to_string() }.into());
    let secure = Secure { acceptor: settings.tls.as_deref(), peer: &peer, context: &context };
    let seat = admission.seat();
    let conversation = converse(&role, &settings, secure, stream, Arc::clone(&seat), implicit_tls);
    let reason = tokio::select! {
        biased;
        reason = conversation => reason,
        () = role.gate.kill.cancelled() => CUT_OFF.to_owned(),
    };
    log::emit(&context, &ServerEvent::Disconnected { server, reason, address: peer.to_string() }.into());
    drop(admission);
    role.gate.session_ended();
}

/// Drives the session, through a handshake if there is one, and returns why it ended.
async fn converse(
    role: &Arc<PopRole>,
    settings: &Arc<PopSettings>,
    secure: Secure<'_>,
    mut stream: Stream,
    seat: Arc<Seat>,
    implicit_tls: bool,
) -> String {
    let Secure { peer, context, .. } = secure;
    if implicit_tls {
        match secure.at_once(stream, &role.gate.stop, &seat).await {
            Ok(done) => stream = done,
            Err(reason) => return reason,
        }
    }
    let exporter = stream.exporter();
    let driver = Driver { write_timeout: settings.session.idle_timeout, stop: role.gate.stop.clone(), seat };
    let logins = &settings.logins;
    logins.consult().await;
    let attempt = Attempt::new(Arc::clone(logins), peer.ip(), false, context.clone());
    let challenge = attempt.fresh().challenge();
    let channel = channel(&stream, exporter.as_ref());
    let start = Start { offers: offers(logins), challenge: challenge.clone(), channel };
    let mut session = Session::new(Arc::clone(&settings.session), start, now());
    let mut desk = Desk {
        role,
        settings,
        secure,
        peer,
        context,
        attempt,
        challenge,
        exporter,
        mailbox: None,
        content: None,
        ahead: Ahead::default(),
        tally: Tally::default(),
    };
    driver.run(stream, &mut session, &mut desk).await.to_string()
}

/// How clients may log in now.
fn offers(logins: &Logins) -> Offers {
    let offer = logins.offer();
    let one = |mechanisms: &[Mechanism], secure| Offer {
        mechanisms: mechanisms.to_vec(),
        apop: logins.apop(secure),
    };
    Offers {
        clear: one(&offer.clear, false),
        secure: one(&offer.secure, true),
        bound: one(&offer.bound, true),
    }
}

/// What a connection is, by what its TLS session has exported.
fn channel(stream: &Stream, exporter: Option<&Vec<u8>>) -> Channel {
    match (stream.is_secure(), exporter) {
        (false, _) => Channel::Clear,
        (true, None) => Channel::Secure,
        (true, Some(_)) => Channel::Bound,
    }
}

/// What a session has done.
#[derive(Default)]
struct Tally {
    user: String,
    retrieved: (usize, u64),
    deleted: (usize, u64),
}

/// Answers a session's questions.
struct Desk<'a> {
    role: &'a Arc<PopRole>,
    settings: &'a Arc<PopSettings>,
    secure: Secure<'a>,
    peer: &'a Endpoint,
    context: &'a Context,
    attempt: Attempt,
    /// That of the greeting.
    challenge: String,
    /// What a login can be bound to.
    exporter: Option<Vec<u8>>,
    mailbox: Option<Arc<Mailbox>>,
    content: Option<Reader>,
    ahead: Ahead,
    tally: Tally,
}

impl Handler<Stream> for Desk<'_> {
    async fn ask(&mut self, question: Question) -> Answer {
        match question {
            Question::Login(login) => self.login(login).await,
            Question::Open { index } => self.open(index).await,
            Question::More => self.more().await,
            Question::Delete(marks) => self.delete(marks).await,
        }
    }

    fn close_content(&mut self) {
        self.content = None;
    }

    async fn secure(&mut self, stream: Stream) -> Option<(Stream, Channel)> {
        let stream = self.secure.on_command(stream).await?;
        self.exporter = stream.exporter();
        let channel = channel(&stream, self.exporter.as_ref());
        Some((stream, channel))
    }

    fn closing(&mut self) {
        // The user may come back as soon as the last reply is read.
        (self.mailbox, self.content, self.ahead) = (None, None, Ahead::default());
    }

    fn log(&mut self, event: pop::Event) {
        log::emit(self.context, &events::of(&event));
    }
}

/// However a session ends, cut off at a stop included, what it has done is told.
impl Drop for Desk<'_> {
    fn drop(&mut self) {
        self.report();
    }
}

impl Desk<'_> {
    fn emit(&self, event: PopEvent) {
        log::emit(self.context, &event.into());
    }

    async fn login(&mut self, login: Login) -> Answer {
        let attempt = &mut self.attempt;
        let verdict = match login {
            Login::Password { user, password } => attempt.password(user, password).await,
            Login::Apop { user, digest } => attempt.apop(&self.challenge, &user, &digest).await,
            Login::Begin { mechanism, initial, .. } => {
                let binding = attempt.binding(self.exporter.clone());
                attempt.begin(mechanism, initial, binding).await
            }
            Login::Respond(response) => attempt.respond(response).await,
        };
        match verdict {
            Verdict::Challenge(bytes) => Answer::Challenge(bytes),
            Verdict::Accepted { identity } => self.open_mailbox(identity).await,
            Verdict::Unavailable => Answer::Denied(Denial::Unavailable),
            Verdict::Refused => {
                let failure = self.role.guard.failed(self.peer.ip(), self.settings.auth_delay, now());
                if failure.blocks {
                    self.emit(PopEvent::Blocked { address: self.peer.host() });
                }
                Answer::Denied(Denial::Wrong(failure.delay))
            }
        }
    }

    async fn open_mailbox(&mut self, user: String) -> Answer {
        let address = self.peer.to_string();
        self.emit(PopEvent::LoggedIn { user: user.clone(), address });
        let name = match self.settings.by_name.then(|| user.parse::<MailboxName>()).transpose() {
            Ok(name) => name,
            Err(_) => return Answer::NoMailbox(NoMailbox::Invalid),
        };
        let spool = Arc::clone(&self.role.spool);
        // A panic in the blocking task has been reported by the runtime.
        let Ok(opened) = spawn_blocking(move || spool.mailbox(name.as_ref())).await else {
            return Answer::NoMailbox(NoMailbox::Unavailable);
        };
        match opened {
            Ok(mailbox) => {
                if mailbox.created() {
                    self.emit(PopEvent::MailboxCreated { user: user.clone() });
                }
                if let Some(ledger) = self.role.gate.ledger() {
                    ledger.tell(Notice::extra(&["pop", "login", &user]), false);
                }
                let mailbox = Arc::new(mailbox);
                self.mailbox = Some(Arc::clone(&mailbox));
                self.tally.user = user;
                Answer::LoggedIn(Arc::new(Listed(mailbox)))
            }
            Err(MailboxError::InUse) => Answer::NoMailbox(NoMailbox::InUse),
            Err(error) => {
                self.emit(PopEvent::MailboxUnavailable { user, reason: error.to_string() });
                Answer::NoMailbox(NoMailbox::Unavailable)
            }
        }
    }

    async fn open(&mut self, index: usize) -> Answer {
        let Some(mailbox) = self.mailbox.clone() else { return Answer::Unreadable };
        if let Some((size, block)) = self.ahead.take(index) {
            return self.opened(&mailbox, index, size, block);
        }
        let in_order = self.ahead.expects(index);
        let disk = Arc::clone(&mailbox);
        let Ok(opened) = spawn_blocking(move || {
            let (file, size) = disk.open(index)?;
            let (reader, block) = Reader::begin(file, size).map_err(ContentError::from)?;
            let follow = if in_order && block.last { ahead::read(&disk, index + 1) } else { VecDeque::new() };
            Ok((reader, block, follow))
        })
        .await
        else {
            return Answer::Unreadable;
        };
        match opened {
            Ok((reader, block, follow)) => {
                self.ahead.put(index, follow);
                let size = reader.size();
                self.content = Some(reader).filter(|_| !block.last);
                self.opened(&mailbox, index, size, block)
            }
            Err(ContentError::Gone) => Answer::Gone,
            Err(ContentError::Io(errno)) => {
                self.unreadable(mailbox.unique_name(index), errno.desc().to_lowercase());
                Answer::Unreadable
            }
        }
    }

    /// A message of `size` bytes that begins with `block` goes to the client.
    fn opened(&mut self, mailbox: &Mailbox, index: usize, size: u64, block: Block) -> Answer {
        let listed = mailbox.size(index);
        if size != listed {
            self.emit(PopEvent::SizeChanged { name: mailbox.unique_name(index), listed, found: size });
        }
        self.tally.retrieved.0 += 1;
        self.tally.retrieved.1 += block.bytes.len() as u64;
        Answer::Content { size, block }
    }

    async fn more(&mut self) -> Answer {
        let Some(mut reader) = self.content.take() else { return Answer::Unreadable };
        let Ok((reader, read)) = spawn_blocking(move || {
            let block = reader.next_block();
            (reader, block)
        })
        .await
        else {
            return Answer::Unreadable;
        };
        match read {
            Ok(block) => {
                self.tally.retrieved.1 += block.bytes.len() as u64;
                self.content = Some(reader).filter(|_| !block.last);
                Answer::More(block)
            }
            Err(error) => {
                self.unreadable(String::new(), crate::os::reason(&error));
                Answer::Unreadable
            }
        }
    }

    fn unreadable(&self, name: String, reason: String) {
        self.emit(PopEvent::Unreadable { name, reason });
    }

    async fn delete(&mut self, marks: Marks) -> Answer {
        if self.settings.no_delete {
            return Answer::Deleted;
        }
        let Some(mailbox) = self.mailbox.clone() else { return Answer::NotDeleted };
        let (ledger, user) = (self.role.gate.ledger().cloned(), self.tally.user.clone());
        // Once begun it is finished, whatever becomes of the session.
        let work = self.role.gate.sessions.spawn_blocking(move || {
            let removal = mailbox.remove(marks.iter());
            if let Some(ledger) = ledger {
                ledger.tell_all(deletions(&mailbox, &marks, &removal, &user));
            }
            removal
        });
        let Ok(removal) = work.await else { return Answer::NotDeleted };
        self.tally.deleted = (removal.removed, removal.bytes);
        self.role.deleted.fetch_add(removal.removed, Ordering::Relaxed);
        if self.report_removal(&removal) { Answer::Deleted } else { Answer::NotDeleted }
    }

    /// True if all messages are gone for good.
    fn report_removal(&self, removal: &Removal) -> bool {
        for held in &removal.held {
            let reason = match held.errno {
                Some(errno) => errno.desc().to_lowercase(),
                None => "message is being forwarded or has failed".to_owned(),
            };
            self.emit(PopEvent::DeleteFailed { id: held.id.to_string(), reason });
        }
        for (name, errno) in &removal.left {
            self.emit(PopEvent::DeleteFailed { id: name.clone(), reason: errno.desc().to_lowercase() });
        }
        if let Some(error) = &removal.unsynced {
            let path = self.role.spool.path().display().to_string();
            let event = SpoolEvent::SyncFailed { path, reason: error.to_string() };
            log::emit(self.context, &event.into());
        }
        removal.held.is_empty() && removal.unsynced.is_none()
    }

    fn report(&self) {
        if !self.tally.user.is_empty() {
            let Tally { user, retrieved, deleted } = &self.tally;
            self.role.retrieved.fetch_add(retrieved.0, Ordering::Relaxed);
            self.emit(PopEvent::Done { user: user.clone(), retrieved: *retrieved, deleted: *deleted });
        }
    }
}

/// What is told of the messages that are gone.
fn deletions(
    mailbox: &Mailbox,
    marks: &Marks,
    removal: &Removal,
    user: &str,
) -> impl Iterator<Item = Notice> {
    let held: HashSet<&MessageId> = removal.held.iter().map(|held| &held.id).collect();
    let gone = marks.iter().filter_map(|index| mailbox.id(index)).filter(move |id| !held.contains(id));
    gone.map(move |id| Notice::extra(&["pop", "deleted", user, &id.to_string()]))
}

/// A mailbox as the session sees it.
struct Listed(Arc<Mailbox>);

impl pop::Maildrop for Listed {
    fn count(&self) -> usize {
        self.0.count()
    }

    fn total(&self) -> u64 {
        self.0.total()
    }

    fn size(&self, index: usize) -> u64 {
        self.0.size(index)
    }

    fn unique_name(&self, index: usize) -> String {
        self.0.unique_name(index)
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
