//! The implementation of cryptography, chosen when the program is built: that of the feature `aws-lc`, which has key exchanges that
//! hold against quantum computers, or that of `ring`, which is smaller. With both it is the first; with neither there is no TLS, and
//! options that ask for it are errors.
//!
//! Always passed by hand: the process-wide default of rustls is never used.

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;

use super::SetupError;
#[cfg(feature = "aws-lc")]
use rustls::crypto::aws_lc_rs as chosen;
#[cfg(all(feature = "ring", not(feature = "aws-lc")))]
use rustls::crypto::ring as chosen;

/// What this program encrypts with, for people. None: TLS is not built in.
pub const LIBRARY: Option<&str> = if cfg!(feature = "aws-lc") {
    Some("rustls 0.23 with aws-lc")
} else if cfg!(feature = "ring") {
    Some("rustls 0.23 with ring")
} else {
    None
};

/// The one provider.
///
/// # Errors
/// There is none.
pub(super) fn provider() -> Result<Arc<CryptoProvider>, SetupError> {
    static PROVIDER: OnceLock<Option<Arc<CryptoProvider>>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| default_provider().map(Arc::new));
    provider.clone().ok_or_else(|| SetupError::Other("not built into this version".to_owned()))
}

#[cfg(any(feature = "aws-lc", feature = "ring"))]
fn default_provider() -> Option<CryptoProvider> {
    Some(chosen::default_provider())
}

#[cfg(not(any(feature = "aws-lc", feature = "ring")))]
fn default_provider() -> Option<CryptoProvider> {
    None
}

/// Makes session tickets, by keys of its own.
///
/// # Errors
/// There are no random numbers, or no cryptography at all.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    #[cfg(any(feature = "aws-lc", feature = "ring"))]
    return chosen::Ticketer::new();
    #[cfg(not(any(feature = "aws-lc", feature = "ring")))]
    Err(rustls::Error::FailedToGetRandomBytes)
}
