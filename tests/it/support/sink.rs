//! Postfix's `smtp-sink`: a fast next hop that keeps what it gets.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{PATIENCE, free_port, is_root, loopback, need, spool, wait_for};

/// A running `smtp-sink`, one file per message; killed when dropped.
pub(crate) struct SmtpSink {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl SmtpSink {
    /// Starts it on a free port with these further options; `require!(need::program("smtp-sink"))` first.
    pub(crate) fn start(options: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("emailrelay-sink.").tempdir().unwrap();
        let address = loopback(free_port());
        let mut command = Command::new(need::path("smtp-sink"));
        if is_root() {
            // It insists on a user when root starts it; root may write to the directory.
            command.args(["-u", "root"]);
        }
        let template = dir.path().join("m.");
        command.args(options).arg("-d").arg(template).arg(address.to_string()).arg("1024");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut sink = Self { child, address, dir };
        wait_for("smtp-sink", PATIENCE, || {
            assert_eq!(sink.child.try_wait().unwrap(), None, "smtp-sink ended");
            TcpStream::connect(address).ok()
        });
        sink
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as an option value.
    pub(crate) fn arg(&self) -> String {
        self.address.to_string()
    }

    /// All messages so far, in order of their file names.
    pub(crate) fn messages(&self) -> Vec<SunkMessage> {
        messages_in(self.dir.path())
    }

    /// Waits until there are at least this many complete messages.
    pub(crate) fn wait_messages(&self, count: usize) -> Vec<SunkMessage> {
        wait_for("messages in smtp-sink", PATIENCE, || {
            let messages = self.messages();
            (messages.len() >= count).then_some(messages)
        })
    }
}

/// The messages that a `smtp-sink -d DIR/...` has written to a directory.
pub(crate) fn messages_in(dir: &Path) -> Vec<SunkMessage> {
    let files = spool::list(dir).into_iter();
    files.filter_map(|name| SunkMessage::parse(&std::fs::read(dir.join(name)).ok()?)).collect()
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message as the sink wrote it; it turns CRLF into LF. Complete once its sender has seen the final reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SunkMessage {
    /// The argument of MAIL.
    pub(crate) mail: String,
    /// The arguments of RCPT.
    pub(crate) rcpt: Vec<String>,
    /// What came between DATA and the dot.
    pub(crate) content: Vec<u8>,
}

impl SunkMessage {
    /// Reads the lines that the sink puts first; `None` while it is still writing them.
    fn parse(file: &[u8]) -> Option<Self> {
        let mut message = Self { mail: String::new(), rcpt: Vec::new(), content: Vec::new() };
        let mut rest = file;
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (line, after) = rest.split_at(end + 1);
            let line = String::from_utf8_lossy(line);
            rest = after;
            match line.trim_end().split_once(": ") {
                Some(("X-Mail-Args", value)) => message.mail = value.to_owned(),
                Some(("X-Rcpt-Args", value)) => message.rcpt.push(value.to_owned()),
                Some(("Received", _)) => break,
                _ => {}
            }
        }
        // The Received line of the sink is folded.
        while rest.starts_with(b"\t") {
            rest = rest.split_at(rest.iter().position(|byte| *byte == b'\n')? + 1).1;
        }
        // The sink ends the file with an empty line of its own.
        message.content = rest.strip_suffix(b"\n")?.to_vec();
        Some(message)
    }
}
