//! The commit thread: makes messages durable, many with one wait for the disk.
//!
//! The two files of a message are synced before it is queued, by the thread that wrote them: the waits of many sessions
//! overlap, and the kernel makes one flush of those that come together. One thread that waited for file after file was
//! several times slower on a busy machine, where every wait ends with waiting for a processor.
//!
//! What is left is done here for all messages that are there. While one batch waits for the disk the next one gathers in
//! the queue, so the cost of the directory sync is divided by the number of sessions that wait, with no delay added for a
//! single one. The queue needs no limit of its own: a session commits one message and waits for the outcome, so it never
//! holds more messages than there are sessions.
//!
//! Order in a batch: rename every `.envelope.new` to `.envelope`, or to `.envelope.busy` if its owner sends it on itself, sync the
//! directory once, report.
//!
//! Other changes of the directory (a message was sent, failed or put back) need no answer. They wait a moment for
//! company, or ride with the next batch; [`Committer::flush`] waits for them. The first one wakes the thread, the others only
//! find that somebody has. The thread forgets it before it syncs, so a change is either made before that sync or wakes it again.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::disk::Disk;
use super::error::StoreError;
use super::id::{CONTENT, MessageId, NEW};
use super::{Durability, SpoolConfig};

/// Called once with the outcome, on the commit thread: the message's id, and its envelope file, which is still open.
pub(super) type Done = Box<dyn FnOnce(Result<(MessageId, File), StoreError>) + Send>;

/// A message whose files are durable, to be made visible.
pub(super) struct Pending {
    pub(super) id: MessageId,
    /// Kept open until the end: its lock keeps the sweep away.
    pub(super) content: File,
    pub(super) envelope: File,
    /// The suffix that the envelope is to have.
    pub(super) suffix: &'static str,
    /// A filter has given the envelope its final name already.
    pub(super) visible: bool,
    pub(super) done: Done,
}

enum Job {
    Store(Box<Pending>),
    Directory,
    Flush(SyncSender<Result<(), StoreError>>),
}

/// Most messages in a batch: bounds the time the first one waits.
const MAX_BATCH: usize = 1024;
/// How long a change that nobody waits for may stay undurable.
const GATHER: Duration = Duration::from_millis(100);

/// Hands jobs to the thread. Dropping it ends the thread when the queue is empty.
pub(super) struct Committer {
    queue: Option<Sender<Job>>,
    /// The thread knows of changes that it has not begun to sync.
    changed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn start(disk: Arc<dyn Disk>, config: &SpoolConfig) -> Result<Self, Errno> {
        let (queue, jobs) = channel();
        let changed = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            disk,
            jobs,
            durability: config.durability,
            changed: Arc::clone(&changed),
            unreported: None,
        };
        let thread = std::thread::Builder::new()
            .name("spool-commit".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))?;
        Ok(Self { queue: Some(queue), changed, thread: Some(thread) })
    }

    /// Queues a message. Never blocks.
    pub(super) fn store(&self, pending: Pending) -> Result<(), Box<Pending>> {
        match self.send(Job::Store(Box::new(pending))) {
            Err(Job::Store(pending)) => Err(pending),
            _ => Ok(()),
        }
    }

    /// Has a change of the directory that was just made synced. Never blocks.
    pub(super) fn directory_changed(&self) {
        // Who finds it set has made its change before the thread takes it back, and with that before the sync that follows.
        if !self.changed.swap(true, Ordering::AcqRel) {
            // Without a thread there is nobody to make it durable; the change itself was made.
            let _ = self.send(Job::Directory);
        }
    }

    /// Waits until everything queued so far is durable.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let (reply, outcome) = sync_channel(1);
        self.send(Job::Flush(reply)).map_err(|_| StoreError::Closed)?;
        outcome.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn send(&self, job: Job) -> Result<(), Job> {
        match &self.queue {
            Some(queue) => queue.send(job).map_err(|refused| refused.0),
            None => Err(job),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            // The last owner may be a `done` callback.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

struct Worker {
    disk: Arc<dyn Disk>,
    jobs: Receiver<Job>,
    durability: Durability,
    changed: Arc<AtomicBool>,
    /// A failed sync of changes that nobody was waiting for: whoever flushes next is told.
    unreported: Option<StoreError>,
}

#[derive(Default)]
struct Batch {
    stores: Vec<Pending>,
    flushes: Vec<SyncSender<Result<(), StoreError>>>,
}

impl Batch {
    fn add(&mut self, job: Job) {
        match job {
            Job::Store(pending) => self.stores.push(*pending),
            Job::Flush(reply) => self.flushes.push(reply),
            Job::Directory => {}
        }
    }

    fn somebody_waits(&self) -> bool {
        !self.stores.is_empty() || !self.flushes.is_empty()
    }
}

impl Worker {
    fn run(mut self) {
        while let Ok(first) = self.jobs.recv() {
            let batch = self.gather(first);
            self.commit(batch);
        }
    }

    fn gather(&self, first: Job) -> Batch {
        let mut batch = Batch::default();
        batch.add(first);
        let until = Instant::now() + GATHER;
        while !batch.somebody_waits() {
            match self.jobs.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(job) => batch.add(job),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return batch,
            }
        }
        while batch.stores.len() < MAX_BATCH {
            match self.jobs.try_recv() {
                Ok(job) => batch.add(job),
                Err(_) => break,
            }
        }
        batch
    }

    fn commit(&mut self, batch: Batch) {
        let renamed = self.make_visible(batch.stores);
        // Before the sync: what changes from here on may be too late for it. With AcqRel the changes of all who have set it are seen.
        self.changed.swap(false, Ordering::AcqRel);
        match self.sync_directory() {
            Ok(()) => {
                for Pending { id, content, envelope, done, .. } in renamed {
                    drop(content);
                    report(done, Ok((id, envelope)));
                }
                if !batch.flushes.is_empty() {
                    let outcome = self.unreported.take().map_or(Ok(()), Err);
                    batch.flushes.into_iter().for_each(|reply| drop(reply.send(outcome.clone())));
                }
            }
            Err(errno) => {
                let error = StoreError::Sync { name: "spool directory".to_owned(), errno };
                if renamed.is_empty() && batch.flushes.is_empty() {
                    self.unreported = Some(error.clone());
                }
                for pending in renamed {
                    let suffix = pending.suffix;
                    self.withdraw(pending, suffix, error.clone());
                }
                batch.flushes.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
            }
        }
    }

    fn make_visible(&self, synced: Vec<Pending>) -> Vec<Pending> {
        let mut renamed = Vec::with_capacity(synced.len());
        for pending in synced {
            if pending.visible {
                renamed.push(pending);
                continue;
            }
            let name = pending.id.file(pending.suffix);
            match self.disk.rename(&pending.id.file(NEW), &name) {
                Ok(()) => renamed.push(pending),
                Err(errno) => self.withdraw(pending, NEW, StoreError::Rename { name, errno }),
            }
        }
        renamed
    }

    fn sync_directory(&self) -> Result<(), Errno> {
        match self.durability {
            Durability::Full => self.disk.sync_directory(),
            Durability::None => Ok(()),
        }
    }

    /// Removes a message that could not be committed. If its envelope is gone then a forwarder has taken it in the
    /// moment it was visible, and the content is left to the forwarder: sent twice is better than sent empty.
    fn withdraw(&self, pending: Pending, suffix: &str, error: StoreError) {
        let Pending { id, content, envelope, done, .. } = pending;
        if self.disk.unlink(&id.file(suffix)).is_ok() {
            let _ = self.disk.unlink(&id.file(CONTENT));
        }
        drop((content, envelope));
        report(done, Err(error));
    }
}

/// A panic in the callback of one session must not stop the commits of all others.
fn report(done: Done, outcome: Result<(MessageId, File), StoreError>) {
    let _ = catch_unwind(AssertUnwindSafe(|| done(outcome)));
}
