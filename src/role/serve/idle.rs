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

/// Returns when there has been no session, and no work of one, for `limit`; never without a limit.
pub(super) async fn watch(gate: &Gate, limit: Option<Duration>) {
    let Some(limit) = limit else { return pending().await };
    let mut idle_since = Instant::now();
    let mut seen = gate.served();
    loop {
        sleep_until(idle_since + limit).await;
        let now = gate.served();
        if gate.is_at_rest() && now == seen {
            log::emit(&gate.context, &ProcessEvent::IdleExit { after: limit }.into());
            return;
        }
        seen = now;
        idle_since = Instant::now();
        while !gate.is_at_rest() {
            // The count of idle time starts when the last session ends, and what it has left to do; a second more or less does not matter.
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
    while !service.gate().is_at_rest() && Instant::now() < end {
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

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::log::{Context, Server};
    use crate::net::limits::ConnectionLimits;

    #[tokio::test(start_paused = true)]
    async fn what_a_session_has_left_to_do_is_not_idleness() {
        let limits = ConnectionLimits::new(10, 10);
        let gate = Gate::new(Server::Smtp, limits, Context::default(), CancellationToken::new());
        let (began, work) = (Instant::now(), Duration::from_secs(1000));
        gate.sessions.spawn(sleep(work));
        watch(&gate, Some(Duration::from_secs(10))).await;
        assert!(began.elapsed() > work, "{:?}", began.elapsed());
    }
}
