//! An administrator: lines in, replies up to the prompt out.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;

const PROMPT: &str = "E-MailRelay> ";

/// What comes from the server.
enum Said {
    Reply(String),
    Event(String),
}

/// One administration connection, blocking, with a time limit on every read and write.
pub(crate) struct AdminClient {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Box<dyn Write + Send>,
    events: VecDeque<String>,
}

impl AdminClient {
    /// Over TCP.
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            writer: Box::new(stream.try_clone().unwrap()),
            reader: BufReader::new(Box::new(stream)),
            events: VecDeque::new(),
        }
    }

    /// Over a unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            writer: Box::new(stream.try_clone().unwrap()),
            reader: BufReader::new(Box::new(stream)),
            events: VecDeque::new(),
        }
    }

    /// Sends a line and returns the reply without the prompt and without the last line end.
    pub(crate) fn command(&mut self, line: &str) -> String {
        self.send(line);
        self.reply()
    }

    /// Sends a line that is not answered.
    pub(crate) fn send(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Sends bytes, as far as the peer takes them.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> String {
        self.try_reply().expect("the server closed before its reply")
    }

    /// The next reply, or none if the server closes first.
    pub(crate) fn try_reply(&mut self) -> Option<String> {
        loop {
            match self.next()? {
                Said::Reply(words) => return Some(words),
                Said::Event(words) => self.events.push_back(words),
            }
        }
    }

    /// The words of the next event.
    pub(crate) fn event(&mut self) -> String {
        self.events.pop_front().unwrap_or_else(|| match self.next() {
            Some(Said::Event(words)) => words,
            Some(Said::Reply(words)) => panic!("a reply: {words}"),
            None => panic!("the server closed before an event"),
        })
    }

    /// Events come between replies, never within one.
    fn next(&mut self) -> Option<Said> {
        let mut got = String::new();
        loop {
            let mut byte = [0];
            self.reader.read_exact(&mut byte).ok()?;
            got.push(char::from(byte[0]));
            if let Some(event) = got.strip_prefix("\nEVENT: ") {
                if let Some(words) = event.strip_suffix("  ") {
                    return Some(Said::Event(words.to_owned()));
                }
            } else if let Some(words) = got.strip_suffix(PROMPT) {
                return Some(Said::Reply(words.strip_suffix('\n').unwrap_or(words).to_owned()));
            }
        }
    }

    /// Events up to and including the first one with these words.
    pub(crate) fn events_until(&mut self, words: &str) -> Vec<String> {
        let mut events = vec![self.event()];
        while events.last().is_none_or(|last| last != words) {
            events.push(self.event());
        }
        events
    }

    /// Everything until the server closes.
    pub(crate) fn rest(mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.reader.read_until(0xff, &mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}
