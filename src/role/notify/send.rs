//! The way of a report: into a spool, durably, or to a command.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::smtp::Body;
use crate::spool::{ContentError, Envelope, Spool, StoreError};

/// A command that takes longer is ended.
const COMMAND_TIME: Duration = Duration::from_secs(120);
/// The largest report that a command gets: it is made in memory.
const MAX_REPORT: usize = 64 * 1024 * 1024;

/// Where reports go.
pub(super) enum Carrier {
    Spool(Arc<Spool>),
    /// A program and its first arguments.
    Command(Vec<String>),
}

/// A report was not taken, or could not be made; the message stays as it is, for the next run.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot read content: {}", crate::os::reason(.0))]
    Content(#[from] std::io::Error),
    #[error("cannot open content: {0}")]
    Open(#[from] ContentError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot run {program}: {}", crate::os::reason(.error))]
    Start { program: String, error: std::io::Error },
    #[error("{program}: {status}")]
    Refused { program: String, status: ExitStatus },
    #[error("{program}: not done after {} s", COMMAND_TIME.as_secs())]
    Late { program: String },
    #[error("the report is bigger than {MAX_REPORT} bytes")]
    Size,
}

/// Whatever writes a report, in pieces, into the sink that it is given.
pub(super) type WriteReport<'a> =
    &'a mut dyn FnMut(&mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault>;

impl Carrier {
    /// Sends a report on its way, with the null sender. Gives its id in the spool, if it has one.
    ///
    /// # Errors
    /// It was not taken.
    pub(super) fn send(
        &self,
        to: &str,
        eight_bit: bool,
        write: WriteReport<'_>,
    ) -> Result<Option<String>, Fault> {
        match self {
            Self::Spool(spool) => store(spool, to, eight_bit, write).map(Some),
            Self::Command(words) => {
                let mut report = Vec::new();
                write(&mut |bytes| {
                    report.extend_from_slice(bytes);
                    if report.len() > MAX_REPORT { Err(Fault::Size) } else { Ok(()) }
                })?;
                run(words, to, report).map(|()| None)
            }
        }
    }

    /// Reports have been stored: they are to be sent on.
    pub(super) fn request_forward(&self) {
        if let Self::Spool(spool) = self {
            // The forwarder's timer finds them in any case.
            let _ = spool.request_forward();
        }
    }
}

fn store(spool: &Spool, to: &str, eight_bit: bool, write: WriteReport<'_>) -> Result<String, Fault> {
    let mut message = spool.create(&spool.next_id())?;
    write(&mut |bytes| message.append(bytes).map_err(Fault::from))?;
    message.write_envelope(&Envelope {
        body: if eight_bit { Body::EightBit } else { Body::SevenBit },
        remote: vec![to.to_owned()],
        client: "127.0.0.1".to_owned(),
        utf8_mailboxes: !to.split('@').next().unwrap_or_default().is_ascii(),
        ..Envelope::default()
    })?;
    let (sender, outcome) = mpsc::channel();
    message.commit(move |result| {
        // The receiver waits below.
        let _ = sender.send(result);
    });
    let id = outcome.recv().unwrap_or(Err(StoreError::Closed))?;
    Ok(id.to_string())
}

/// Runs a command with the report as its standard input and the address as its last argument.
fn run(words: &[String], to: &str, report: Vec<u8>) -> Result<(), Fault> {
    // The options let none be empty.
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command.args(arguments).arg(to).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().map_err(|error| Fault::Start { program: name.clone(), error })?;
    let stdin = child.stdin.take();
    let writer = thread::spawn(move || {
        // One that does not want all of it says so by its exit code.
        stdin.map(|mut stdin| stdin.write_all(&report)).transpose().ok();
    });
    let status = end(child)?;
    // It ends with the last reader; a process that the command has left behind is not waited for.
    drop(writer);
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Fault::Refused { program: name, status }),
        None => Err(Fault::Late { program: name }),
    }
}

/// Waits for a child; none if it had to be killed.
fn end(mut child: Child) -> Result<Option<ExitStatus>, Fault> {
    let pid = child.id();
    let (sender, outcome) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let _ = sender.send(child.wait());
    });
    let waited = outcome.recv_timeout(COMMAND_TIME);
    if waited.is_err() {
        // Not reaped yet, or the waiter had said so: the number is still its own.
        let pid = i32::try_from(pid).unwrap_or(i32::MAX);
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = waiter.join();
    Ok(waited.ok().transpose()?)
}
