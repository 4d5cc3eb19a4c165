//! DANGEROUS judges: certificates that nobody has checked. The other side still has to prove that it has the key.

use rustls::Error;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::verifier::{JudgesClients, JudgesServers};

/// Takes any certificate of a client, or none: it is written to the envelope, and nothing else depends on it.
#[derive(Debug)]
pub(super) struct AnyClient;

impl JudgesClients for AnyClient {
    fn requires_one(&self) -> bool {
        false
    }

    fn judge(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<(), Error> {
        Ok(())
    }
}

/// Takes any certificate of a server: encryption without knowing with whom, for next hops whose certificates nobody can
/// check. What is wrong with the certificate is found out by [`super::checked`] afterwards, so that it can at least be said.
#[derive(Debug)]
pub(super) struct AnyServer;

impl JudgesServers for AnyServer {
    fn judge(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &str,
        _: UnixTime,
    ) -> Result<(), Error> {
        Ok(())
    }
}
