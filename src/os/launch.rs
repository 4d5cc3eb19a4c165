//! Starting a program that is not ours: in a process group of its own, with nothing of ours but the identity.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::OFlag;
use nix::unistd::{getpid, pipe2};
use tokio::io::unix::AsyncFd;

use super::limits;

/// The environment of every program, whole: what we were started with may hold secrets.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/bin:/bin"), ("IFS", " \t\n")];

/// Exit code for a program whose own cannot be known.
const LOST: u8 = 127;

/// What a program that died by a signal adds to its number, as in shells.
const BY_SIGNAL: i32 = 128;

/// Held while a program is being started.
static ALONE: Mutex<()> = Mutex::new(());

/// What is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The file; no search path, no shell.
    pub program: PathBuf,
    /// Arguments from the first on; the one before them is the path.
    pub arguments: Vec<OsString>,
    /// Variables beyond `PATH` and `IFS`.
    pub variables: Vec<(&'static str, OsString)>,
}

/// A program that was started. Its process stays a zombie until it is reaped, so its number and that of its group
/// cannot be given to others meanwhile.
#[derive(Debug)]
pub struct Process {
    child: Child,
    exit: Option<OwnedFd>,
}

/// Tells when a process has ended.
#[derive(Debug)]
pub struct Exit(AsyncFd<OwnedFd>);

/// Starts a program. Standard input and error are the null device, everything else is closed. It cannot gain
/// privileges, leaves no core file, and is killed when the thread that started it ends: that must be one that lives as long as
/// the process.
///
/// Returns the process and the reading end of its standard output.
///
/// # Errors
/// What the system says to starting it; see [`is_shortage`].
pub fn launch(launch: &Launch) -> io::Result<(Process, OwnedFd)> {
    // One at a time: a process that is just being started holds all that we have open, the writing ends of other pipes too.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let image = Image::new(launch)?;
    let mut command = Command::new(&launch.program);
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null()).process_group(0);
    confine(&mut command, image);
    let mut child = command.spawn()?;
    // The command holds our copy of the writing end, without which there would be no end of file.
    drop(command);
    match open_process(child.id()) {
        Ok(exit) => Ok((Process { child, exit: Some(exit) }, reader)),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// The error says that the system lacks processes, memory or descriptors, and nothing about the program.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE].iter().any(|shortage| code == Some(*shortage))
}

/// What the new process becomes, in the form that the kernel takes.
struct Image {
    path: CString,
    /// Own what the addresses point to.
    _texts: Vec<CString>,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
}

// SAFETY: the addresses point to the heap blocks of strings that the value owns and never changes.
#[expect(unsafe_code, reason = "addresses are not Send by themselves")]
unsafe impl Send for Image {}
// SAFETY: as above; nothing is written through a shared reference.
#[expect(unsafe_code, reason = "addresses are not Sync by themselves")]
unsafe impl Sync for Image {}

impl Image {
    fn new(launch: &Launch) -> io::Result<Self> {
        let variable = |name: &str, value: &OsStr| [name.as_bytes(), b"=", value.as_bytes()].concat();
        let path = CString::new(launch.program.as_os_str().as_bytes())?;
        let mut texts = vec![path.clone()];
        for argument in &launch.arguments {
            texts.push(CString::new(argument.as_bytes())?);
        }
        let count = texts.len();
        for (name, value) in ENVIRONMENT {
            texts.push(CString::new(variable(name, OsStr::new(value)))?);
        }
        for (name, value) in &launch.variables {
            texts.push(CString::new(variable(name, value))?);
        }
        let addresses = |texts: &[CString]| {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        let (arguments, environment) = texts.split_at(count);
        let (arguments, environment) = (addresses(arguments), addresses(environment));
        Ok(Self { path, _texts: texts, arguments, environment })
    }

    /// Takes the place of this process; returns only when that has failed.
    #[expect(unsafe_code, reason = "nothing in the standard library is without a shell")]
    fn execute(&self) -> io::Error {
        // SAFETY: both lists end with a null address, and all else in them points to strings that this value owns.
        unsafe { libc::execve(self.path.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// What is done in the new process before the program takes its place.
///
/// The program is executed here too: the way of the standard library gives a file that is no program to a shell.
#[expect(unsafe_code, reason = "nothing else runs in the new process")]
fn confine(command: &mut Command, image: Image) {
    let (parent, files) = (getpid().as_raw(), limits::nofile_at_start());
    let prepare = move || {
        // SAFETY: these are system calls, which may be made after a fork; they get numbers and addresses of locals.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            libc::umask(0o077);
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
            if let Some((soft, hard)) = files {
                let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
            // All of ours are close-on-exec; this is for those that a library or our parent forgot. Old kernels refuse.
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        }
        Err(image.execute())
    };
    // SAFETY: the closure makes system calls only: it allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
}

/// A descriptor that becomes readable when the process has ended.
#[expect(unsafe_code, reason = "nix has no pidfd_open")]
fn open_process(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = i32::try_from(number).unwrap_or(-1);
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this number to us, close-on-exec, and nothing else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

impl Process {
    /// Number of the process, and of its group.
    #[must_use]
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// What tells that the process has ended. To be called once, within a runtime.
    ///
    /// # Errors
    /// The system lacks something, or it was called before.
    #[expect(unsafe_code, reason = "the runtime cannot see that the descriptor stays open")]
    pub fn exit(&mut self) -> io::Result<Exit> {
        let exit = self.exit.take().ok_or(io::ErrorKind::NotFound)?;
        // SAFETY: an OwnedFd is open until it is dropped, and it is dropped together with the registration.
        Ok(Exit(unsafe { AsyncFd::register(exit)? }))
    }

    /// Takes the exit code, which frees the process's number; none while it runs. Death by a signal counts as 128 and
    /// the signal's number.
    pub fn reap(&mut self) -> Option<u8> {
        let status = match self.child.try_wait() {
            Ok(status) => status?,
            Err(_) => return Some(LOST),
        };
        let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
        Some(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(LOST))
    }
}

impl Exit {
    /// Waits until the process has ended.
    pub async fn wait(&self) {
        // An error means that the runtime ends, and the waiting with it.
        let _ = self.0.readable().await;
    }
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
