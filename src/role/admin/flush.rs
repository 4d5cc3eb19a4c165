//! `flush`: everything is sent now, by an engine of the administrator's own.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::admin::FlushEnd;
use crate::config::address::Remote;
use crate::forward::{Engine, EngineConfig, Reason, RunReport, Scope};
use crate::log::{self, AdminEvent, Context};
use crate::os::network;
use crate::role::admin::AdminRole;
use crate::role::admin::actions::NO_NEXT_HOP;
use crate::role::forward;
use crate::spool::{MessageState, Spool};

/// How long a message in hand may take when the administrator has gone. Then it is put back.
const LAST_MESSAGE: Duration = Duration::from_secs(30);

/// There is nothing to do. Scripts know the text.
const NO_MESSAGES: &str = "no messages to send";

/// The sandbox of `emailrelay-admin.service` has no network unless it is opened.
const NO_NETWORK: &str = "flush has no network here: use forward, or allow it with a drop-in for \
                          emailrelay-admin.service: PrivateNetwork=no, IPAddressDeny=, \
                          RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX";

/// A run that an administrator waits for. When this value goes, the run ends with the messages in hand.
pub(super) struct Flushing {
    run: JoinHandle<FlushEnd>,
    stop: CancellationToken,
}

impl Drop for Flushing {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Flushing {
    /// Begins.
    pub(super) fn start(role: &Arc<AdminRole>, context: &Context, by: &str) -> Self {
        let stop = role.gate.stop.child_token();
        let event = AdminEvent::Action { action: "flush", id: None, by: by.to_owned() };
        log::emit(context, &event.into());
        let (spool, settings) = (Arc::clone(&role.spool), role.settings());
        let token = stop.clone();
        let run = role.gate.sessions.spawn(async move {
            match &settings.engine {
                Some(config) => flush(spool, config.clone(), token).await,
                None => FlushEnd { error: Some(NO_NEXT_HOP.to_owned()), ..FlushEnd::default() },
            }
        });
        Self { run, stop }
    }

    /// Waits for the end. Cancel-safe.
    pub(super) async fn end(&mut self) -> FlushEnd {
        // The runtime reports the panic.
        let failed = FlushEnd { error: Some("local error".to_owned()), ..FlushEnd::default() };
        (&mut self.run).await.unwrap_or(failed)
    }
}

async fn flush(spool: Arc<Spool>, config: EngineConfig, stop: CancellationToken) -> FlushEnd {
    let refused = |reason: &str| FlushEnd { error: Some(reason.to_owned()), ..FlushEnd::default() };
    let listed = Arc::clone(&spool);
    match spawn_blocking(move || listed.names(MessageState::Ready)).await {
        Ok(Ok(names)) if names.is_empty() => return refused(NO_MESSAGES),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return refused(&error.to_string()),
        Err(error) => return refused(&error.to_string()),
    }
    if !matches!(config.next_hop, Remote::Unix(_)) && !network::is_allowed() {
        return refused(NO_NETWORK);
    }
    // Its connections are for this run alone.
    let config = EngineConfig { scope: Scope::Everything, keep: Duration::ZERO, ..config };
    let engine = Engine::new(spool, config, stop);
    let report = forward::one(&engine, Reason::Flush, LAST_MESSAGE).await;
    engine.finish(LAST_MESSAGE).await;
    outcome(report)
}

fn outcome(report: RunReport) -> FlushEnd {
    FlushEnd {
        error: report.local_error.or(report.fault),
        sent: report.sent,
        failed: report.failed,
        left: report.waiting,
    }
}
