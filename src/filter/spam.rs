//! `spam:` and `spam-edit:`: asks spamd, in its own protocol (SPAMC/1.4).

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::server::{Connection, Fault, Server};
use super::{Failure, Filter, Job, Outcome, Running, Tools, text};
use crate::config::address::Remote;
use crate::config::spam::SpamOptions;
use crate::log::{self, FilterEvent};
use crate::spool::{ContentEdit, MessageId, Spool};

/// Longest line of an answer's head, bytes.
const MAX_LINE: usize = 8 * 1024;

/// Most lines of it.
const MAX_LINES: usize = 100;

/// Content read, sent or received at a time.
const CHUNK: usize = 64 * 1024;

/// What follows the head is longer or shorter than it said.
const WRONG_LENGTH: &str = "incorrect content length in spam response";

/// spamd, and what to do with what it says.
#[derive(Debug)]
pub(super) struct Spam {
    server: Server,
    edit: bool,
    options: SpamOptions,
    spool: Arc<Spool>,
}

/// An answer whose body has been dealt with.
struct Answer {
    /// `True ; 7.1 / 5.0`, unless it is no spam.
    spam: Option<String>,
}

impl Spam {
    pub(super) fn new(address: Remote, edit: bool, options: SpamOptions, tools: &Tools) -> Self {
        Self { server: Server::new(address, tools.timeout), edit, options, spool: Arc::clone(&tools.spool) }
    }

    async fn filter(&self, job: &Job) -> Outcome {
        let answer = tokio::select! {
            biased;
            () = job.stop.cancelled() => return Outcome::ok(),
            answer = self.ask(job) => answer,
        };
        match answer {
            Ok(Answer { spam: Some(verdict) }) if !self.edit => {
                let failure = Failure::rejected(text::REJECTED, format!("spam: {verdict}"));
                Outcome::fail(Failure { code: self.options.code, ..failure })
            }
            Ok(_) => Outcome::ok(),
            Err(fault) => {
                let (word, name) = (job.position.word(), self.name());
                let reason = format!("spamd interaction failed: {fault}");
                if self.server.is_news(job.position, &reason) {
                    log::emit(&job.context, &FilterEvent::Fault { word, name, reason }.into());
                }
                if self.options.pass_on_fault {
                    return Outcome::ok();
                }
                Outcome::fail(Failure::fault(text::REJECTED, fault.to_string()))
            }
        }
    }

    async fn ask(&self, job: &Job) -> Result<Answer, Fault> {
        let (file, size) = self.open(&job.id).await?;
        if self.options.max.is_some_and(|max| size > max) {
            let reason = format!("message of {size} bytes is not looked at: too big");
            let (word, name) = (job.position.word(), self.name());
            log::emit(&job.context, &FilterEvent::Fault { word, name, reason }.into());
            return Ok(Answer { spam: None });
        }
        note(job, format!("spam connection to [{}]", self.name()));
        // spamd closes after each answer.
        let connection = self.server.connect().await?;
        let peer = connection.peer();
        self.server.within(self.server.deadline(), &peer, self.exchange(connection, job, file, size)).await
    }

    async fn open(&self, id: &MessageId) -> Result<(File, u64), Fault> {
        let (spool, id) = (Arc::clone(&self.spool), id.clone());
        blocking(move || spool.open_content(&id)).await
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        job: &Job,
        file: File,
        size: u64,
    ) -> Result<Answer, Fault> {
        note(job, format!("spam request for [{}]", job.content.display()));
        // A server that has seen enough may answer and close while we still write.
        let sent = self.send(&mut connection, file, size).await;
        note(job, "spam request done".to_owned());
        let head = match (Head::read(&mut connection, job).await, sent) {
            (Err(Fault::Disconnected), Err(fault)) => return Err(fault),
            (head, _) => head?,
        };
        note(job, format!("spam response size: {}", head.length.unwrap_or_default()));
        match head.length {
            _ if self.is_check() => {}
            Some(length @ 1..) => self.body(&mut connection, job, length).await?,
            _ => return Err(invalid("invalid response headers")),
        }
        Ok(Answer { spam: head.spam.filter(|verdict| !is_false(verdict)) })
    }

    /// The message is not wanted back.
    fn is_check(&self) -> bool {
        self.options.check && !self.edit
    }

    async fn send(&self, connection: &mut Connection, mut file: File, size: u64) -> Result<(), Fault> {
        let verb = if self.is_check() { "CHECK" } else { "PROCESS" };
        let user = self.options.user.as_ref().map(|user| format!("User: {user}\r\n")).unwrap_or_default();
        let mut bytes = format!("{verb} SPAMC/1.4\r\nContent-length: {size}\r\n{user}\r\n").into_bytes();
        let mut left = size;
        loop {
            connection.write(&bytes).await?;
            if left == 0 {
                return Ok(());
            }
            let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let read = blocking(move || {
                let mut chunk = vec![0; wanted];
                file.read_exact(&mut chunk)?;
                Ok::<_, std::io::Error>((chunk, file))
            });
            (bytes, file) = read.await?;
            left -= wanted as u64;
        }
    }

    /// Takes the returned message: for `spam-edit:` it is the new content.
    async fn body(&self, connection: &mut Connection, job: &Job, length: u64) -> Result<(), Fault> {
        let mut edit = match self.edit {
            true => Some(self.begin_edit(&job.id).await?),
            false => None,
        };
        let mut left = length;
        while left > 0 {
            let limit = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let bytes = match connection.some(limit).await {
                Err(Fault::Disconnected) => return self.wrong_length(job),
                bytes => bytes?,
            };
            left -= bytes.len() as u64;
            if let Some(mut open) = edit.take() {
                edit = Some(blocking(move || open.append(&bytes).map(|()| open)).await?);
            }
        }
        if !connection.is_drained() {
            return self.wrong_length(job);
        }
        match edit {
            Some(edit) => blocking(move || edit.replace()).await,
            None => Ok(()),
        }
    }

    /// A verdict is good whatever follows it; half a message is not.
    fn wrong_length(&self, job: &Job) -> Result<(), Fault> {
        if self.edit {
            return Err(invalid(WRONG_LENGTH));
        }
        let (word, name) = (job.position.word(), self.name());
        log::emit(&job.context, &FilterEvent::Fault { word, name, reason: WRONG_LENGTH.to_owned() }.into());
        Ok(())
    }

    async fn begin_edit(&self, id: &MessageId) -> Result<ContentEdit, Fault> {
        let (spool, id) = (Arc::clone(&self.spool), id.clone());
        blocking(move || spool.edit_content(&id)).await
    }
}

impl Filter for Spam {
    fn name(&self) -> String {
        self.server.name()
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(self.filter(job))
    }
}

/// The head of an answer.
#[derive(Debug, Default)]
struct Head {
    spam: Option<String>,
    length: Option<u64>,
}

impl Head {
    async fn read(connection: &mut Connection, job: &Job) -> Result<Self, Fault> {
        let mut head = Self::default();
        for number in 0..MAX_LINES {
            let line = connection.line(MAX_LINE).await?;
            let line = String::from_utf8_lossy(&line).into_owned();
            note(job, format!("spam response line: [{line}]"));
            if number == 0 {
                let mut words = line.split(' ').filter(|word| !word.is_empty());
                if !line.starts_with("SPAMD/") || words.nth(1) != Some("0") {
                    return Err(invalid(&format!("invalid response: {line}")));
                }
            } else if line.is_empty() {
                return Ok(head);
            } else if let Some((name, value)) = line.split_once(':') {
                if name == "Spam" {
                    head.spam = Some(value.trim().to_owned());
                } else if name.eq_ignore_ascii_case("content-length") {
                    head.length = value.trim().parse().ok();
                }
            }
        }
        Err(invalid("invalid response headers"))
    }
}

fn is_false(verdict: &str) -> bool {
    verdict.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("false"))
}

fn invalid(what: &str) -> Fault {
    Fault::Protocol(format!("spam client error: {what}"))
}

fn note(job: &Job, text: String) {
    log::emit(&job.context, &FilterEvent::Note { text }.into());
}

/// Work with a file of ours, on a thread that may wait for the disk.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Fault>
where
    T: Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| Fault::Local(error.to_string())),
        // The runtime reports the panic.
        Err(_) => Err(Fault::Local("file operation failed".to_owned())),
    }
}
