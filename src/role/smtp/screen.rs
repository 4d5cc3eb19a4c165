//! What DNS block lists say of a client, before it is greeted.

use std::time::Duration;
use tokio::time::timeout;

use tokio::io::AsyncWriteExt;

use crate::config::network;
use crate::dns::dnsbl::{Decision, Finding, Verdict};
use crate::log::{self, Context, DnsblEvent};
use crate::net::address::Endpoint;
use crate::net::stream::Stream;
use crate::role::smtp::{SmtpRole, SmtpSettings};
use crate::smtp::reply;

/// How long a refused client may take to read why.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);

/// Asks the lists; true if the client is to be served. What it sends meanwhile waits in its socket.
pub(super) async fn admits(
    role: &SmtpRole,
    settings: &SmtpSettings,
    stream: &mut Stream,
    peer: &Endpoint,
    context: &Context,
    implicit_tls: bool,
) -> bool {
    let Some(dnsbl) = &settings.dnsbl else { return true };
    if role.spool.dnsbl_stopped() {
        return true;
    }
    let Some(ip) = peer.ip().filter(|ip| !network::is_local(*ip)) else {
        log::emit(context, &DnsblEvent::Local { address: peer.host() }.into());
        return true;
    };
    let verdict = tokio::select! {
        verdict = dnsbl.judge(ip) => verdict,
        // The session will send the client away for that reason.
        () = role.gate.stop.cancelled() => return true,
    };
    report(context, &peer.host(), &verdict);
    if !verdict.decision.is_block() {
        return true;
    }
    // Nothing in clear may come before a handshake.
    if settings.dnsbl_reply && !implicit_tls {
        refuse(stream, &verdict.decision).await;
    }
    false
}

fn report(context: &Context, address: &str, verdict: &Verdict) {
    for (list, finding) in &verdict.findings {
        let (address, list) = (address.to_owned(), list.clone());
        let event = match finding.clone() {
            Finding::Listed(answers) => DnsblEvent::Denied { address, list, answers },
            Finding::Unlisted => DnsblEvent::Allowed { address, list },
            Finding::ListError(answers) => DnsblEvent::ListError { address, list, answers },
            Finding::NoAnswer(reason) => DnsblEvent::NotChecked { address, list, reason },
        };
        log::emit(context, &event.into());
    }
    let address = address.to_owned();
    let event = match verdict.decision.clone() {
        Decision::Pass => return,
        Decision::Block(lists) => DnsblEvent::Blocked { address, lists },
        Decision::PassUndecided(lists) => DnsblEvent::Timeout { address, blocked: false, lists },
        Decision::BlockUndecided(lists) => DnsblEvent::Timeout { address, blocked: true, lists },
    };
    log::emit(context, &event.into());
}

/// Tells the client why it is not served.
async fn refuse(stream: &mut Stream, decision: &Decision) {
    let (Decision::Block(lists) | Decision::BlockUndecided(lists)) = decision else { return };
    let mut bytes = Vec::new();
    reply::blocked(lists.first().map_or("", String::as_str)).write_to(&mut bytes);
    // It gets the reply or it does not.
    let _ = timeout(TURN_AWAY_TIME, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    })
    .await;
}
