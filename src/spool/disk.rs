//! File operations in the spool directory, and the only place that makes them.
//!
//! Everything is relative to a directory that is opened once, so a renamed or replaced path cannot redirect us. No
//! operation follows a symbolic link, and what is not a regular file is never opened for its content.
//! [`Disk`] is a trait so that tests can count operations, stop at any of them as a killed process would, and model
//! what a power cut leaves.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, FcntlArg, Flock, FlockArg, OFlag, RenameFlags};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag};
use nix::unistd::UnlinkatFlags;
use nix::{fcntl, libc, sched, sys, unistd};

pub(crate) type DiskResult<T> = Result<T, Errno>;

/// The operations the spool is made of. Names are single components, never paths.
pub(crate) trait Disk: Send + Sync {
    /// Makes a new empty file, mode 0660 whatever the umask, open for reading and appending. `EEXIST` if there is
    /// anything of that name.
    fn create(&self, name: &str) -> DiskResult<File>;
    /// Opens a regular file. Anything else gives an error for which [`is_not_regular`] holds.
    fn open(&self, name: &str, access: Access) -> DiskResult<(File, Facts)>;
    /// Appends all of `data`.
    fn write(&self, file: &File, data: &[u8]) -> DiskResult<()>;
    /// The whole file, or its first `limit` bytes.
    fn read(&self, file: &File, limit: usize) -> DiskResult<Vec<u8>>;
    /// Makes sure that `bytes` can be written to the empty `file` without running out of space.
    fn preallocate(&self, file: &File, bytes: u64) -> DiskResult<()>;
    /// What the file system says about an open file.
    fn facts(&self, file: &File) -> DiskResult<Facts>;
    /// What the file system says about a name; a link is not followed.
    fn facts_at(&self, name: &str) -> DiskResult<Facts>;
    /// Takes the open-file-description lock of a file that is open for writing. False: somebody else has it.
    fn try_lock(&self, file: &File) -> DiskResult<bool>;
    /// Renames; `EEXIST` if the new name is taken.
    fn rename(&self, from: &str, to: &str) -> DiskResult<()>;
    /// Renames over whatever has the new name.
    fn replace(&self, from: &str, to: &str) -> DiskResult<()>;
    /// Removes a name.
    fn unlink(&self, name: &str) -> DiskResult<()>;
    /// Makes the data of a file durable.
    fn sync_file(&self, file: &File) -> DiskResult<()>;
    /// Makes creations, renames and removals durable.
    fn sync_directory(&self) -> DiskResult<()>;
    /// Calls `each` for every entry of the spool directory, or of the real sub-directory `folder`. Names that are not
    /// UTF-8 cannot be messages of ours and are left out.
    fn list(&self, folder: Option<&str>, each: &mut dyn FnMut(&str, Kind)) -> DiskResult<()>;
    /// Free space.
    fn space(&self) -> DiskResult<Space>;
    /// Opens the path again if the directory we hold was removed.
    fn refresh(&self) -> DiskResult<()>;
    /// Makes a sub-directory, mode 0770 whatever the umask. `EEXIST` if there is anything of that name.
    fn make_folder(&self, name: &str) -> DiskResult<()>;
    /// A sub-directory, as a disk of its own. A link is not followed.
    fn open_folder(&self, name: &str) -> DiskResult<Arc<dyn Disk>>;
    /// A sub-directory that a link may lead to, as a disk of its own.
    fn follow_folder(&self, name: &str) -> DiskResult<Arc<dyn Disk>>;
    /// The open directory.
    fn handle(&self) -> Arc<File>;
    /// Gives a file of another directory a second name here; `EEXIST` if that is taken. In a set-group-id directory the file
    /// gets its group if we may do that.
    fn link_from(&self, source: &dyn Disk, from: &str, to: &str) -> DiskResult<()>;
    /// Renames into another directory; `EEXIST` if the name is taken there.
    fn move_to(&self, from: &str, target: &dyn Disk, to: &str) -> DiskResult<()>;
    /// Appends the whole of `from` to `to`.
    fn copy(&self, from: &File, to: &File) -> DiskResult<()>;
    /// Takes the advisory lock of the directory itself. None: somebody else has it.
    fn hold(&self) -> DiskResult<Option<Hold>>;
}

/// The lock of a directory; given back on drop, or when the process dies.
#[derive(Debug)]
pub(crate) struct Hold(#[expect(dead_code, reason = "held, never read")] Flock<File>);

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// For reading.
    Read,
    /// For reading, appending and locking.
    Edit,
}

/// Kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// A regular file, or the file system does not tell.
    File,
    Other,
}

/// The parts of `stat` that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// It is a regular file: no link, directory, socket or device.
    pub(crate) regular: bool,
    pub(crate) size: u64,
    /// Zero once the file has no name any more.
    pub(crate) links: u64,
    /// Time of the last write, since 1970.
    pub(crate) modified: Duration,
    /// Time of the last change of data, name or mode, since 1970. Cannot be set back, unlike `modified`.
    pub(crate) changed: Duration,
}

impl Facts {
    /// The two describe the same file.
    pub(crate) fn same_file(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

/// Free space as an unprivileged process sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    pub(crate) bytes: u64,
    /// False: no file can be created.
    pub(crate) inodes: bool,
}

/// The error says that the name is a link, directory, socket or device.
pub(crate) fn is_not_regular(errno: Errno) -> bool {
    matches!(errno, Errno::ELOOP | Errno::EISDIR | Errno::ENXIO | Errno::ENODEV)
}

/// The error says that there is no room: file system full, out of inodes, or over quota.
pub(crate) fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::ENOSPC | Errno::EDQUOT)
}

/// Mode of every file we make: group members are the filters and the other roles.
const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR).union(Mode::S_IRGRP).union(Mode::S_IWGRP);

/// Bytes that are copied at a time.
const COPY_SIZE: usize = 256 * 1024;

/// Mode of a mailbox directory.
const FOLDER_MODE: Mode = Mode::S_IRWXU.union(Mode::S_IRWXG);

/// The real spool directory.
pub(crate) struct RealDisk {
    path: PathBuf,
    /// Replaced only by [`Disk::refresh`].
    directory: RwLock<Arc<File>>,
}

impl RealDisk {
    /// Opens the directory.
    ///
    /// # Errors
    /// What `open` says, `ENOTDIR` if it is something else.
    pub(crate) fn open(path: &Path) -> DiskResult<Self> {
        let directory = open_directory(path)?;
        Ok(Self { path: path.to_owned(), directory: RwLock::new(Arc::new(directory)) })
    }

    fn directory(&self) -> Arc<File> {
        Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn open_directory(path: &Path) -> DiskResult<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(File::from(fcntl::open(&path.join("."), flags, Mode::empty())?))
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> DiskResult<File> {
        let flags = OFlag::O_CREAT
            | OFlag::O_EXCL
            | OFlag::O_RDWR
            | OFlag::O_APPEND
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC;
        let directory = self.directory();
        let file = File::from(fcntl::openat(&*directory, name, flags, FILE_MODE)?);
        // The umask, 0077 in a running role, has cut the mode.
        if let Err(error) = sys::stat::fchmod(&file, FILE_MODE) {
            let _ = self.unlink(name);
            return Err(error);
        }
        Ok(file)
    }

    fn open(&self, name: &str, access: Access) -> DiskResult<(File, Facts)> {
        let mode = match access {
            Access::Read => OFlag::O_RDONLY,
            Access::Edit => OFlag::O_RDWR | OFlag::O_APPEND,
        };
        // O_NONBLOCK: a fifo planted under the name must not hang us.
        let flags = mode | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::from(fcntl::openat(&*self.directory(), name, flags, Mode::empty())?);
        let stat = sys::stat::fstat(&file)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if kind != SFlag::S_IFREG {
            return Err(if kind == SFlag::S_IFDIR { Errno::EISDIR } else { Errno::ENXIO });
        }
        Ok((file, facts_of(&stat)))
    }

    fn write(&self, file: &File, mut data: &[u8]) -> DiskResult<()> {
        while !data.is_empty() {
            match unistd::write(file, data) {
                Ok(0) => return Err(Errno::EIO),
                Ok(written) => data = data.get(written..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&self, file: &File, limit: usize) -> DiskResult<Vec<u8>> {
        let mut data = Vec::new();
        let mut chunk = [0u8; 8192];
        while data.len() < limit {
            match file.read_at(&mut chunk, data.len() as u64) {
                Ok(count) => {
                    data.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    // A regular file gives less than was asked for only at its end.
                    if count < chunk.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
            }
        }
        data.truncate(limit);
        Ok(data)
    }

    fn preallocate(&self, file: &File, bytes: u64) -> DiskResult<()> {
        let length = libc::off_t::try_from(bytes).map_err(|_| Errno::EFBIG)?;
        match fcntl::fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
            // Some file systems cannot; then the edit takes its chance.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
            result => result,
        }
    }

    fn facts(&self, file: &File) -> DiskResult<Facts> {
        Ok(facts_of(&sys::stat::fstat(file)?))
    }

    fn facts_at(&self, name: &str) -> DiskResult<Facts> {
        let stat = sys::stat::fstatat(&*self.directory(), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(facts_of(&stat))
    }

    fn try_lock(&self, file: &File) -> DiskResult<bool> {
        let whole_file = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl::fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let directory = self.directory();
        match fcntl::renameat2(&*directory, from, &*directory, to, RenameFlags::RENAME_NOREPLACE) {
            // File systems without the flag: the check is not atomic, but ids are ours alone.
            Err(Errno::EINVAL | Errno::ENOSYS) => match self.facts_at(to) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::ENOENT) => self.replace(from, to),
                Err(error) => Err(error),
            },
            result => result,
        }
    }

    fn replace(&self, from: &str, to: &str) -> DiskResult<()> {
        let directory = self.directory();
        fcntl::renameat(&*directory, from, &*directory, to)
    }

    fn unlink(&self, name: &str) -> DiskResult<()> {
        unistd::unlinkat(&*self.directory(), name, UnlinkatFlags::NoRemoveDir)
    }

    fn sync_file(&self, file: &File) -> DiskResult<()> {
        unistd::fdatasync(file)
    }

    fn sync_directory(&self) -> DiskResult<()> {
        unistd::fsync(&*self.directory())
    }

    fn list(&self, folder: Option<&str>, each: &mut dyn FnMut(&str, Kind)) -> DiskResult<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut entries = Dir::openat(&*self.directory(), folder.unwrap_or("."), flags, Mode::empty())?;
        for entry in entries.iter() {
            let entry = entry?;
            let kind = match entry.file_type() {
                Some(Type::Directory) => Kind::Directory,
                Some(Type::File) | None => Kind::File,
                Some(_) => Kind::Other,
            };
            if let Ok(name) = entry.file_name().to_str() {
                each(name, kind);
            }
        }
        Ok(())
    }

    fn space(&self) -> DiskResult<Space> {
        let stat = sys::statvfs::fstatvfs(&*self.directory())?;
        let bytes = stat.blocks_available().saturating_mul(stat.fragment_size());
        // Some file systems have no fixed number of inodes and report zero of zero.
        Ok(Space { bytes, inodes: stat.files() == 0 || stat.files_available() > 0 })
    }

    fn refresh(&self) -> DiskResult<()> {
        if sys::stat::fstat(&*self.directory())?.st_nlink > 0 {
            return Ok(());
        }
        let fresh = Arc::new(open_directory(&self.path)?);
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn make_folder(&self, name: &str) -> DiskResult<()> {
        let directory = self.directory();
        match mkdir_with_umask(&directory, name) {
            Some(result) => result,
            None => {
                sys::stat::mkdirat(&*directory, name, FOLDER_MODE)?;
                sys::stat::fchmodat(&*directory, name, FOLDER_MODE, FchmodatFlags::FollowSymlink)
            }
        }
    }

    fn open_folder(&self, name: &str) -> DiskResult<Arc<dyn Disk>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = File::from(fcntl::openat(&*self.directory(), name, flags, Mode::empty())?);
        Ok(Arc::new(Self { path: self.path.join(name), directory: RwLock::new(Arc::new(folder)) }))
    }

    fn follow_folder(&self, name: &str) -> DiskResult<Arc<dyn Disk>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = File::from(fcntl::openat(&*self.directory(), name, flags, Mode::empty())?);
        Ok(Arc::new(Self { path: self.path.join(name), directory: RwLock::new(Arc::new(folder)) }))
    }

    fn handle(&self) -> Arc<File> {
        self.directory()
    }

    fn link_from(&self, source: &dyn Disk, from: &str, to: &str) -> DiskResult<()> {
        let directory = self.directory();
        // Without AT_SYMLINK_FOLLOW a link is linked itself, and found out when it is opened.
        unistd::linkat(&*source.handle(), from, &*directory, to, AtFlags::empty())?;
        let above = sys::stat::fstat(&*directory)?;
        if above.st_mode & libc::S_ISGID != 0 {
            // Only members of the group may do it, and the content can be read without.
            let group = Some(unistd::Gid::from_raw(above.st_gid));
            let _ = unistd::fchownat(&*directory, to, None, group, AtFlags::AT_SYMLINK_NOFOLLOW);
        }
        Ok(())
    }

    fn move_to(&self, from: &str, target: &dyn Disk, to: &str) -> DiskResult<()> {
        let (here, there) = (self.directory(), target.handle());
        match fcntl::renameat2(&*here, from, &*there, to, RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EINVAL | Errno::ENOSYS) => match target.facts_at(to) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::ENOENT) => fcntl::renameat(&*here, from, &*there, to),
                Err(error) => Err(error),
            },
            result => result,
        }
    }

    fn copy(&self, from: &File, to: &File) -> DiskResult<()> {
        let mut chunk = vec![0u8; COPY_SIZE];
        let mut offset = 0;
        loop {
            let count = match from.read_at(&mut chunk, offset) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
            };
            self.write(to, chunk.get(..count).unwrap_or_default())?;
            offset += count as u64;
        }
    }

    fn hold(&self) -> DiskResult<Option<Hold>> {
        let directory = self.directory().try_clone();
        let directory =
            directory.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Hold(lock))),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno),
        }
    }
}

/// Makes a directory under a umask that leaves the group its rights. The set-group-id bit that it gets from above could not
/// be kept by a later change of its mode in the sandbox of the services. A thread of its own has the umask, which is
/// otherwise that of the whole process. None: the system has no such threads for us.
fn mkdir_with_umask(directory: &File, name: &str) -> Option<DiskResult<()>> {
    let make = || {
        sched::unshare(sched::CloneFlags::CLONE_FS).ok()?;
        sys::stat::umask(Mode::S_IRWXO);
        Some(sys::stat::mkdirat(directory, name, FOLDER_MODE))
    };
    std::thread::scope(|scope| std::thread::Builder::new().spawn_scoped(scope, make).ok()?.join().ok()?)
}

fn facts_of(stat: &FileStat) -> Facts {
    let time = |seconds: i64, nanos: i64| {
        Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0))
    };
    Facts {
        device: stat.st_dev,
        inode: stat.st_ino,
        regular: SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        links: stat.st_nlink,
        modified: time(stat.st_mtime, stat.st_mtime_nsec),
        changed: time(stat.st_ctime, stat.st_ctime_nsec),
    }
}
