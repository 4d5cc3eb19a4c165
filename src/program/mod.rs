//! Running users' programs: filters and address verifiers.
//!
//! A [`Runner`] starts programs for all sessions, only so many at the same time, and returns how each one ended. Nothing that
//! a program does can hold up more than the one who waits for it: its output is read to the end and only its beginning
//! kept, and at the time limit all processes it has become are ended, by force if they do not go by themselves.

mod run;
mod starter;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::log::Context;
use starter::Starter;

/// So much of a program's output is kept.
pub const MAX_OUTPUT: usize = 1024;

/// What is to be run.
#[derive(Debug)]
pub struct Call {
    /// Absolute path; no shell and no search path.
    pub program: PathBuf,
    /// Arguments from the first on.
    pub arguments: Vec<OsString>,
    /// Variables beyond the bare environment that every program has.
    pub variables: Vec<(&'static str, OsString)>,
    /// Time limit; none waits for ever.
    pub limit: Option<Duration>,
    /// Cancelled when nobody can wait any longer.
    pub stop: CancellationToken,
    /// Where log lines belong.
    pub context: Context,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The program ended, and nobody holds its output any more.
    Exited {
        /// Exit code; 128 and the signal's number for death by a signal.
        code: u8,
        /// The first [`MAX_OUTPUT`] bytes of standard output.
        output: Vec<u8>,
    },
    /// It could not be executed, with the system's words.
    NotExecuted(String),
    /// The system lacks processes, memory or descriptors.
    NotStarted(String),
    /// The time limit passed; all its processes are dead.
    TimedOut,
    /// [`Call::stop`] was cancelled; all its processes are dead.
    Stopped,
    /// Too many programs ran for too long; it was not started.
    Busy,
}

/// How many programs run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At most so many.
    pub running: usize,
    /// How long one may wait for its turn.
    pub wait: Duration,
}

/// Runs programs. First come, first served.
#[derive(Debug)]
pub struct Runner {
    places: Semaphore,
    wait: Duration,
    starter: Starter,
}

impl Runner {
    /// A runner at rest.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let places = Semaphore::new(limits.running.clamp(1, Semaphore::MAX_PERMITS));
        Self { places, wait: limits.wait, starter: Starter::default() }
    }

    /// Runs a program. To drop the future kills it as [`Call::stop`] does, without waiting for its end.
    pub async fn run(&self, call: Call) -> Ended {
        let place = tokio::select! {
            biased;
            () = call.stop.cancelled() => return Ended::Stopped,
            place = timeout(self.wait, self.places.acquire()) => place,
        };
        // The semaphore is never closed.
        let Ok(Ok(_place)) = place else { return Ended::Busy };
        run::run(&self.starter, call).await
    }
}

#[cfg(test)]
mod tests;
