//! What a session that waits may take: the room of its future, which is there for as long as the connection.

use super::*;

/// The size of the futures that `make` makes; none is made.
fn of<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
    size_of::<F>()
}

/// Bytes of the future of one session.
const FUTURE: usize = 3072;

/// Bytes of a secure stream, its buffers and keys aside.
const TLS: usize = 1536;

#[test]
fn a_session_that_waits_takes_little() {
    let session = of(run);
    assert!(session <= FUTURE, "{session}: box what is rare");
    let tls = size_of::<tokio_rustls::server::TlsStream<Stream>>();
    assert!(tls <= TLS, "{tls}");
}
