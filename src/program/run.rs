//! One program, from its start to its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::fstat;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::starter::Starter;
use super::{Call, Ended, MAX_OUTPUT};
use crate::log::{self, Context, FilterEvent};
use crate::os::family::Family;
use crate::os::launch::{Exit, Launch, Process, is_shortage};

/// How long a program may take to go when it is asked to; then it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// One that has not gone after so long is worth a line.
const SLOW_TO_GO: Duration = Duration::from_secs(1);

/// How often those are looked for who have left their pipe and group.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the kernel may take to end what was killed: a process in the middle of a read from a dead network disk
/// cannot be ended, and is then left to it.
const KILL_TIME: Duration = Duration::from_secs(5);

/// Output that is read at a time.
const CHUNK: usize = 16 * 1024;

pub(super) async fn run(starter: &Starter, call: Call) -> Ended {
    let Call { program, arguments, variables, limit, stop, context } = call;
    let started = starter.start(Launch { program, arguments, variables }).await;
    let running = started.and_then(|(process, output)| {
        let process = process.claim().ok_or(io::ErrorKind::NotFound)?;
        Running::new(process, output)
    });
    let mut running = match running {
        Ok(running) => running,
        Err(error) if is_shortage(&error) => return Ended::NotStarted(crate::os::reason(&error)),
        Err(error) => return Ended::NotExecuted(crate::os::reason(&error)),
    };
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let done = async {
        match deadline {
            Some(deadline) => timeout_at(deadline, running.end()).await.is_ok(),
            None => {
                running.end().await;
                true
            }
        }
    };
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        done = done => Some(done),
    };
    match ended {
        Some(true) => {
            let code = running.reap();
            Ended::Exited { code, output: std::mem::take(&mut running.kept) }
        }
        Some(false) => {
            running.put_down(&context).await;
            Ended::TimedOut
        }
        None => {
            running.put_down(&context).await;
            Ended::Stopped
        }
    }
}

/// Kills a program that nobody waits for, with all its processes. Does not wait for their end.
pub(super) fn abandon(process: Process) {
    // Without the pipe's number: those who hold it are found as children.
    kill_unwaited(process, 0);
}

/// A thread of its own, because the runtime may be ending.
fn kill_unwaited(mut process: Process, pipe: u64) {
    let mut family = Family::new(process.id(), pipe);
    family.signal(Signal::SIGKILL);
    let _ = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || {
        // One that the kernel cannot end is looked for until it can.
        let mut pause = LOOK_EVERY;
        while family.signal(Signal::SIGKILL) > 0 || process.reap().is_none() {
            std::thread::sleep(pause);
            pause = KILL_TIME.min(pause * 2);
        }
    });
}

struct Running {
    /// None once it was reaped.
    process: Option<Process>,
    exit: Exit,
    output: pipe::Receiver,
    /// Inode of the pipe.
    pipe: u64,
    kept: Vec<u8>,
    /// Nobody writes any more.
    closed: bool,
}

impl Running {
    fn new(mut process: Process, output: OwnedFd) -> io::Result<Self> {
        let watch = || {
            let pipe = fstat(output.as_fd())?.st_ino;
            Ok((pipe, process.exit()?, pipe::Receiver::from_owned_fd(output)?))
        };
        match watch() {
            Ok((pipe, exit, output)) => {
                Ok(Self { process: Some(process), exit, output, pipe, kept: Vec::new(), closed: false })
            }
            Err(error) => {
                abandon(process);
                Err(error)
            }
        }
    }

    /// Waits until the program has ended and every process that held its output has closed it.
    async fn end(&mut self) {
        let mut chunk = vec![0; CHUNK];
        while !self.closed {
            match self.output.read(&mut chunk).await {
                Ok(count @ 1..) => {
                    let room = MAX_OUTPUT.saturating_sub(self.kept.len()).min(count);
                    self.kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
                }
                Ok(0) | Err(_) => self.closed = true,
            }
        }
        self.exit.wait().await;
    }

    fn reap(&mut self) -> u8 {
        /// As for every exit code that cannot be known.
        const LOST: u8 = 127;
        let code = self.process.as_mut().and_then(Process::reap);
        if code.is_some() {
            self.process = None;
        }
        // What could not be reaped is seen to when this is dropped.
        code.unwrap_or(LOST)
    }

    /// Ends all processes of the program and waits until they are dead.
    async fn put_down(&mut self, context: &Context) {
        let Some(process) = &self.process else { return };
        let pid = process.id();
        let mut family = Family::new(pid, self.pipe);
        let asked = Instant::now();
        let mut told = false;
        let mut signal = Some(Signal::SIGTERM);
        loop {
            let looked = spawn_blocking(move || {
                let living = match signal {
                    Some(signal) => family.signal(signal),
                    None => family.living(),
                };
                (living, family)
            });
            // The runtime ends, and kills what is left when this is dropped.
            let Ok((living, back)) = looked.await else { return };
            family = back;
            if living == 0 || asked.elapsed() > GRACE + KILL_TIME {
                break;
            }
            if !told && asked.elapsed() > SLOW_TO_GO {
                told = true;
                log::emit(context, &FilterEvent::WaitingForKilled { pid }.into());
            }
            signal = (asked.elapsed() > GRACE).then_some(Signal::SIGKILL);
            // The end of most is seen at once, that of those who have hidden a moment later.
            let _ = timeout(LOOK_EVERY, self.end()).await;
            if self.closed {
                sleep(LOOK_EVERY / 10).await;
            }
        }
        if told {
            log::emit(context, &FilterEvent::KilledHasEnded { pid }.into());
        }
        self.reap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            kill_unwaited(process, self.pipe);
        }
    }
}
