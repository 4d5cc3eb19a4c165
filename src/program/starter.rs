//! The thread that starts programs.
//!
//! One that lives as long as the runner: a program is killed when the thread ends that started it, so that none goes on
//! behind the back of a process that was killed. Starting takes a fraction of a millisecond, so one thread is enough.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

use crate::os::launch::{Launch, Process, launch};

type Started = io::Result<(Process, OwnedFd)>;

#[derive(Debug)]
pub(super) struct Starter(Sender<(Launch, oneshot::Sender<Started>)>);

impl Starter {
    pub(super) fn new() -> io::Result<Self> {
        let (sender, jobs) = channel::<(Launch, oneshot::Sender<Started>)>();
        std::thread::Builder::new().name("programs".to_owned()).spawn(move || {
            for (job, reply) in jobs {
                if reply.is_closed() {
                    continue;
                }
                // One whom nobody waits for any more dies with its handle.
                if let Err(Ok((process, _))) = reply.send(launch(&job)) {
                    super::run::abandon(process);
                }
            }
        })?;
        Ok(Self(sender))
    }

    pub(super) async fn start(&self, job: Launch) -> Started {
        let gone = || io::Error::other("the thread that starts programs has ended");
        let (reply, started) = oneshot::channel();
        self.0.send((job, reply)).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}
