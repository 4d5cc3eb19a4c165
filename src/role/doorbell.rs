//! Asking for forwarding by the request file, from a role that must not wait for a disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::log::{self, Context, SpoolEvent};
use crate::role::smtp::Listeners;
use crate::spool::Spool;

/// Messages that are stored so closely share one request.
const PAUSE: Duration = Duration::from_millis(20);

/// Rings after every stored message.
#[derive(Debug, Default)]
pub struct Doorbell {
    stored: Notify,
}

impl Listeners for Doorbell {
    fn message_stored(&self) {
        self.stored.notify_one();
    }

    fn rescan(&self) {
        self.stored.notify_one();
    }

    fn message_left(&self) {
        self.stored.notify_one();
    }

    fn session_ended(&self) {}
}

impl Doorbell {
    /// Creates the request file whenever messages have been stored, until `stop` is cancelled; once more then if need be.
    pub async fn run(&self, spool: Arc<Spool>, context: Context, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = self.stored.notified() => {}
                () = stop.cancelled() => return,
            }
            let spool = Arc::clone(&spool);
            if let Ok(Err(error)) = spawn_blocking(move || spool.request_forward()).await {
                // The timer will find the message.
                log::emit(&context, &SpoolEvent::StoreFailed { reason: error.to_string() }.into());
            }
            sleep(PAUSE).await;
        }
    }
}
