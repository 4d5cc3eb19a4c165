//! Making an SMTP session's connection secure.

use std::io;

use tokio::time::Instant;

use crate::log::{self, Context, Server, TlsEvent};
use crate::net::limits::Seat;
use crate::net::stream::Stream;
use crate::role::smtp::SmtpSettings;
use crate::role::smtp::session::Store;
use crate::smtp::server::CloseReason;
use crate::tls::{self, Secured};

/// What the log says of a connection that ended in a handshake, as 2.6 did.
const IN_HANDSHAKE: &str = "peer disconnected: ssl accept";

/// And of one that ended afterwards, without notice.
const IN_SESSION: &str = "ssl read";

/// When the handshake comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// With the connection.
    AtOnce,
    /// After STARTTLS.
    OnCommand,
}

/// Makes the connection secure, unless the role stops or the place is needed for another.
///
/// # Errors
/// Why the connection is over.
pub(super) async fn handshake(
    settings: &SmtpSettings,
    stream: Stream,
    store: &Store<'_>,
    seat: &Seat,
    begins: Begins,
) -> Result<(Stream, Secured), String> {
    // Without it nobody offers STARTTLS, and sockets for implicit TLS are refused at the start.
    let Some(acceptor) = &settings.tls else { return Err(IN_HANDSHAKE.to_owned()) };
    seat.set_idle(Some(Instant::now().into_std()));
    let done = tokio::select! {
        biased;
        () = store.role.gate.stop.cancelled() => return Err(CloseReason::Shutdown.to_string()),
        () = seat.vacated() => return Err(CloseReason::TooManyConnections.to_string()),
        done = acceptor.accept(Server::Smtp, stream, store.peer, store.client) => done,
    };
    seat.set_idle(None);
    done.map_err(|error| {
        if error.clear_text && begins == Begins::OnCommand {
            let address = store.peer.to_string();
            log::emit(store.client, &TlsEvent::PlaintextAfterStartTls { address }.into());
        }
        if error.timed_out { "tls handshake timeout" } else { IN_HANDSHAKE }.to_owned()
    })
}

/// The words for a connection that broke. That somebody leaves without the notice of TLS is worth a warning only in the
/// middle of a message.
pub(super) fn broken(error: &io::Error, secure: bool, in_message: bool, context: &Context) -> String {
    let Some(fault) = tls::read_fault(error).filter(|_| secure) else { return crate::os::reason(error) };
    let text = fault.to_string();
    let event = if in_message { TlsEvent::Failed { text } } else { TlsEvent::ClosedWithoutNotice { text } };
    log::emit(context, &event.into());
    IN_SESSION.to_owned()
}
