//! PAM off the event loop: a few calls at a time, each in a thread of its own, none waited for longer than its time.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::sasl::Secret;
use crate::secrets::pam::{self, PamError};

/// Calls at a time. Modules may sleep, and must not hold everybody else up.
const CALLS: usize = 4;

/// How long a client waits for a place and its call.
const TIME: Duration = Duration::from_secs(30);

/// The calls under way.
#[derive(Debug, Clone)]
pub struct Pam(Arc<Semaphore>);

impl Default for Pam {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CALLS)))
    }
}

impl Pam {
    /// What PAM says of a name and a password; none if it says nothing in time. A call that hangs keeps its place.
    pub(super) async fn check(&self, user: Vec<u8>, password: Secret) -> Option<Result<(), PamError>> {
        let call = async {
            let place = Arc::clone(&self.0).acquire_owned().await.ok()?;
            let (done, finished) = oneshot::channel();
            let work = move || {
                // Nobody may be waiting any more.
                let _ = done.send(pam::check(&user, &password));
                drop(place);
            };
            thread::Builder::new().name("pam".to_owned()).spawn(work).ok()?;
            finished.await.ok()
        };
        timeout(TIME, call).await.ok().flatten()
    }
}
