//! The thread that starts programs.
//!
//! One that lives as long as the runner: a program is killed when the thread ends that started it, so that none goes on
//! behind the back of a process that was killed. Starting takes a fraction of a millisecond, so one thread is enough.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::os::launch::{Launch, Process, launch};

type Started = io::Result<(Unclaimed, OwnedFd)>;

/// A program on its way to the one who wanted it. If nobody takes it any more it is killed, wherever it is then.
#[derive(Debug)]
pub(super) struct Unclaimed(Option<Process>);

impl Unclaimed {
    pub(super) fn claim(mut self) -> Option<Process> {
        self.0.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(process) = self.0.take() {
            super::run::abandon(process);
        }
    }
}

type Job = (Launch, oneshot::Sender<Started>);

/// The thread, once there has been something to start.
#[derive(Debug, Default)]
pub(super) struct Starter(Mutex<Option<Sender<Job>>>);

impl Starter {
    pub(super) async fn start(&self, job: Launch) -> Started {
        let gone = || io::Error::other("the thread that starts programs has ended");
        let (reply, started) = oneshot::channel();
        self.thread()?.send((job, reply)).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }

    fn thread(&self) -> io::Result<Sender<Job>> {
        let mut thread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*thread {
            return Ok(sender.clone());
        }
        let sender = spawn()?;
        *thread = Some(sender.clone());
        Ok(sender)
    }
}

/// The thread ends when the last sender is gone.
fn spawn() -> io::Result<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    std::thread::Builder::new().name("programs".to_owned()).spawn(move || {
        for (job, reply) in jobs {
            if reply.is_closed() {
                continue;
            }
            let started = launch(&job).map(|(process, output)| (Unclaimed(Some(process)), output));
            // One whom nobody waits for any more ends with what could not be sent.
            drop(reply.send(started));
        }
    })?;
    Ok(sender)
}
