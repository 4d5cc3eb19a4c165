//! Going to the background, with a parent that waits for the outcome.

use std::fs::{File, OpenOptions, read_dir, read_to_string};
use std::io::{self, Read, Write};
use std::os::fd::{OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};

/// Exit code for a daemon that ended without a report.
const UNREPORTED: u8 = 1;

/// On which side of the fork we are.
#[derive(Debug)]
pub enum Daemonised {
    /// The process that the user started: end with this exit code, at once and without touching anything.
    Parent(u8),
    /// The daemon; it owes its parent a report.
    Daemon(ReadyPipe),
}

/// The daemon's end of the pipe on which the parent waits.
#[derive(Debug)]
pub struct ReadyPipe(Option<File>);

/// Forks twice: the caller's process waits for the report and returns its exit code, the daemon goes on in a session of its own with `/` as
/// its directory. Descriptors and standard streams stay: see [`null_stdin_stdout`], [`null_stderr`], [`close_inherited`].
///
/// # Errors
/// If threads are running (they would not exist in the daemon), or the system refuses.
pub fn daemonise() -> io::Result<Daemonised> {
    if threads() > 1 {
        return Err(io::Error::other("cannot daemonise: threads are running"));
    }
    fork_twice()
}

impl ReadyPipe {
    /// Everything works: the parent exits 0.
    pub fn ready(mut self) {
        self.report(0);
    }

    /// The daemon is about to end with `code`: the parent exits with it.
    pub fn failed(mut self, code: u8) {
        self.report(code);
    }

    fn report(&mut self, code: u8) {
        if let Some(mut pipe) = self.0.take() {
            let _ = pipe.write_all(&[code]);
        }
    }
}

/// stdin and stdout on the null device.
///
/// # Errors
/// If `/dev/null` cannot be opened.
pub fn null_stdin_stdout() -> io::Result<()> {
    let null = null()?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(())
}

/// stderr on the null device (`--close-stderr`).
///
/// # Errors
/// If `/dev/null` cannot be opened.
pub fn null_stderr() -> io::Result<()> {
    dup2_stderr(null()?)?;
    Ok(())
}

/// Closes what the starting program left open by accident: every descriptor above stderr but those in `keep`. Only for the
/// very start, when this process has opened nothing itself; sockets from [`super::activation`] belong into `keep`.
#[expect(unsafe_code, reason = "descriptors without an owner have only numbers")]
pub fn close_inherited(keep: &[RawFd]) {
    let Ok(entries) = read_dir("/proc/self/fd") else { return };
    let numbers: Vec<RawFd> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2 && !keep.contains(number))
        .collect();
    for number in numbers {
        // SAFETY: by the rule above no object of this process owns a descriptor that is not in `keep`. The one that listed the directory is
        // closed already, closing its number again is an error without effect.
        unsafe { libc::close(number) };
    }
}

/// Files that we make are for us alone unless their code says otherwise (077).
pub fn private_umask() {
    umask(Mode::from_bits_truncate(0o077));
}

fn fork_twice() -> io::Result<Daemonised> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    match fork_alone()? {
        ForkResult::Parent { child } => {
            drop(writer);
            let _ = waitpid(child, None);
            Ok(Daemonised::Parent(await_report(reader)))
        }
        ForkResult::Child => {
            drop(reader);
            // A failure here ends as a report: the caller sees an error in what it takes for the daemon, and exits with it.
            setsid()?;
            chdir("/")?;
            if let ForkResult::Parent { .. } = fork_alone()? {
                exit_now();
            }
            Ok(Daemonised::Daemon(ReadyPipe(Some(File::from(writer)))))
        }
    }
}

fn null() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/null")
}

fn await_report(reader: OwnedFd) -> u8 {
    let mut code = [UNREPORTED];
    match File::from(reader).read_exact(&mut code) {
        Ok(()) => code[0],
        Err(_) => UNREPORTED,
    }
}

/// Number of threads; 1 if unknown.
fn threads() -> usize {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(1)
}

#[expect(unsafe_code, reason = "fork copies only the calling thread")]
fn fork_alone() -> nix::Result<ForkResult> {
    // SAFETY: there is no other thread (checked by `daemonise`), so no lock can be held by one that is missing in the child.
    unsafe { fork() }
}

/// Ends the process between the two forks: no destructors, no buffers written twice.
#[expect(unsafe_code, reason = "std has no _exit")]
fn exit_now() -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::os::tests::{is_child, rerun};

    /// Daemonises in a process of its own and returns the exit code that its parent half saw, and after which time. The harness runs a
    /// test beside its main thread, so this is `daemonise` without its check.
    fn parent_code(test: &str, daemon: impl FnOnce(ReadyPipe)) -> Option<(String, Duration)> {
        if !is_child() {
            let start = Instant::now();
            let output = rerun(test).output().expect("child");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            return Some((text, start.elapsed()));
        }
        match fork_twice().expect("fork") {
            Daemonised::Parent(code) => println!("parent: {code}"),
            Daemonised::Daemon(pipe) => {
                // What the parent collects must not wait for our end of its pipes.
                null_stdin_stdout().expect("null");
                null_stderr().expect("null");
                if std::env::current_dir().is_ok_and(|directory| directory.as_os_str() == "/") {
                    daemon(pipe);
                }
                exit_now();
            }
        }
        None
    }

    #[test]
    fn the_parent_waits_until_the_daemon_is_ready() {
        let test = "os::daemon::tests::the_parent_waits_until_the_daemon_is_ready";
        let result = parent_code(test, |pipe| {
            // Stands for work before readiness; the parent must be slower than it.
            std::thread::sleep(Duration::from_millis(200));
            pipe.ready();
        });
        if let Some((output, elapsed)) = result {
            assert!(output.contains("parent: 0\n"), "{output}");
            assert!(elapsed >= Duration::from_millis(200));
        }
    }

    #[test]
    fn the_parent_gets_the_code_of_a_failed_daemon() {
        let test = "os::daemon::tests::the_parent_gets_the_code_of_a_failed_daemon";
        if let Some((output, _)) = parent_code(test, |pipe| pipe.failed(2)) {
            assert!(output.contains("parent: 2\n"), "{output}");
        }
    }

    #[test]
    fn a_daemon_that_dies_is_a_failure() {
        let test = "os::daemon::tests::a_daemon_that_dies_is_a_failure";
        if let Some((output, _)) = parent_code(test, drop) {
            assert!(output.contains("parent: 1\n"), "{output}");
        }
    }

    #[test]
    fn threads_forbid_daemonising() {
        let stop = std::sync::Arc::new(std::sync::Barrier::new(2));
        let other = std::sync::Arc::clone(&stop);
        let thread = std::thread::spawn(move || other.wait());
        assert!(daemonise().is_err());
        stop.wait();
        thread.join().expect("thread");
    }

    #[test]
    fn inherited_descriptors_are_closed_but_the_listed() {
        let test = "os::daemon::tests::inherited_descriptors_are_closed_but_the_listed";
        if !is_child() {
            let output = rerun(test).output().expect("child");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            return;
        }
        use std::os::fd::{AsRawFd, IntoRawFd};
        let kept = File::open("/dev/null").expect("open");
        let lost = File::open("/dev/null").expect("open").into_raw_fd();
        close_inherited(&[kept.as_raw_fd()]);
        assert!(kept.metadata().is_ok());
        assert!(!std::path::Path::new(&format!("/proc/self/fd/{lost}")).exists());
    }
}
