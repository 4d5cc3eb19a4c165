//! Syslog by datagrams to `/dev/log`, RFC 3164 style as local daemons expect it: `<PRI>Mmm dd hh:mm:ss name[pid]: text`.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use crate::config::Facility;

/// Where the local syslog daemon listens.
pub const SOCKET: &str = "/dev/log";

/// After a failed connect the next one is tried this much later.
const RETRY: Duration = Duration::from_secs(1);

/// A connection to the syslog daemon that never blocks.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    name: String,
    facility: Facility,
    socket: Option<UnixDatagram>,
    retry: Option<Instant>,
}

impl Syslog {
    /// Prepares sending to [`SOCKET`] as `name`; it need not exist yet.
    pub fn new(name: &str, facility: Facility) -> Syslog {
        Syslog::at(Path::new(SOCKET), name, facility)
    }

    /// [`Syslog::new`] for a daemon that listens elsewhere.
    pub fn at(path: &Path, name: &str, facility: Facility) -> Syslog {
        Syslog { path: path.to_owned(), name: name.to_owned(), facility, socket: None, retry: None }
    }

    /// Sends one line; `severity` as in RFC 3164 (3 error, 4 warning, 6 info). A daemon that was restarted is found again.
    ///
    /// # Errors
    /// If nobody listens or its buffer is full: the line is lost.
    pub fn send(&mut self, severity: u8, line: &str) -> io::Result<()> {
        let priority = u32::from(self.facility.number()) * 8 + u32::from(severity & 7);
        let time = super::clock::now().strftime("%b %e %H:%M:%S").to_string();
        let datagram = format!("<{priority}>{time} {}[{}]: {line}", self.name, process::id());
        match self.try_send(datagram.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && self.socket.is_some() => {
                self.socket = None;
                self.try_send(datagram.as_bytes())
            }
            result => result,
        }
    }

    fn try_send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if self.socket.is_none() {
            self.connect(Instant::now())?;
        }
        match &self.socket {
            Some(socket) => socket.send(datagram).map(drop),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn connect(&mut self, now: Instant) -> io::Result<()> {
        if self.retry.is_some_and(|retry| now < retry) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.retry = Some(now + RETRY);
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        self.socket = Some(socket);
        self.retry = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(daemon: &UnixDatagram) -> String {
        daemon.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        let mut buffer = [0; 2048];
        let size = daemon.recv(&mut buffer).expect("datagram");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    }

    #[test]
    fn a_line_carries_priority_name_and_pid() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("log");
        let daemon = UnixDatagram::bind(&path).expect("bind");
        let mut syslog = Syslog::at(&path, "emailrelay", Facility::Mail);
        syslog.send(4, "emailrelay: warning: text").expect("send");
        let line = receive(&daemon);
        assert!(line.starts_with("<20>"), "{line}");
        assert!(
            line.ends_with(&format!(" emailrelay[{}]: emailrelay: warning: text", process::id())),
            "{line}"
        );
        assert_eq!(
            line.len(),
            format!("<20>Nov 20 10:31:43 emailrelay[{}]: emailrelay: warning: text", process::id()).len()
        );
    }

    #[test]
    fn a_restarted_daemon_is_found_again() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("log");
        let daemon = UnixDatagram::bind(&path).expect("bind");
        let mut syslog = Syslog::at(&path, "x", Facility::Local(0));
        syslog.send(6, "one").expect("send");
        drop(daemon);
        std::fs::remove_file(&path).expect("remove");
        let daemon = UnixDatagram::bind(&path).expect("bind");
        syslog.send(6, "two").expect("send");
        assert!(receive(&daemon).ends_with(": two"));
    }

    #[test]
    fn a_full_or_missing_daemon_does_not_block() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("log");
        let mut syslog = Syslog::at(&path, "x", Facility::User);
        assert!(syslog.send(6, "nobody").is_err());
        let _daemon = UnixDatagram::bind(&path).expect("bind");
        let mut syslog = Syslog::at(&path, "x", Facility::User);
        let full = (0..10_000).any(|_| syslog.send(6, "line").is_err());
        assert!(full, "the queue of a daemon that does not read is finite");
    }
}
