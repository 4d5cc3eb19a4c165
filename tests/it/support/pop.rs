//! A raw POP3 client: every byte is the test's own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// One POP connection in clear, blocking, with a time limit on every read and write.
pub(crate) struct PopClient {
    stream: BufReader<TcpStream>,
    /// What the server said first, without its line end.
    pub(crate) greeting: String,
}

impl PopClient {
    /// Connects and reads the greeting.
    pub(crate) fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream: BufReader::new(stream), greeting: String::new() };
        client.greeting = client.try_line()?;
        Ok(client)
    }

    /// Connects to a server that must greet.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let client = Self::try_connect(address).unwrap();
        assert!(client.greeting.starts_with("+OK POP3 server ready"), "{:?}", client.greeting);
        client
    }

    /// Connects and logs in.
    pub(crate) fn login(address: SocketAddr, user: &str, password: &str) -> Self {
        let mut client = Self::connect(address);
        assert_eq!(client.command(&format!("USER {user}")), format!("+OK user: {user}"));
        assert_eq!(client.command(&format!("PASS {password}")), "+OK");
        client
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Reads one line, without its end.
    pub(crate) fn try_line(&mut self) -> std::io::Result<String> {
        let mut raw = Vec::new();
        self.stream.read_until(b'\n', &mut raw)?;
        if !raw.ends_with(b"\r\n") {
            return Err(std::io::Error::other(format!("no line: {:?}", raw.escape_ascii().to_string())));
        }
        Ok(String::from_utf8_lossy(&raw[..raw.len() - 2]).into_owned())
    }

    /// Reads one line that must come.
    pub(crate) fn line(&mut self) -> String {
        self.try_line().unwrap()
    }

    /// One command and the first line of its reply, if the connection lives so long.
    pub(crate) fn try_command(&mut self, line: &str) -> std::io::Result<String> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.try_line()
    }

    /// One command and the first line of its reply.
    pub(crate) fn command(&mut self, line: &str) -> String {
        self.write(format!("{line}\r\n").as_bytes());
        self.line()
    }

    /// The rest of a reply of several lines, dots unstuffed, with line ends.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut raw = Vec::new();
            self.stream.read_until(b'\n', &mut raw).unwrap();
            assert!(raw.ends_with(b"\r\n"), "cut off: {:?}", raw.escape_ascii().to_string());
            if raw == b".\r\n" {
                return body;
            }
            body.extend_from_slice(raw.strip_prefix(b".").unwrap_or(&raw));
        }
    }

    /// One command and all of its positive reply of several lines, without the first.
    pub(crate) fn lines(&mut self, line: &str) -> Vec<String> {
        let first = self.command(line);
        assert!(first.starts_with("+OK"), "{line}: {first}");
        String::from_utf8_lossy(&self.body()).lines().map(str::to_owned).collect()
    }

    /// A message.
    pub(crate) fn retrieve(&mut self, number: usize) -> Vec<u8> {
        let first = self.command(&format!("RETR {number}"));
        assert!(first.starts_with("+OK "), "{first}");
        self.body()
    }

    /// QUIT, which must succeed.
    pub(crate) fn quit(mut self) {
        assert_eq!(self.command("QUIT"), "+OK signing off");
        assert_eq!(self.rest(), b"");
    }

    /// Everything that still comes, up to the end of the connection.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}
