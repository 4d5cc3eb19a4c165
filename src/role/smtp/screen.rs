//! What DNS block lists say of a client, before it is greeted or at its first MAIL.

use std::time::Duration;
use tokio::time::timeout;

use tokio::io::AsyncWriteExt;

use crate::config::network;
use crate::dns::dnsbl::{Decision, Dnsbl, Finding, Verdict};
use crate::log::{self, Context, DnsblEvent};
use crate::net::address::Endpoint;
use crate::net::stream::Stream;
use crate::role::smtp::{SmtpRole, SmtpSettings};
use crate::smtp::reply;

/// How long a refused client may take to read why.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);

/// Asks the lists before the greeting, unless that is put off; true if the client is to be greeted. What it sends meanwhile
/// waits in its socket.
pub(super) async fn admits(
    role: &SmtpRole,
    settings: &SmtpSettings,
    stream: &mut Stream,
    peer: &Endpoint,
    context: &Context,
    implicit_tls: bool,
) -> bool {
    let Some(dnsbl) = settings.dnsbl.as_deref().filter(|_| !settings.dnsbl_defer) else { return true };
    let judged = tokio::select! {
        judged = judge(role, dnsbl, peer, context) => judged,
        // The session will send the client away for that reason.
        () = role.gate.stop.cancelled() => return true,
    };
    let Some(list) = judged else { return true };
    // Nothing in clear may come before a handshake.
    if settings.dnsbl_reply && !implicit_tls {
        refuse(stream, &list).await;
    }
    false
}

/// Asks the lists; one that speaks against the client, if it is not to be served.
pub(super) async fn judge(
    role: &SmtpRole,
    dnsbl: &Dnsbl,
    peer: &Endpoint,
    context: &Context,
) -> Option<String> {
    if role.spool.dnsbl_stopped() {
        return None;
    }
    let Some(ip) = peer.ip().filter(|ip| !network::is_local(*ip)) else {
        log::emit(context, &DnsblEvent::Local { address: peer.host() }.into());
        return None;
    };
    let verdict = dnsbl.judge(ip).await;
    report(context, &peer.host(), &verdict);
    verdict.decision.against().map(str::to_owned)
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
async fn refuse(stream: &mut Stream, list: &str) {
    let mut bytes = Vec::new();
    reply::blocked(list).write_to(&mut bytes);
    // It gets the reply or it does not.
    let _ = timeout(TURN_AWAY_TIME, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    })
    .await;
}
