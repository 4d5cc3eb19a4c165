//! Following files of certificates, and warning of those that run out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::certificate::Facts;
use super::watch::Stamp;
use crate::log::{self, Context, TlsEvent};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A certificate with less than this left is reported,
const NOTICE: Duration = Duration::from_secs(14 * DAY);
/// and again every day.
const REPORT_EVERY: Duration = Duration::from_secs(DAY);

const DAY: u64 = 24 * 60 * 60;

/// What is made of files that may be replaced.
pub(super) trait Material: Send + Sync + 'static {
    /// The files and directories.
    fn paths(&self) -> Vec<PathBuf>;

    /// Reads them again; keeps what there is if they cannot be used. Logs the outcome. Blocking.
    fn read_again(&self);

    /// Logs certificates that run out.
    fn report_expiry(&self);
}

/// Follows the files until `stop` is cancelled.
///
/// A change is acted upon when the files have looked the same twice: key and certificate are seldom replaced in the same
/// moment.
pub(super) async fn watch<M: Material>(material: Arc<M>, stop: CancellationToken) {
    let mut used = look(&material).await;
    let mut seen = used.clone();
    let mut report_at = Instant::now();
    loop {
        if Instant::now() >= report_at {
            material.report_expiry();
            report_at = Instant::now() + REPORT_EVERY;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
        let now = look(&material).await;
        if now == seen && now != used {
            let material = Arc::clone(&material);
            // A panic is reported by the runtime, and the files stay unread until they change again.
            let _ = spawn_blocking(move || material.read_again()).await;
            used = now.clone();
        }
        seen = now;
    }
}

async fn look<M: Material>(material: &Arc<M>) -> Stamp {
    let material = Arc::clone(material);
    spawn_blocking(move || Stamp::of(&material.paths())).await.unwrap_or_default()
}

/// Reports a certificate that has expired or soon will.
pub(super) fn report_expiry(leaf: &Facts, file: &Path, context: &Context) {
    let days = match leaf.not_after.duration_since(SystemTime::now()) {
        Ok(left) if left > NOTICE => return,
        Ok(left) => Some(left.as_secs() / DAY),
        Err(_) => None,
    };
    let file = file.display().to_string();
    log::emit(context, &TlsEvent::Expiring { file, days }.into());
}

/// Tells of a file among authorities that holds none.
pub(super) fn skipped(file: &Path) {
    let text = format!("tls: no certificate in [{}]: skipped", file.display());
    let kind = log::kind::SESSION_NOTE;
    log::emit(&Context::default(), &log::Event::Protocol { kind, text, fields: log::Fields::default() });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Material for Counted {
        fn paths(&self) -> Vec<PathBuf> {
            Vec::new()
        }

        fn read_again(&self) {
            panic!("nothing has changed");
        }

        fn report_expiry(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn expiry_is_reported_at_once_and_every_day() {
        let (material, stop) = (Arc::<Counted>::default(), CancellationToken::new());
        let watching = tokio::spawn(watch(Arc::clone(&material), stop.clone()));
        let mut reports = Vec::new();
        for hours in [1, 22, 2, 24] {
            sleep(Duration::from_secs(hours * 3600)).await;
            reports.push(material.0.load(Ordering::Relaxed));
        }
        assert_eq!(reports, [1, 1, 2, 3]);
        stop.cancel();
        watching.await.unwrap();
    }
}
