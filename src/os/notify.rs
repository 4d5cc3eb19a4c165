//! Messages to the service manager, sd_notify(3).
//!
//! All of them do nothing when the process was not started with `NOTIFY_SOCKET`, and errors are ignored: a service that cannot
//! tell its state still serves. The environment is never written, so the socket's path stays readable for the life of the process.
//! Each call is one datagram to the manager and may block for a moment when the manager is busy.

use std::env;
use std::time::Duration;

use sd_notify::NotifyState;

/// Longest status text sent, bytes.
const MAX_STATUS: usize = 256;

/// Does a service manager wait for our messages? Then we never daemonise.
pub fn is_under_systemd() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty())
}

/// Serving (also: reload finished), with a status text for `systemctl status`.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&plain(status))]);
}

/// A new status text.
pub fn status(text: &str) {
    send(&[NotifyState::Status(&plain(text))]);
}

/// Stopping; nothing but exit follows.
pub fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(&plain(status))]);
}

/// A reload begins; [`ready`] ends it. Carries the time that `Type=notify-reload` demands in the same message, and is
/// equally right for `Type=notify` with `ExecReload=`.
pub fn reloading(status: &str) {
    let status = plain(status);
    let mut message = vec![NotifyState::Reloading];
    message.extend(NotifyState::monotonic_usec_now().ok());
    message.push(NotifyState::Status(&status));
    send(&message);
}

/// How often [`ping`] is due: half of the unit's `WatchdogSec=`. None if the manager does not watch this process.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|half| !half.is_zero())
}

/// Tells the manager's watchdog that we live. To be called from the loop that proves progress, not from a bare timer.
pub fn ping() {
    send(&[NotifyState::Watchdog]);
}

fn send(message: &[NotifyState<'_>]) {
    if is_under_systemd() {
        let _ = sd_notify::notify(message);
    }
}

/// A status text that stays one line: what follows a line end would be taken for another assignment.
fn plain(text: &str) -> String {
    let mut end = text.len().min(MAX_STATUS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::*;
    use crate::os::tests::{is_child, rerun};

    #[test]
    fn a_status_is_one_line_of_limited_length() {
        assert_eq!(plain("a\nMAINPID=1\r\0b"), "a MAINPID=1  b");
        assert_eq!(plain(&"ä".repeat(500)).len(), MAX_STATUS);
    }

    #[test]
    fn messages_reach_the_manager() {
        if is_child() {
            assert!(is_under_systemd());
            assert_eq!(watchdog_interval(), Some(Duration::from_secs(15)));
            ready("serving");
            reloading("again");
            ready("serving 2");
            status("two\nlines");
            ping();
            stopping("bye");
            return;
        }
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bind");
        let output = rerun("os::notify::tests::messages_reach_the_manager")
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "30000000")
            .env_remove("WATCHDOG_PID")
            .output()
            .expect("child");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let mut buffer = [0; 512];
        let mut next = || {
            manager.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
            let size = manager.recv(&mut buffer).expect("message");
            String::from_utf8_lossy(&buffer[..size]).into_owned()
        };
        assert_eq!(next(), "READY=1\nSTATUS=serving\n");
        let reload = next();
        assert!(reload.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reload}");
        assert!(reload.ends_with("\nSTATUS=again\n"), "{reload}");
        assert_eq!(next(), "READY=1\nSTATUS=serving 2\n");
        assert_eq!(next(), "STATUS=two lines\n");
        assert_eq!(next(), "WATCHDOG=1\n");
        assert_eq!(next(), "STOPPING=1\nSTATUS=bye\n");
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        if is_child() {
            assert!(!is_under_systemd());
            ready("nobody listens");
            assert_eq!(watchdog_interval(), None);
            return;
        }
        let output = rerun("os::notify::tests::without_a_manager_nothing_happens")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .output()
            .expect("child");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
