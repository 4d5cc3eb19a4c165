//! Who waits for leave to make a connection, so that those with an idle one can give it up.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Those who wait for a permit.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    waiting: AtomicUsize,
    news: Notify,
}

impl Crowd {
    /// Counted until the value is dropped.
    pub(super) fn enter(&self) -> InCrowd<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.news.notify_one();
        InCrowd(self)
    }

    /// Resolves when somebody waits.
    pub(super) async fn gathered(&self) {
        // The notice that one who came earlier has left behind says nothing about now.
        while self.waiting.load(Ordering::Acquire) == 0 {
            self.news.notified().await;
        }
    }
}

/// Counts one who waits.
pub(super) struct InCrowd<'a>(&'a Crowd);

impl Drop for InCrowd<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
