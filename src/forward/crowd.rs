//! The queue for permission to connect, as far as those need to know who have an idle connection.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Those who wait for a permit.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    waiting: AtomicUsize,
    news: Notify,
}

impl Crowd {
    pub(crate) fn enter(&self) -> InCrowd<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.news.notify_one();
        InCrowd(self)
    }

    pub(crate) async fn gathered(&self) {
        // The notice that one who came earlier has left behind says nothing about now.
        while self.waiting.load(Ordering::Acquire) == 0 {
            self.news.notified().await;
        }
    }
}

/// Counts one who waits.
pub(crate) struct InCrowd<'a>(&'a Crowd);

impl Drop for InCrowd<'_> {
    fn drop(&mut self) {
        // Several who come at the same moment leave one notice, and wait for one idle connection each.
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) > 1 {
            self.0.news.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_of_those_who_wait_gets_an_idle_connection() {
        let crowd = Arc::new(Crowd::default());
        let idle: Vec<_> = (0..2)
            .map(|_| {
                let crowd = Arc::clone(&crowd);
                tokio::spawn(async move { crowd.gathered().await })
            })
            .collect();
        tokio::task::yield_now().await;
        let (first, second) = (crowd.enter(), crowd.enter());
        let gave_up = || idle.iter().filter(|task| task.is_finished()).count();
        tokio::task::yield_now().await;
        assert!(gave_up() >= 1);
        drop(first);
        tokio::task::yield_now().await;
        assert_eq!(gave_up(), 2);
        drop(second);
    }
}
