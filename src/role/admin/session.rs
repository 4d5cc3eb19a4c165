//! One administration session: who it is, and what it asks.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::admin::{Answer, FlushEnd, Request, Right, Session, TOO_MANY_CONNECTIONS};
use crate::log::{self, AdminEvent, Context, Server, ServerEvent};
use crate::net::address::Endpoint;
use crate::net::admin::{Driver, Handler};
use crate::net::server::finish;
use crate::net::stream::Stream;
use crate::role::admin::actions::{self, Job};
use crate::role::admin::flush::Flushing;
use crate::role::admin::{AdminRole, Forwarding, MAX_PER_USER};
use crate::role::serve::{Alarm, Arrival};

/// How long a local client may say nothing. Over TCP it may for ever, as in E-MailRelay 2.6.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a client that is sent away may take to read why.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);

/// To a local user without any right.
const DENIED: &str = "error: permission denied\n";

/// Why a session ends that has not ended by itself at the end of the stop timeout.
const CUT_OFF: &str = "shutting down";

/// Somebody who may come in.
struct Caller {
    right: Right,
    /// The peer's address, or user and process of a local one.
    name: String,
    idle_timeout: Option<Duration>,
    _place: Option<UserPlace>,
}

/// A connection among those of its user.
struct UserPlace {
    role: Arc<AdminRole>,
    uid: u32,
}

impl Drop for UserPlace {
    fn drop(&mut self) {
        let mut users = self.role.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.uid);
            }
        }
    }
}

/// Runs one session to its end.
pub(super) async fn run(role: Arc<AdminRole>, arrival: Arrival) {
    let Arrival { mut stream, peer, context, admission, .. } = arrival;
    let server = Server::Admin;
    let _alarm = Alarm { context: &context, server };
    let caller = match identify(&role, &stream, &peer, &context) {
        Ok(caller) => caller,
        Err(words) => {
            turn_away(stream, words).await;
            return role.gate.session_ended();
        }
    };
    log::emit(&context, &ServerEvent::Connected { server, address: peer.to_string() }.into());
    let driver = Driver {
        stop: role.gate.stop.clone(),
        seat: admission.seat(),
        notices: role.teller.subscribe(),
        hangup: stream.hangup(),
    };
    let mut session =
        Session::new(Arc::clone(&role.config), caller.right, caller.idle_timeout, Instant::now().into_std());
    let mut desk = Desk { role: &role, context: &context, by: &caller.name, flushing: None };
    let reason = tokio::select! {
        biased;
        reason = driver.run(&mut stream, &mut session, &mut desk) => reason.to_string(),
        () = role.gate.kill.cancelled() => CUT_OFF.to_owned(),
    };
    drop(desk);
    log::emit(&context, &ServerEvent::Disconnected { server, reason, address: peer.to_string() }.into());
    drop((caller, admission));
    role.gate.session_ended();
}

/// Who it is; or what to say to one who may not come in.
fn identify(
    role: &Arc<AdminRole>,
    stream: &Stream,
    peer: &Endpoint,
    context: &Context,
) -> Result<Caller, &'static str> {
    let ids = match stream.unix_peer() {
        Ok(Some(ids)) => ids,
        Ok(None) => {
            return Ok(Caller {
                right: role.settings().tcp_right,
                name: peer.to_string(),
                idle_timeout: None,
                _place: None,
            });
        }
        // Whoever it is, nothing is known of it.
        Err(_) => return Err(DENIED),
    };
    let Some(right) = role.rights.of(&ids) else {
        log::emit(context, &AdminEvent::Refused { uid: ids.uid, pid: ids.pid }.into());
        return Err(DENIED);
    };
    let place = UserPlace { role: Arc::clone(role), uid: ids.uid };
    let mut users = role.users.lock().unwrap_or_else(PoisonError::into_inner);
    let count = users.entry(ids.uid).or_default();
    *count += 1;
    let too_many = *count > MAX_PER_USER && ids.uid != 0;
    drop(users);
    if too_many {
        return Err(TOO_MANY_CONNECTIONS);
    }
    let name = format!("uid={} pid={}", ids.uid, ids.pid);
    Ok(Caller { right, name, idle_timeout: Some(IDLE_TIMEOUT), _place: Some(place) })
}

/// What the client has said is read to the end, or the kernel would throw the answer away with it.
async fn turn_away(mut stream: Stream, words: &str) {
    if let Ok(Ok(())) = timeout(TURN_AWAY_TIME, stream.write_all(words.as_bytes())).await {
        finish(&mut stream).await;
    }
}

/// Answers a session's questions.
struct Desk<'a> {
    role: &'a Arc<AdminRole>,
    context: &'a Context,
    by: &'a str,
    flushing: Option<Flushing>,
}

impl Handler for Desk<'_> {
    async fn ask(&mut self, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Lines(self.role.ledger.lines()),
            Request::Forward => self.forward().await,
            request => {
                let settings = self.role.settings();
                let next_hop = settings.engine.as_ref().map(|engine| engine.next_hop.to_string());
                let give_up = settings.engine.as_ref().map(|engine| engine.schedule.give_up);
                let job = Job {
                    spool: Arc::clone(&self.role.spool),
                    context: self.context.clone(),
                    by: self.by.to_owned(),
                    next_hop,
                    give_up,
                };
                let forwards =
                    matches!(&request, Request::Act(action, _) if actions::wants_forwarding(*action));
                let answer = spawn_blocking(move || job.carry_out(request)).await;
                let answer = answer.unwrap_or_else(|_| Answer::Failed("local error".to_owned()));
                if forwards && answer == Answer::Done { self.forward().await } else { answer }
            }
        }
    }

    fn flush(&mut self) {
        self.flushing = Some(Flushing::start(self.role, self.context, self.by));
    }

    async fn flushed(&mut self) -> FlushEnd {
        let Some(flushing) = &mut self.flushing else { return std::future::pending().await };
        let end = flushing.end().await;
        self.flushing = None;
        end
    }

    fn terminate(&mut self) {
        log::emit(self.context, &AdminEvent::Terminate { by: self.by.to_owned() }.into());
        if let Some(terminate) = &self.role.terminate {
            terminate.cancel();
        }
    }
}

impl Desk<'_> {
    async fn forward(&self) -> Answer {
        if self.role.settings().engine.is_none() {
            return Answer::Failed(actions::NO_NEXT_HOP.to_owned());
        }
        let asked = match &self.role.forwarding {
            Forwarding::Here(ask) => {
                // A full queue means that a run is coming anyway.
                let _ = ask.try_send(crate::forward::Reason::Admin);
                Ok(())
            }
            Forwarding::Elsewhere => {
                let spool = Arc::clone(&self.role.spool);
                // Somebody wants an attempt now, at destinations that are being left alone too.
                let ask = move || spool.forget_troubles().and_then(|()| spool.request_forward());
                let asked = spawn_blocking(ask).await;
                asked.map_or_else(
                    |error| Err(error.to_string()),
                    |asked| asked.map_err(|error| error.to_string()),
                )
            }
        };
        match asked {
            Ok(()) => {
                let by = self.by.to_owned();
                log::emit(self.context, &AdminEvent::Action { action: "forward", id: None, by }.into());
                Answer::Done
            }
            Err(error) => Answer::Failed(error),
        }
    }
}
