//! Sockets handed over as a service manager does it.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use super::daemon::{Daemon, Program};

/// Starts a program with a listening socket as descriptor 3, by this name.
pub(crate) fn start(program: Program, listener: &TcpListener, name: &str, args: &[&str]) -> Daemon {
    let mut command = Command::new("sh");
    let pass = format!(
        "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_FDNAMES={name} LISTEN_PID=$$; exec \"$0\" \"$@\""
    );
    command.args(["-c", &pass, program.path()]).args(args);
    command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM").env_remove("CREDENTIALS_DIRECTORY");
    Daemon::start_with(command, Stdio::from(OwnedFd::from(listener.try_clone().unwrap())))
}
