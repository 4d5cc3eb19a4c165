//! Making a POP session's connection secure.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::log::{self, Context, Server, TlsEvent};
use crate::net::address::Endpoint;
use crate::net::limits::Seat;
use crate::net::stream::Stream;
use crate::pop::CloseReason;
use crate::tls::Acceptor;

/// What a handshake needs.
#[derive(Clone, Copy)]
pub(super) struct Secure<'a> {
    pub(super) acceptor: Option<&'a Acceptor>,
    pub(super) peer: &'a Endpoint,
    pub(super) context: &'a Context,
}

impl Secure<'_> {
    /// The handshake that a connection begins with, unless the role stops or the place is needed for another.
    ///
    /// # Errors
    /// Why the connection is over.
    pub(super) async fn at_once(
        self,
        stream: Stream,
        stop: &CancellationToken,
        seat: &Seat,
    ) -> Result<Stream, String> {
        // Sockets for implicit TLS are refused at the start when there is no TLS.
        let Some(acceptor) = self.acceptor else { return Err(CloseReason::HandshakeFailed.to_string()) };
        seat.set_idle(Some(Instant::now().into_std()));
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(CloseReason::Shutdown.to_string()),
            () = seat.vacated() => return Err(CloseReason::TooManyConnections.to_string()),
            done = acceptor.accept(Server::Pop, stream, self.peer, self.context) => done,
        };
        seat.set_idle(None);
        done.map(|(stream, _)| stream).map_err(|_| CloseReason::HandshakeFailed.to_string())
    }

    /// The handshake behind STLS; none if it fails, which is in the log.
    pub(super) async fn on_command(self, stream: Stream) -> Option<Stream> {
        match self.acceptor?.accept(Server::Pop, stream, self.peer, self.context).await {
            Ok((stream, _)) => Some(stream),
            Err(error) => {
                if error.clear_text {
                    let address = self.peer.to_string();
                    log::emit(self.context, &TlsEvent::PlaintextAfterStartTls { address }.into());
                }
                None
            }
        }
    }
}
