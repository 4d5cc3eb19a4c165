//! Connections that are being made, counted by destination: one that does not answer must not take every place there is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::forward::destination::Destination;
use crate::forward::engine::lock;

/// The count for each destination to which a connection is being made.
#[derive(Debug, Default)]
pub(super) struct Ways(Mutex<HashMap<Destination, Weak<Semaphore>>>);

impl Ways {
    /// Leave to make a connection, as soon as fewer than half of all `places` are used for making one to this destination. It is given
    /// back when the connection is made, or cannot be.
    pub(super) async fn enter(
        &self,
        destination: &Destination,
        places: usize,
    ) -> Option<OwnedSemaphorePermit> {
        let way = self.way(destination, places);
        // The semaphore is never closed.
        way.acquire_owned().await.ok()
    }

    fn way(&self, destination: &Destination, places: usize) -> Arc<Semaphore> {
        let mut ways = lock(&self.0);
        if let Some(way) = ways.get(destination).and_then(Weak::upgrade) {
            return way;
        }
        // Routed mail has ever new destinations; those in use are as many as there are clients that wait.
        ways.retain(|_, way| way.strong_count() > 0);
        let way = Arc::new(Semaphore::new((places / 2).max(1)));
        ways.insert(destination.clone(), Arc::downgrade(&way));
        way
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::address::Remote;

    fn destination(port: u16) -> Destination {
        Destination { address: Remote::Ip(([192, 0, 2, 1], port).into()), selector: String::new() }
    }

    #[tokio::test]
    async fn one_destination_gets_half_of_the_places_and_others_the_rest() {
        let ways = Ways::default();
        let (silent, well) = (destination(1), destination(2));
        let first = ways.enter(&silent, 5).await;
        let second = ways.enter(&silent, 5).await;
        assert!(first.is_some() && second.is_some());
        assert_eq!(ways.way(&silent, 5).available_permits(), 0);
        assert!(ways.enter(&well, 5).await.is_some());
        drop(first);
        assert_eq!(ways.way(&silent, 5).available_permits(), 1);
    }

    #[tokio::test]
    async fn ways_that_nobody_is_on_are_forgotten() {
        let ways = Ways::default();
        for port in 1..100 {
            assert!(ways.enter(&destination(port), 16).await.is_some());
        }
        assert_eq!(lock(&ways.0).len(), 1);
        assert!(ways.enter(&destination(1), 1).await.is_some(), "one place is enough");
    }
}
