//! How many handshakes there may be at a time.
//!
//! A handshake costs memory and processor time before anything is known of the peer. When as many as allowed are under way
//! others wait, and each one that waits takes the place of the oldest that has had [`FAIR_SHARE`]: peers that never
//! finish cannot keep the others out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Handshakes at a time.
pub const MAX_HANDSHAKES: usize = 256;

/// Handshakes that may wait for a place; others are not even begun where that can be said.
pub const MAX_WAITING: usize = 1024;

/// How long a handshake has its place for certain. Over the slowest of links it takes a second or two.
pub const FAIR_SHARE: Duration = Duration::from_secs(5);

/// The places.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Those that have had their share wait here, oldest first.
    leave: Notify,
}

/// A place; it is free again on drop.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Counts one who waits, for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Crowd {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            waiting: AtomicUsize::new(0),
            leave: Notify::new(),
        })
    }

    /// Whether waiting for a place is worth while.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Acquire) < MAX_WAITING
    }

    /// Waits for a place.
    pub(super) async fn enter(self: &Arc<Self>) -> Place {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.waiting.fetch_add(1, Ordering::AcqRel);
                let _waiting = Waiting(&self.waiting);
                self.leave.notify_one();
                // The semaphore is never closed.
                Arc::clone(&self.places).acquire_owned().await.ok()
            }
        };
        Place { crowd: Arc::clone(self), _permit: permit }
    }
}

impl Place {
    /// Returns when the place has to be given to another.
    pub(super) async fn lost(&self) {
        sleep(FAIR_SHARE).await;
        loop {
            self.crowd.leave.notified().await;
            // The call may be from one who has found a place since.
            if self.crowd.waiting.load(Ordering::Acquire) > 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_the_place_of_the_oldest_after_its_share() {
        let crowd = Crowd::new(2);
        let (old, new) = (crowd.enter().await, crowd.enter().await);
        let began = Instant::now();
        let wait = tokio::spawn({
            let crowd = Arc::clone(&crowd);
            async move { crowd.enter().await }
        });
        let hold_new = tokio::spawn(async move {
            sleep(Duration::from_secs(1)).await;
            let lost = timeout(Duration::from_secs(60), new.lost()).await.is_ok();
            (lost, new)
        });
        old.lost().await;
        assert_eq!(began.elapsed(), FAIR_SHARE);
        drop(old);
        let third = wait.await.unwrap();
        assert!(!hold_new.await.unwrap().0, "only one had to go");
        drop(third);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_may_wait_and_no_more_are_invited() {
        let crowd = Crowd::new(1);
        let _place = crowd.enter().await;
        let mut waiting = Vec::new();
        for number in 0..MAX_WAITING {
            assert!(crowd.has_room(), "{number}");
            let crowd = Arc::clone(&crowd);
            waiting.push(tokio::spawn(async move { crowd.enter().await }));
            tokio::task::yield_now().await;
        }
        assert!(!crowd.has_room());
        let last = waiting.pop().unwrap();
        last.abort();
        assert!(last.await.is_err());
        assert!(crowd.has_room(), "one has gone");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_crowd_nobody_has_to_go() {
        let crowd = Crowd::new(1);
        let place = crowd.enter().await;
        assert!(timeout(Duration::from_secs(3600), place.lost()).await.is_err());
        drop(place);
        // One who waited and gave up does not count.
        let place = crowd.enter().await;
        assert!(timeout(Duration::from_secs(1), crowd.enter()).await.is_err());
        assert!(timeout(Duration::from_secs(3600), place.lost()).await.is_err());
    }
}
