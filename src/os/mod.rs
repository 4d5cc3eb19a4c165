//! Linux and systemd: the only code that knows either, and the only code with `unsafe`.
//!
//! Everything here is small and independent. What must happen early, and in this order, in a `main`:
//!
//! 1. [`activation::take`] (before any thread: it removes variables from the environment);
//! 2. options are parsed; `emailrelay` closes what it inherited by accident ([`daemon::close_inherited`]);
//! 3. sockets, log files and keys are opened, while the rights of the starting user are still there;
//! 4. [`daemon::daemonise`], if asked for (it forks, so no thread may exist);
//! 5. [`pidfile::PidFile::create`];
//! 6. [`identity::drop_to`], then [`identity::protect_memory`] (capabilities belong to a thread: all threads must start afterwards);
//! 7. the runtime and the log writer start; [`notify::ready`] or [`daemon::ReadyPipe::ready`] at the end.
//!
//! The environment is read and never written, except by step 1.

pub mod account;
pub mod activation;
pub mod clock;
pub mod credentials;
pub mod daemon;
pub mod family;
pub mod file;
pub mod hostname;
pub mod identity;
pub mod interfaces;
pub mod journal;
pub mod launch;
pub mod limits;
pub mod network;
pub mod notify;
pub mod peer;
pub mod pidfile;
pub mod random;
pub mod readiness;
pub mod signals;
pub mod syslog;
pub mod terminal;
pub mod title;

use std::io;

use nix::errno::Errno;

/// The text of an operating system error as it stands in our log lines and messages: `no such file or directory`,
/// `address already in use`, without a number.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    // std appends the number to what the C library says.
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut rest = text.chars();
    match (rest.next(), rest.as_str()) {
        (Some(first), rest) if !rest.starts_with(|c: char| c.is_ascii_uppercase()) => {
            format!("{}{rest}", first.to_ascii_lowercase())
        }
        _ => text.to_owned(),
    }
}

/// [`reason`] of an error number.
pub(crate) fn errno_reason(error: Errno) -> String {
    reason(&error.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn reasons_are_lower_case_without_a_number() {
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::ENOENT)), "no such file or directory");
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::EIO)), "input/output error");
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::EMFILE)), "too many open files");
        assert_eq!(reason(&io::Error::other("odd thing")), "odd thing");
    }

    /// Runs one test of this binary again in a process of its own, with `EMAILRELAY_TEST_CHILD` set: for tests
    /// that fork, change identity or close descriptors.
    pub(crate) fn rerun(test: &str) -> std::process::Command {
        let program = std::env::current_exe().expect("test binary");
        let mut command = std::process::Command::new(program);
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("EMAILRELAY_TEST_CHILD", "1");
        command
    }

    /// Are we the process that [`rerun`] started?
    pub(crate) fn is_child() -> bool {
        std::env::var_os("EMAILRELAY_TEST_CHILD").is_some()
    }
}
