//! Ending a role that has had nothing to do for a while: its sockets stay with systemd, and the next client starts it again.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::log::{self, ProcessEvent};
use crate::net::listener::Listener;
use crate::os::notify;
use crate::role::serve::{Gate, Service, accept};

/// Returns when there has been no session for `limit`; never without a limit.
pub(super) async fn watch(gate: &Gate, limit: Option<Duration>) {
    let Some(limit) = limit else { return pending().await };
    let mut idle_since = Instant::now();
    let mut seen = gate.served();
    loop {
        sleep_until(idle_since + limit).await;
        let now = gate.served();
        if gate.limits.total() == 0 && now == seen {
            log::emit(&gate.context, &ProcessEvent::IdleExit { after: limit }.into());
            return;
        }
        seen = now;
        idle_since = Instant::now();
        while gate.limits.total() > 0 {
            // The count of idle time starts when the last session ends; a second more or less does not matter.
            sleep(Duration::from_secs(1)).await;
            idle_since = Instant::now();
        }
    }
}

/// How long the sessions of a drained queue may take before they are ended as by a stop. The service manager's own patience
/// began with our notice, and must also do for a message in hand.
const LAST_SESSIONS: Duration = Duration::from_secs(5);

/// Serves what is already waiting to be accepted, when nothing else is accepted any more. The service manager is told
/// first, so that it starts a new process for whoever comes later.
pub(super) async fn drain<S: Service>(service: &Arc<S>, listeners: &[Arc<Listener>]) {
    notify::stopping("idle");
    for listener in listeners {
        while let Some(Ok((stream, peer))) = at_once(listener.accept()) {
            accept::start(service, stream, peer, listener);
        }
    }
    let end = Instant::now() + LAST_SESSIONS;
    while service.gate().limits.total() > 0 && Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
    }
}

/// The result of `future` if it has one without waiting.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
