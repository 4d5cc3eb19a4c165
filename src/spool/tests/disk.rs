//! A disk that stops working at a chosen operation, and knows what a power cut would have left.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use nix::errno::Errno;

use crate::spool::disk::{Access, Disk, DiskResult, Facts, Hold, Kind, RealDisk, Space};

/// Our own number of a file: inode numbers are used again.
type FileNumber = usize;
type Names = BTreeMap<String, FileNumber>;

pub(super) struct TestDisk {
    real: RealDisk,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operations: usize,
    /// The first operation that does not happen.
    crash_at: Option<usize>,
    /// Operations that give this error; the disk goes on.
    fail: Option<(Operation, Errno)>,
    numbers: HashMap<u64, FileNumber>,
    files: usize,
    /// Data that survives a power cut.
    synced: HashMap<FileNumber, Vec<u8>>,
    /// The directory after the last sync, and after each change since.
    history: Vec<Names>,
    before_directory_sync: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Write,
    Preallocate,
    Rename,
    Unlink,
    SyncFile,
    SyncDirectory,
}

impl TestDisk {
    pub(super) fn new(path: &Path) -> Self {
        let state = State { history: vec![Names::new()], ..State::default() };
        Self { real: RealDisk::open(path).unwrap(), path: path.to_owned(), state: Mutex::new(state) }
    }

    pub(super) fn crash_after(&self, operations: usize) {
        let mut state = self.lock();
        state.crash_at = Some(state.operations + operations);
    }

    pub(super) fn fail(&self, operation: Operation, errno: Errno) {
        self.lock().fail = Some((operation, errno));
    }

    pub(super) fn before_directory_sync(&self, act: impl FnOnce() + Send + 'static) {
        self.lock().before_directory_sync = Some(Box::new(act));
    }

    pub(super) fn heal(&self) {
        self.lock().fail = None;
    }

    pub(super) fn crashed(&self) -> bool {
        let state = self.lock();
        state.crash_at.is_some_and(|limit| state.operations > limit)
    }

    /// Number of directory changes that a power cut may or may not have lost.
    pub(super) fn unsynced_changes(&self) -> usize {
        self.lock().history.len() - 1
    }

    /// Writes the directory as it is after a power cut: the first `kept` changes of the directory reached the disk, and
    /// of the files what was synced. False: the background has synced meanwhile and there is no such state any more.
    pub(super) fn power_cut(&self, kept: usize, target: &Path) -> bool {
        let state = self.lock();
        let Some(names) = state.history.get(kept) else { return false };
        for (name, number) in names {
            let data = state.synced.get(number).cloned().unwrap_or_default();
            fs::write(target.join(name), data).unwrap();
        }
        true
    }

    /// The directory as a killed process leaves it.
    pub(super) fn killed(&self, target: &Path) {
        for entry in fs::read_dir(&self.path).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn alive(&self) -> DiskResult<()> {
        if self.crashed() { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Counts an operation that changes something.
    fn step(&self, operation: Operation) -> DiskResult<()> {
        self.alive()?;
        let mut state = self.lock();
        if let Some((failing, errno)) = state.fail
            && failing == operation
        {
            return Err(errno);
        }
        state.operations += 1;
        let limit = state.crash_at;
        if limit.is_some_and(|limit| state.operations > limit) { Err(Errno::EIO) } else { Ok(()) }
    }

    fn change(&self, change: impl FnOnce(&mut Names)) {
        let mut state = self.lock();
        let mut names = state.history.last().unwrap().clone();
        change(&mut names);
        state.history.push(names);
    }
}

impl Disk for TestDisk {
    fn create(&self, name: &str) -> DiskResult<File> {
        self.step(Operation::Create)?;
        let file = self.real.create(name)?;
        let number = {
            let mut state = self.lock();
            state.files += 1;
            let number = state.files;
            state.numbers.insert(file.metadata().unwrap().ino(), number);
            number
        };
        self.change(|names| _ = names.insert(name.to_owned(), number));
        Ok(file)
    }

    fn open(&self, name: &str, access: Access) -> DiskResult<(File, Facts)> {
        self.alive()?;
        self.real.open(name, access)
    }

    fn write(&self, file: &File, data: &[u8]) -> DiskResult<()> {
        let before = self.crashed();
        if let Err(error) = self.step(Operation::Write) {
            // The kill, or the end of the space, came in the middle of it.
            if !before {
                let _ = self.real.write(file, &data[..data.len() / 2]);
            }
            return Err(error);
        }
        self.real.write(file, data)
    }

    fn read(&self, file: &File, limit: usize) -> DiskResult<Vec<u8>> {
        self.alive()?;
        self.real.read(file, limit)
    }

    fn preallocate(&self, file: &File, bytes: u64) -> DiskResult<()> {
        self.step(Operation::Preallocate)?;
        self.real.preallocate(file, bytes)
    }

    fn facts(&self, file: &File) -> DiskResult<Facts> {
        self.alive()?;
        self.real.facts(file)
    }

    fn facts_at(&self, name: &str) -> DiskResult<Facts> {
        self.alive()?;
        self.real.facts_at(name)
    }

    fn try_lock(&self, file: &File) -> DiskResult<bool> {
        self.alive()?;
        self.real.try_lock(file)
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.step(Operation::Rename)?;
        self.real.rename(from, to)?;
        self.change(|names| {
            let number = names.remove(from).unwrap();
            names.insert(to.to_owned(), number);
        });
        Ok(())
    }

    fn replace(&self, from: &str, to: &str) -> DiskResult<()> {
        self.step(Operation::Rename)?;
        self.real.replace(from, to)?;
        self.change(|names| {
            let number = names.remove(from).unwrap();
            names.insert(to.to_owned(), number);
        });
        Ok(())
    }

    fn unlink(&self, name: &str) -> DiskResult<()> {
        self.step(Operation::Unlink)?;
        self.real.unlink(name)?;
        self.change(|names| _ = names.remove(name));
        Ok(())
    }

    fn sync_file(&self, file: &File) -> DiskResult<()> {
        self.step(Operation::SyncFile)?;
        let data = self.real.read(file, usize::MAX)?;
        let mut state = self.lock();
        let number = state.numbers[&file.metadata().unwrap().ino()];
        state.synced.insert(number, data);
        Ok(())
    }

    fn sync_directory(&self) -> DiskResult<()> {
        let act = self.lock().before_directory_sync.take();
        if let Some(act) = act {
            act();
        }
        self.step(Operation::SyncDirectory)?;
        let mut state = self.lock();
        let now = state.history.pop().unwrap();
        state.history = vec![now];
        Ok(())
    }

    fn list(&self, folder: Option<&str>, each: &mut dyn FnMut(&str, Kind)) -> DiskResult<()> {
        self.alive()?;
        self.real.list(folder, each)
    }

    fn space(&self) -> DiskResult<Space> {
        self.alive()?;
        self.real.space()
    }

    fn refresh(&self) -> DiskResult<()> {
        self.real.refresh()
    }

    fn make_folder(&self, name: &str) -> DiskResult<()> {
        self.step(Operation::Create)?;
        self.real.make_folder(name)
    }

    /// What happens in a folder is neither counted nor kept for a power cut.
    fn open_folder(&self, name: &str) -> DiskResult<Arc<dyn Disk>> {
        self.alive()?;
        self.real.open_folder(name)
    }

    fn hold(&self) -> DiskResult<Option<Hold>> {
        self.alive()?;
        self.real.hold()
    }
}
