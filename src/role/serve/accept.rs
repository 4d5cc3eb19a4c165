//! The accept loop of one listening socket.
//!
//! No error of `accept` ends it: the connections that wait would be lost to a program that could serve them a moment
//! later. Running out of descriptors is waited out with a growing pause.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::log::{self, Event, ProcessEvent, ServerEvent};
use crate::net::address::Endpoint;
use crate::net::limits::{ConnectionLimits, Origin, Refused};
use crate::net::listener::Listener;
use crate::net::stream::Stream;
use crate::role::serve::{Arrival, Service};

/// First and longest pause after an error of `accept`.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How often a lasting shortage is reported.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// How long a client over a connection limit may take to read that it is.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);

/// Accepts until `switch` is cancelled, which the end of the role does too.
pub(super) async fn run<S: Service>(service: Arc<S>, listener: Arc<Listener>, switch: CancellationToken) {
    let context = &service.gate().context;
    let mut pause = PAUSE.0;
    let mut reported: Option<Instant> = None;
    let mut short = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = switch.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = PAUSE.0;
                if std::mem::take(&mut short) {
                    log::emit(context, &ProcessEvent::AcceptingResumed.into());
                }
                start(&service, stream, peer, &listener);
            }
            Err(error) => {
                if reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
                    reported = Some(Instant::now());
                    short = is_shortage_of_descriptors(&error);
                    log::emit(context, &accept_event(&error));
                }
                tokio::select! {
                    () = switch.cancelled() => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

fn accept_event(error: &io::Error) -> Event {
    if is_shortage_of_descriptors(error) {
        ProcessEvent::TooManyFiles.into()
    } else {
        ProcessEvent::AcceptFailed { reason: crate::os::reason(error) }.into()
    }
}

fn is_shortage_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE))
}

/// Judges a new connection and starts its session.
pub(super) fn start<S: Service>(service: &Arc<S>, stream: Stream, peer: Endpoint, listener: &Listener) {
    let gate = service.gate();
    let implicit_tls = listener.has_implicit_tls() || service.implicit_tls();
    let context = gate.peer_context(&peer);
    if let Some(ip) = peer.ip()
        && let Some(warning) = service.objection(ip)
    {
        log::emit(&context, &warning);
        log::emit(&context, &ServerEvent::Rejected { address: peer.to_string() }.into());
        return;
    }
    let now = Instant::now().into_std();
    match gate.limits.admit(Origin::of(&peer), now) {
        Ok(admission) => {
            let line = gate.ledger.get().map(|ledger| {
                let own = stream.local();
                ledger.incoming(own.as_ref().unwrap_or(listener.local()), &peer)
            });
            let arrival = Arrival { stream, peer, context, admission, implicit_tls };
            // Awaiting a future that was moved in takes its room twice; a box is moved as a pointer.
            let session = Box::pin(Arc::clone(service).session(arrival));
            gate.sessions.spawn(async move {
                session.await;
                drop(line);
            });
        }
        Err(limit) => {
            if gate.crowd.admits(peer.ip(), now) {
                log::emit(&context, &limit_event(&gate.limits, limit, &peer));
            }
            // A reply in clear would only look like a broken handshake, and a handshake is what there is no room for.
            if !implicit_tls {
                gate.sessions.spawn(turn_away(stream, service.too_many()));
            }
        }
    }
}

/// Refuses a connection over a limit.
async fn turn_away(mut stream: Stream, reply: Vec<u8>) {
    // The client is not worth waiting for: it gets the reply or it does not.
    let _ = timeout(TURN_AWAY_TIME, async {
        stream.write_all(&reply).await?;
        stream.shutdown().await
    })
    .await;
}

fn limit_event(limits: &ConnectionLimits, reached: Refused, peer: &Endpoint) -> Event {
    match reached {
        Refused::Total => ServerEvent::TooManyConnections { limit: limits.max_total() }.into(),
        Refused::Address => {
            ServerEvent::TooManyFromAddress { ip: peer.host(), limit: limits.max_per_address() }.into()
        }
    }
}
