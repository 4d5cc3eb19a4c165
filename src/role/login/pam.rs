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
        self.call(move || pam::check(&user, &password)).await
    }

    async fn call<T: Send + 'static>(&self, judge: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let call = async {
            let place = Arc::clone(&self.0).acquire_owned().await.ok()?;
            let (done, finished) = oneshot::channel();
            let work = move || {
                // Nobody may be waiting any more.
                let _ = done.send(judge());
                drop(place);
            };
            thread::Builder::new().name("pam".to_owned()).spawn(work).ok()?;
            finished.await.ok()
        };
        timeout(TIME, call).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_not_waited_for_and_keeps_its_place() {
        let pam = Pam::default();
        let (release, hang) = mpsc::channel::<()>();
        let hang = Arc::new(std::sync::Mutex::new(hang));
        for _ in 0..CALLS {
            let hang = Arc::clone(&hang);
            let hung = pam.call(move || hang.lock().map(|hang| hang.recv().is_ok()).is_ok());
            assert_eq!(hung.await, None, "its time is over");
        }
        assert_eq!(pam.0.available_permits(), 0);
        assert_eq!(pam.call(|| 1).await, None, "no place became free in time");
        drop(release);
        let place = Arc::clone(&pam.0).acquire_owned();
        assert!(place.await.is_ok(), "the calls have ended");
    }

    #[tokio::test]
    async fn a_call_that_panics_says_nothing() {
        let pam = Pam::default();
        assert_eq!(pam.call(|| 1).await, Some(1));
        assert_eq!(pam.call(|| -> u8 { panic!("a bug in a module") }).await, None);
        assert_eq!(pam.call(|| 2).await, Some(2));
    }
}
