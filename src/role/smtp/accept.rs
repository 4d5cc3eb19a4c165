//! The accept loop of one listening socket.
//!
//! No error of `accept` ends it: the connections that wait would be lost to a program that could serve them a moment
//! later. Running out of descriptors is waited out with a growing pause.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::network;
use crate::log::{self, Event, ProcessEvent, Server, ServerEvent};
use crate::net::address::Endpoint;
use crate::net::limits::{ConnectionLimits, Refused};
use crate::net::listener::Listener;
use crate::net::stream::Stream;
use crate::role::smtp::{SmtpRole, session};

/// First and longest pause after an error of `accept`.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How often a lasting shortage is reported.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Accepts until `switch` is cancelled, which the end of the role does too.
pub(super) async fn run(role: Arc<SmtpRole>, listener: Arc<Listener>, switch: CancellationToken) {
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
                    log::emit(&role.context, &ProcessEvent::AcceptingResumed.into());
                }
                start(&role, stream, peer);
            }
            Err(error) => {
                if reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
                    reported = Some(Instant::now());
                    short = is_shortage_of_descriptors(&error);
                    log::emit(&role.context, &accept_event(&error));
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
pub(super) fn start(role: &Arc<SmtpRole>, stream: Stream, peer: Endpoint) {
    let settings = role.settings();
    let context = role.peer_context(&peer);
    if let Some(ip) = peer.ip()
        && !settings.remote_clients
        && !network::is_local(ip)
    {
        log::emit(&context, &ServerEvent::NotLocal { server: Server::Smtp, ip }.into());
        log::emit(&context, &ServerEvent::Rejected { address: peer.to_string() }.into());
        return;
    }
    let now = Instant::now().into_std();
    match role.limits.admit(peer.ip(), now) {
        Ok(admission) => {
            role.sessions.spawn(session::run(Arc::clone(role), settings, stream, peer, context, admission));
        }
        Err(limit) => {
            if role.crowd.admits(peer.ip(), now) {
                log::emit(&context, &limit_event(&role.limits, limit, &peer));
            }
            role.sessions.spawn(session::turn_away(stream));
        }
    }
}

fn limit_event(limits: &ConnectionLimits, reached: Refused, peer: &Endpoint) -> Event {
    match reached {
        Refused::Total => ServerEvent::TooManyConnections { limit: limits.max_total() }.into(),
        Refused::Address => {
            ServerEvent::TooManyFromAddress { ip: peer.host(), limit: limits.max_per_address() }.into()
        }
    }
}
