//! The SMTP role as the place where messages go: for callers who may not write the spool.
//!
//! Each message has a connection of its own to the role's unix socket, over which it is handed on as SMTP with BDAT (RFC
//! 3030): what comes in is stored byte for byte, as by ourselves. The role knows the caller by the credentials of the
//! connection (`SO_PEERCRED`), which nobody can forge; no program here needs rights of its own.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::os::hostname;
use crate::smtp::client::{Reply, ReplyParser, Step};
use crate::smtp::xtext;
use crate::spool;

use super::compose::Envelope;
use super::store::{Draft, Store, StoreFault};

/// How long the role may take for an answer; the last one waits for the disk and for filters (RFC 5321 section
/// 4.5.3.2.6).
const PATIENCE: Duration = Duration::from_secs(600);
/// Content is handed on in chunks of this size at least, the last one aside.
const CHUNK: usize = 64 * 1024;
/// Between the text of the last reply and the name of the message.
const STORED_AS: &str = ": ";

/// The socket of an SMTP role.
pub(super) struct SocketStore {
    path: PathBuf,
}

/// A message on its way to the role; the role forgets it when the connection ends early.
pub(super) struct SocketDraft {
    dialogue: Dialogue,
    pending: Vec<u8>,
}

/// One connection.
struct Dialogue {
    stream: UnixStream,
    parser: ReplyParser,
    unread: Vec<u8>,
}

impl SocketStore {
    /// The role that listens at `path`. Nothing is connected yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Connects, and waits for the greeting.
    ///
    /// # Errors
    /// When nobody is there, or does not want us.
    pub(super) fn connect(&self) -> Result<UnixStream, StoreFault> {
        let lost = |error: io::Error| {
            StoreFault::Temporary(format!(
                "cannot connect to {}: {}",
                self.path.display(),
                crate::os::reason(&error)
            ))
        };
        let stream = UnixStream::connect(&self.path).map_err(lost)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
        Ok(stream)
    }
}

impl Store for SocketStore {
    type Draft = SocketDraft;

    fn create(&self, envelope: &Envelope) -> Result<SocketDraft, StoreFault> {
        if !envelope.authentication.is_empty() || envelope.mail_auth_out.is_some() {
            return Err(StoreFault::NotPermitted);
        }
        check(envelope)?;
        let stream = self.connect()?;
        let mut dialogue = Dialogue { stream, parser: ReplyParser::default(), unread: Vec::new() };
        dialogue.expect()?;
        dialogue.command(&format!("EHLO {}", hostname::node_name()))?;
        dialogue.command(&mail(envelope))?;
        for recipient in &envelope.recipients {
            dialogue.command(&format!("RCPT TO:<{recipient}>"))?;
        }
        Ok(SocketDraft { dialogue, pending: Vec::with_capacity(CHUNK) })
    }

    fn commit(&self, drafts: Vec<SocketDraft>, stored: &mut dyn FnMut(&str)) -> Result<(), StoreFault> {
        let mut result = Ok(());
        for draft in drafts {
            match draft.finish() {
                Ok(name) => stored(&name),
                Err(fault) => result = result.and(Err(fault)),
            }
        }
        result
    }

    /// The role does that itself.
    fn request_forward(&self) {}
}

/// No address may end its brackets itself: what stands behind would be taken for parameters, or for commands.
fn check(envelope: &Envelope) -> Result<(), StoreFault> {
    let addresses = spool::Envelope {
        sender: envelope.sender.clone(),
        remote: envelope.recipients.clone(),
        ..Default::default()
    };
    addresses.check_addresses().map_err(|error| StoreFault::Refused(error.to_string()))
}

fn mail(envelope: &Envelope) -> String {
    let mut command = format!("MAIL FROM:<{}>", envelope.sender);
    if let Some(auth) = &envelope.mail_auth_in {
        let value = if auth.is_empty() { "<>".to_owned() } else { xtext::encode(auth) };
        command.push_str(&format!(" AUTH={value}"));
    }
    if envelope.utf8_mailboxes {
        command.push_str(" SMTPUTF8");
    }
    command
}

impl SocketDraft {
    /// Hands on the rest, and waits until the message is durable. Returns the name of its content file.
    fn finish(mut self) -> Result<String, StoreFault> {
        let reply = self.dialogue.chunk(&self.pending, " LAST")?;
        // The connection has done its work: what becomes of it is nobody's concern.
        let _ = self.dialogue.stream.write_all(b"QUIT\r\n");
        let id = reply.text.rsplit_once(STORED_AS).map(|(_, id)| id).unwrap_or_default();
        Ok(format!("{id}.content"))
    }
}

impl Draft for SocketDraft {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreFault> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK {
            self.dialogue.chunk(&self.pending, "")?;
            self.pending.clear();
        }
        Ok(())
    }

    /// The role makes the envelope.
    fn write_envelope(&mut self, _: &Envelope) -> Result<(), StoreFault> {
        Ok(())
    }
}

impl Dialogue {
    fn command(&mut self, line: &str) -> Result<Reply, StoreFault> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.expect()
    }

    fn chunk(&mut self, bytes: &[u8], last: &str) -> Result<Reply, StoreFault> {
        let mut text = format!("BDAT {}{last}\r\n", bytes.len()).into_bytes();
        text.extend_from_slice(bytes);
        self.write(&text)?;
        self.expect()
    }

    /// The next reply, which must be positive.
    fn expect(&mut self) -> Result<Reply, StoreFault> {
        let reply = self.reply().map_err(|error| lost(&error))?;
        match reply {
            reply if reply.is_success() => Ok(reply),
            reply if reply.is_permanent() => Err(StoreFault::Refused(reply.to_string())),
            reply => Err(StoreFault::Temporary(format!("message not stored: {reply}"))),
        }
    }

    fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let mut input = self.unread.as_slice();
            let step =
                self.parser.feed(&mut input).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            let taken = self.unread.len().saturating_sub(input.len());
            self.unread.drain(..taken);
            match step {
                Step::Reply(reply) => return Ok(reply),
                Step::Line => {}
                Step::NeedMore => self.read()?,
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreFault> {
        // A reply may explain why nobody reads any more; who reads it finds out.
        match self.stream.write_all(bytes) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(lost(&error)),
            _ => Ok(()),
        }
    }
}

fn lost(error: &io::Error) -> StoreFault {
    StoreFault::Temporary(format!("message not stored: smtp server: {}", crate::os::reason(error)))
}
