//! A raw SMTP client: every byte is the test's own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// One SMTP connection, blocking, with a time limit on every read and write.
pub(crate) struct SmtpClient {
    stream: BufReader<TcpStream>,
    /// What the server said first.
    pub(crate) greeting: Reply,
}

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// Texts without code, one per line.
    pub(crate) lines: Vec<String>,
}

/// The connection was refused or ended, or a line was not a reply.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Nobody listened.
    pub(crate) refused: bool,
    pub(crate) reason: String,
}

impl Broken {
    fn protocol(reason: String) -> Self {
        Self { refused: false, reason }
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self { refused: error.kind() == std::io::ErrorKind::ConnectionRefused, reason: error.to_string() }
    }
}

impl SmtpClient {
    /// Connects and reads the greeting, whatever it says.
    pub(crate) fn try_connect(address: SocketAddr) -> Result<Self, Broken> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let greeting = read_reply(&mut stream)?;
        Ok(Self { stream, greeting })
    }

    /// Connects to a server that must greet with 220, and says EHLO.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut client = Self::try_connect(address).unwrap();
        assert_eq!(client.greeting.code, 220, "{:?}", client.greeting);
        assert_eq!(client.command("EHLO client.test").code, 250);
        client
    }

    /// The same over a connection that the test has made.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = BufReader::new(stream);
        let greeting = read_reply(&mut stream).unwrap();
        let mut client = Self { stream, greeting };
        assert_eq!(client.command("EHLO client.test").code, 250);
        client
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// The connection itself.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    /// Reads one reply.
    pub(crate) fn reply(&mut self) -> Result<Reply, Broken> {
        read_reply(&mut self.stream)
    }

    /// One command and its reply.
    pub(crate) fn try_command(&mut self, line: &str) -> Result<Reply, Broken> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// One command and its reply; the connection must live.
    pub(crate) fn command(&mut self, line: &str) -> Reply {
        self.try_command(line).unwrap_or_else(|error| panic!("after {line:?}: {}", error.reason))
    }

    /// One whole transaction; the reply that ended it (the first that was not positive, or the one to the content).
    ///
    /// The content is sent with dots stuffed and must end its last line itself.
    pub(crate) fn try_send(&mut self, from: &str, to: &[&str], content: &[u8]) -> Result<Reply, Broken> {
        let mut commands = vec![format!("MAIL FROM:<{from}>")];
        commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        commands.push("DATA".to_owned());
        for command in commands {
            let reply = self.try_command(&command)?;
            if reply.code >= 400 {
                return Ok(reply);
            }
        }
        self.write(&stuffed(content))?;
        self.write(b".\r\n")?;
        self.reply()
    }

    /// One whole transaction that must be accepted.
    pub(crate) fn send(&mut self, from: &str, to: &[&str], content: &[u8]) {
        let reply = self.try_send(from, to, content).unwrap();
        assert_eq!(reply.code, 250, "{reply:?}");
    }

    /// Everything that still comes, up to the end of the connection.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}

/// Content with a dot put before every leading dot.
pub(crate) fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 16);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

fn read_reply(stream: &mut BufReader<TcpStream>) -> Result<Reply, Broken> {
    let mut lines = Vec::new();
    loop {
        let mut raw = Vec::new();
        stream.read_until(b'\n', &mut raw)?;
        let text = String::from_utf8_lossy(&raw);
        let line =
            text.strip_suffix("\r\n").ok_or_else(|| Broken::protocol(format!("no reply line: {text:?}")))?;
        let code = line.get(..3).and_then(|code| code.parse().ok());
        let code = code.ok_or_else(|| Broken::protocol(format!("no reply code: {line:?}")))?;
        lines.push(line.get(4..).unwrap_or_default().to_owned());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(Reply { code, lines });
        }
    }
}
