//! Keeping the spool directory tidy: what crashes have left behind is reported, and removed when it is old.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::log::{self, Context, SpoolEvent};
use crate::spool::{Fate, Spool, SweepMode};

/// Time between two sweeps of a long-lived process.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Files younger than this are left: E-MailRelay 2.6 and people, who lock nothing, may be at work on them.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What is done about left-over files.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// The directory.
    pub spool: Arc<Spool>,
    /// Where the log lines belong.
    pub context: Context,
    /// Old files are removed; otherwise they are only reported.
    pub remove: bool,
}

impl Upkeep {
    /// Sweeps now and every hour, until `stop` is cancelled.
    pub async fn run(&self, stop: CancellationToken) {
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
