//! Keeping the spool directory tidy: what crashes have left behind is reported, and removed when it is old.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::log::{self, Context, SpoolEvent};
use crate::spool::{Fate, Orphan, Spool, SweepMode};

/// Time between two sweeps of a long-lived process.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Files younger than this are left: E-MailRelay 2.6 and people, who lock nothing, may be at work on them.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A message that was not finished, and whose files nobody has locked or touched for so long, belongs to a process that is gone.
const UNFINISHED_AGE: Duration = Duration::from_secs(2);

/// When such messages are looked for: at the start, and again for those that were too young then.
const UNFINISHED_AFTER: [Duration; 2] = [Duration::ZERO, Duration::from_secs(30)];

/// What is done about left-over files.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// The directory.
    pub spool: Arc<Spool>,
    /// Where the log lines belong.
    pub context: Context,
    /// Old files are removed; otherwise they are only reported.
    pub remove: bool,
    /// The process receives messages: what it had not finished when it last ended is removed at its start.
    pub receives: bool,
}

impl Upkeep {
    /// Sweeps now and every hour, until `stop` is cancelled.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::join!(self.sweeping(&stop), self.clearing(&stop));
    }

    /// Removes what a server that was killed had not acknowledged.
    async fn clearing(&self, stop: &CancellationToken) {
        for pause in UNFINISHED_AFTER.into_iter().filter(|_| self.receives && self.remove) {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            let spool = Arc::clone(&self.spool);
            // A panic in the blocking task has been reported by the runtime.
            match spawn_blocking(move || spool.sweep_unfinished(UNFINISHED_AGE)).await {
                Ok(Ok(orphans)) => {
                    self.report(orphans);
                }
                Ok(Err(error)) => self.failed(error.to_string()),
                Err(_) => {}
            }
        }
    }

    async fn sweeping(&self, stop: &CancellationToken) {
        let mut reported = 0;
        loop {
            let kept = self.sweep().await;
            // What has not changed since is not worth a line every hour.
            if kept != reported && kept > 0 {
                log::emit(&self.context, &SpoolEvent::Orphans { count: kept }.into());
            }
            reported = kept;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(EVERY) => {}
            }
        }
    }

    /// Sweeps once, for a process that is started often: only what was done is reported, not what was left.
    pub async fn once(&self) {
        if self.remove {
            self.sweep().await;
        }
    }

    /// Returns the number of files that were left.
    async fn sweep(&self) -> usize {
        let mode = if self.remove { SweepMode::Remove } else { SweepMode::Report };
        let spool = Arc::clone(&self.spool);
        // A panic in the blocking task has been reported by the runtime.
        let Ok(swept) = spawn_blocking(move || spool.sweep(AGE, mode)).await else { return 0 };
        let orphans = match swept {
            Ok(orphans) => orphans,
            Err(error) => {
                self.failed(error.to_string());
                return 0;
            }
        };
        self.report(orphans)
    }

    fn report(&self, orphans: Vec<Orphan>) -> usize {
        let mut kept = 0;
        for orphan in orphans {
            match orphan.fate {
                Fate::Removed => {
                    log::emit(&self.context, &SpoolEvent::Swept { file: orphan.name }.into());
                }
                Fate::Kept => kept += 1,
                Fate::Failed(errno) => {
                    self.failed(format!("cannot remove {}: {}", orphan.name, errno.desc().to_lowercase()));
                }
            }
        }
        kept
    }

    fn failed(&self, reason: String) {
        log::emit(&self.context, &SpoolEvent::StoreFailed { reason }.into());
    }
}
