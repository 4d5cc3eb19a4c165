//! TLS for both sides, by rustls.
//!
//! [`Acceptor`] is the server's side, [`Connector`] that of forwarding. Each is made once, from settings, with every file
//! read and checked; turns a [`Stream`](crate::net::stream::Stream) in clear into a secure one; tells who and how ([`Secured`]); and follows its files.
//!
//! | part | what it is |
//! |---|---|
//! | `files`, `certificate` | reading keys, certificates and authorities, and what can be said of them |
//! | `verifier`, `checked`, `unchecked`, `signature` | verifiers; every departure from the built-in ones is in these |
//! | `hello`, `names`, `error` | what log lines say, in OpenSSL's words |
//! | `provider` | the cryptography that is built in |
//! | `crowd` | the limit on handshakes |
//! | `watch`, `reload` | renewed files, certificates that run out |
//!
//! Nothing that was read before a handshake can be taken for something that came after it: a handshake consumes the stream,
//! and whoever has bytes left over does not begin one.

mod certificate;
mod checked;
mod client;
mod crowd;
mod error;
mod files;
mod hello;
mod names;
mod provider;
mod reload;
mod server;
mod signature;
mod unchecked;
mod verifier;
mod watch;

#[cfg(test)]
pub(crate) mod tests;

use std::future::Future;
use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tokio::time::timeout;

pub use client::Connector;
pub use crowd::{FAIR_SHARE, MAX_HANDSHAKES, MAX_WAITING};
pub use error::{HandshakeError, SetupError, is_end, read_fault};
pub use provider::LIBRARY;
pub use server::Acceptor;

use crate::config::tls::{TlsKeywords, TlsVersion};
use crate::log::{Event, TlsEvent};
use crate::net::address::Endpoint;

/// How a connection is secure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: &'static str,
    /// The cipher suite, in OpenSSL's spelling.
    pub cipher: String,
    /// The other side's certificate as PEM, checked or not as the settings say.
    pub certificate: Option<String>,
}

impl Secured {
    fn event(&self, peer: &Endpoint) -> Event {
        let (address, protocol, cipher) = (peer.to_string(), self.protocol, self.cipher.clone());
        TlsEvent::Established { address, protocol, cipher }.into()
    }
}

fn versions(keywords: &TlsKeywords) -> &'static [&'static SupportedProtocolVersion] {
    static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
    static OLD: [&SupportedProtocolVersion; 1] = [&TLS12];
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match (keywords.min, keywords.max) {
        (TlsVersion::V1_3, _) => &NEW,
        (_, TlsVersion::V1_2) => &OLD,
        _ => &BOTH,
    }
}

/// `None` when the limit passes first.
async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}
