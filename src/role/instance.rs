//! One instance: its spool, its roles, and how they run together.

mod announce;
mod handle;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::address::Remote;
use crate::config::{ProcessSettings, Settings};
use crate::forward::{Reason, RunReport};
use crate::log::{self, StartEvent};
use crate::net::connect;
use crate::net::listener::Bound;
use crate::role::bind::{ServerSockets, Sockets};
use crate::role::doorbell::Doorbell;
use crate::role::forward::{self, REQUESTS, Triggers};
use crate::role::login::Accounts;
use crate::role::serve::{self, Service};
use crate::role::tls::Tls;
use crate::role::upkeep::Upkeep;

pub(crate) use self::announce::program_warning;
pub use self::handle::Handle;
use self::wire::{Wires, retries};

/// What was opened with the rights of the starting user.
#[derive(Debug, Default)]
pub struct Resources {
    /// Listening sockets.
    pub sockets: ServerSockets,
    /// Secrets files.
    pub accounts: Accounts,
    /// Keys and certificates.
    pub tls: Tls,
}

/// Who sends what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwards {
    /// This process.
    Here,
    /// Another one, which is told by a file in the spool directory: a role program has one role.
    Elsewhere,
}

/// An instance that is ready to run.
pub struct Instance {
    parts: Handle,
    doorbell: Option<Arc<Doorbell>>,
    requests: Option<mpsc::Receiver<Reason>>,
    sockets: ServerSockets,
    stop: CancellationToken,
    /// Cancelled when the sessions have ended, so that the doorbell's last ring is not missed.
    after_sessions: CancellationToken,
}

impl Instance {
    /// Wires the instance.
    ///
    /// # Errors
    /// If the spool cannot be used, or something is configured that the process cannot do.
    pub fn new(
        settings: Settings,
        resources: Resources,
        process: &ProcessSettings,
        descriptors: u64,
        forwards: Forwards,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let (ask, requests) = mpsc::channel(REQUESTS);
        let doorbell = (forwards == Forwards::Elsewhere).then(Arc::<Doorbell>::default);
        let Resources { sockets, accounts, tls } = resources;
        let wires = Wires { keep: process.linger.unwrap_or_default(), descriptors, forwards, stop, ask };
        let parts = wires.connect(settings, accounts, tls, doorbell.as_ref())?;
        Ok(Self {
            parts,
            doorbell,
            requests: Some(requests),
            sockets,
            stop: stop.clone(),
            after_sessions: CancellationToken::new(),
        })
    }

    /// The parts of the instance that supervision needs while it runs.
    pub fn handle(&self) -> Handle {
        self.parts.clone()
    }

    /// Runs all roles until they are stopped, or have done what they were to do. Returns the last forwarding report of
    /// an instance that only forwards.
    pub async fn run(mut self, process: &ProcessSettings) -> anyhow::Result<Option<RunReport>> {
        if self.parts.settings.ends_after_first_run()
            && let Some(engine) = self.parts.engine.take()
        {
            let linger = process.linger.unwrap_or_default();
            let asked = &self.parts.settings.forward;
            let reason = if asked.by_hand || !asked.remembers { Reason::Startup } else { Reason::Scheduled };
            let spool = Arc::clone(&self.parts.spool);
            let forwarding = forward::once(engine, spool, reason, linger, process.stop_timeout);
            let upkeep = self.upkeep();
            let (report, ()) = tokio::join!(forwarding, upkeep.once());
            return Ok(Some(report));
        }
        let serving = self.serving(process.idle_exit, process.stop_timeout)?;
        let others = self.others(process.stop_timeout);
        let ((), whole) = tokio::join!(
            async {
                serving.await;
                self.after_sessions.cancel();
                // The end of serving by idleness is the end of the instance.
                if self.parts.smtp.is_some() || self.parts.admin.is_some() || self.parts.pop.is_some() {
                    self.stop.cancel();
                }
            },
            all(others, &self.stop)
        );
        anyhow::ensure!(whole, "a part of the program has ended by a bug");
        Ok(None)
    }

    /// What the instance does beside serving, each in a task of its own: a bug in one of them ends no session.
    fn others(&mut self, stop_timeout: Duration) -> JoinSet<()> {
        let mut others = JoinSet::new();
        others.spawn(self.forwarding(stop_timeout));
        others.spawn(self.ringing());
        others.spawn(self.checking());
        if self.parts.smtp.is_some() || self.parts.engine.is_some() {
            // A process that only serves mailboxes leaves no rubbish, and is not to look into that of others.
            let (upkeep, stop) = (self.upkeep(), self.stop.clone());
            others.spawn(async move { upkeep.run(stop).await });
        }
        if let Some(admin) = self.parts.admin.clone() {
            others.spawn(async move { admin.watch().await });
        }
        others.spawn(self.parts.tls.watch(self.stop.clone()));
        others
    }

    fn serving(
        &mut self,
        idle_exit: Option<Duration>,
        stop_timeout: Duration,
    ) -> anyhow::Result<impl Future<Output = ()> + use<>> {
        let sockets = std::mem::take(&mut self.sockets);
        let smtp = serving(self.parts.smtp.clone(), sockets.smtp, idle_exit, stop_timeout)?;
        let admin = serving(self.parts.admin.clone(), sockets.admin, idle_exit, stop_timeout)?;
        let pop = serving(self.parts.pop.clone(), sockets.pop, idle_exit, stop_timeout)?;
        Ok(async {
            tokio::join!(smtp, admin, pop);
        })
    }

    fn forwarding(&mut self, stop_timeout: Duration) -> impl Future<Output = ()> + use<> {
        let forward = &self.parts.settings.forward;
        let triggers = Triggers {
            at_start: forward.at_start,
            poll: forward.poll,
            on_disconnect: forward.on_disconnect,
            retry: retries(&self.parts.settings),
        };
        let (engine, requests) = (self.parts.engine.clone(), self.requests.take());
        async move {
            if let (Some(engine), Some(requests)) = (engine, requests) {
                forward::serve(engine, triggers, requests, stop_timeout).await;
            }
        }
    }

    /// Looks the next hop's name up, so that a mistyped one is noticed before the first message waits for it.
    fn checking(&self) -> impl Future<Output = ()> + use<> {
        let forward = &self.parts.settings.forward;
        let bind = forward.client_interface.map(|local| local.0);
        let (to, context, stop) = (forward.to.clone(), self.parts.context.clone(), self.stop.clone());
        let lookup = async move {
            if let Some(Remote::Host { host, port }) = to
                && let Err(error) = connect::resolve(&host, port, bind).await
            {
                log::emit(&context, &StartEvent::NextHopUnresolved { reason: error.to_string() }.into());
            }
        };
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = lookup => {}
            }
        }
    }

    fn upkeep(&self) -> Upkeep {
        let (spool, context) = (Arc::clone(&self.parts.spool), self.parts.context.clone());
        Upkeep { spool, context, remove: self.parts.settings.sweep, receives: self.parts.smtp.is_some() }
    }

    fn ringing(&self) -> impl Future<Output = ()> + use<> {
        let (doorbell, spool) = (self.doorbell.clone(), Arc::clone(&self.parts.spool));
        let (context, stop) = (self.parts.context.clone(), self.after_sessions.clone());
        async move {
            if let Some(doorbell) = doorbell {
                doorbell.run(spool, context, stop).await;
            }
        }
    }
}

/// Waits for all of them. One that panics, which the log has by then, stops the instance in good order: without it the others would look
/// as if all were well.
async fn all(mut tasks: JoinSet<()>, stop: &CancellationToken) -> bool {
    let mut whole = true;
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            whole = false;
            stop.cancel();
        }
    }
    whole
}

/// Serves on the sockets of one server, if the instance has it.
fn serving<S: Service>(
    service: Option<Arc<S>>,
    sockets: Sockets,
    idle_exit: Option<Duration>,
    stop_timeout: Duration,
) -> anyhow::Result<impl Future<Output = ()> + use<S>> {
    let Sockets { bound, named, .. } = sockets;
    let listeners = bound.into_iter().map(Bound::into_listener).collect::<Result<Vec<_>, _>>()?;
    Ok(async move {
        if let Some(service) = service {
            serve::run(&service, listeners, named, idle_exit, stop_timeout).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_by_a_bug_stops_the_others_in_good_order() {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let (goodbye, said) = tokio::sync::oneshot::channel();
        let stopped = stop.clone();
        tasks.spawn(async move {
            stopped.cancelled().await;
            goodbye.send(()).unwrap();
        });
        tasks.spawn(async { panic!("a bug") });
        assert!(!all(tasks, &stop).await);
        said.await.unwrap();
    }
}
