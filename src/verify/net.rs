//! `net:`: a verifier behind a TCP or unix-domain socket.
//!
//! One line goes there, the six fields of a [`Query`] with `|` between them; one line comes back: `100` (close the
//! connection), `0|MAILBOX|NAME` (local), `1|ADDRESS` (remote; empty for unchanged), `2|RESPONSE|REASON` (no such mailbox)
//! or `3|RESPONSE|REASON` (not now). The server speaks only when asked.

use std::future::ready;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{CANNOT_VERIFY, Query, answer, refused};
use crate::config::address::Remote;
use crate::log::{self, Context, VerifyEvent};
use crate::net::address::Endpoint;
use crate::net::connect::{self, connect};
use crate::net::read::read_some;
use crate::net::stream::Stream;
use crate::smtp::server::{Rejection, Verdict};

/// Longest reply line, in bytes.
const MAX_REPLY: usize = 4096;

/// Bytes that the server may have sent unasked since the last question.
const MAX_UNASKED: usize = 64 * 1024;

/// Text for a client whose address cannot be asked about.
const INVALID_MAILBOX: &str = "invalid mailbox";

/// Between the fields of request and reply.
const SEPARATOR: char = '|';

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Connect(#[from] connect::Error),
    #[error("response timeout: no response after {seconds}s while connected to {peer}")]
    Timeout { seconds: u64, peer: Endpoint },
    /// `begun`: a part of the reply had come.
    #[error("peer disconnected")]
    Disconnected { begun: bool },
    #[error("response line too long")]
    TooLong,
    #[error("invalid response from address verifier")]
    Malformed,
}

impl Fault {
    /// The reason for the line about the recipient.
    fn reason(&self) -> String {
        match self {
            Self::Disconnected { .. } => "network verifier peer disconnected".to_owned(),
            fault => fault.to_string(),
        }
    }

    /// A server that cannot be reached is expected back; one that talks nonsense is our own mistake.
    fn rejection(&self) -> Rejection {
        match self {
            Self::Malformed | Self::TooLong => Rejection::LocalFault,
            _ => Rejection::Temporary,
        }
    }
}

/// A connection between two questions.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    peer: Endpoint,
}

/// Asks, on the open connection if there is one. It is kept for the next question if all went well.
pub(super) async fn ask(
    server: &Remote,
    connection: &mut Option<Connection>,
    query: &Query,
    limit: Option<Duration>,
    context: &Context,
) -> Verdict {
    if query.address.contains(SEPARATOR) {
        return refused(
            Rejection::Permanent,
            INVALID_MAILBOX,
            "the address holds a separator of the protocol",
        );
    }
    let event = VerifyEvent::Request { address: query.address.clone(), client: query.client.clone() };
    log::emit(context, &event.into());
    let replied = match exchange(server, connection.take(), request(query).as_bytes(), limit).await {
        Ok((open, line)) => {
            log::emit(context, &VerifyEvent::Response { line: answer::text(&line) }.into());
            interpret(&answer::text(&line), &query.address).ok_or(Fault::Malformed).inspect(|_| {
                *connection = Some(open);
            })
        }
        Err(fault) => Err(fault),
    };
    replied.unwrap_or_else(|fault| {
        log::emit(context, &VerifyEvent::Fault { reason: fault.to_string() }.into());
        refused(fault.rejection(), CANNOT_VERIFY, &fault.reason())
    })
}

/// Only the address is the client's to choose freely and must arrive as it is; elsewhere a separator is encoded.
fn request(query: &Query) -> String {
    let fields = query.fields().map(|field| {
        let mut text = String::with_capacity(field.len());
        for c in field.chars() {
            if c == SEPARATOR || c.is_ascii_control() {
                text.push_str(&format!("%{:02X}", u32::from(c)));
            } else {
                text.push(c);
            }
        }
        text
    });
    fields.join("|") + "\n"
}

/// Gives the reply line without its end.
async fn exchange(
    server: &Remote,
    open: Option<Connection>,
    request: &[u8],
    limit: Option<Duration>,
) -> Result<(Connection, Vec<u8>), Fault> {
    if let Some(mut open) = open
        && open.is_quiet().await
    {
        match open.ask(request, limit).await {
            // The server had enough of it: once more on a new one.
            Err(Fault::Disconnected { begun: false }) => {}
            replied => return replied.map(|line| (open, line)),
        }
    }
    let options = connect::Options { timeout: limit, ..connect::Options::default() };
    let (stream, peer) = connect(server, &options, &mut |_| {}).await?;
    let mut open = Connection { stream, peer };
    let line = open.ask(request, limit).await?;
    Ok((open, line))
}

impl Connection {
    /// Drops what has come unasked; false if the connection has ended.
    async fn is_quiet(&mut self) -> bool {
        let mut dropped = Vec::new();
        loop {
            tokio::select! {
                biased;
                read = read_some(&mut self.stream, &mut dropped) => match read {
                    Ok(1..) if dropped.len() < MAX_UNASKED => {}
                    _ => return false,
                },
                () = ready(()) => return true,
            }
        }
    }

    async fn ask(&mut self, request: &[u8], limit: Option<Duration>) -> Result<Vec<u8>, Fault> {
        let Self { stream, peer } = self;
        let work = async {
            let disconnected = |_| Fault::Disconnected { begun: false };
            stream.write_all(request).await.map_err(disconnected)?;
            stream.flush().await.map_err(disconnected)?;
            reply(stream).await
        };
        match limit {
            Some(limit) => timeout(limit, work)
                .await
                .unwrap_or_else(|_| Err(Fault::Timeout { seconds: limit.as_secs(), peer: peer.clone() })),
            None => work.await,
        }
    }
}

async fn reply(stream: &mut Stream) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    loop {
        let begun = !bytes.is_empty();
        match read_some(stream, &mut bytes).await {
            Ok(1..) => {}
            _ => return Err(Fault::Disconnected { begun }),
        }
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n').filter(|end| *end <= MAX_REPLY) {
            bytes.truncate(end);
            while bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
            return Ok(bytes);
        }
        if bytes.len() > MAX_REPLY {
            return Err(Fault::TooLong);
        }
    }
}

/// None: the line is no reply.
fn interpret(line: &str, address: &str) -> Option<Verdict> {
    let mut fields = line.split(SEPARATOR);
    let code = fields.next()?;
    if code == "100" {
        return Some(Verdict::Abort);
    }
    let first = fields.next()?;
    let second = fields.next();
    Some(match code {
        "0" => Verdict::Local { mailbox: first.to_owned(), full_name: second?.to_owned() },
        "1" if first.is_empty() => Verdict::Remote { address: address.to_owned() },
        "1" => Verdict::Remote { address: first.to_owned() },
        "2" => refused(Rejection::Permanent, first, second.unwrap_or_default()),
        "3" => refused(Rejection::Temporary, first, second.unwrap_or_default()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tests::query;

    #[test]
    fn a_request_is_six_fields_in_a_line() {
        assert_eq!(
            request(&query("bob@local.net")),
            "bob@local.net|alice@example.com|192.0.2.7:51034|local.net|plain|alice\n"
        );
        let query = Query { sender: "a|b\t@c".to_owned(), ..query("x") };
        assert_eq!(request(&query), "x|a%7Cb%09@c|192.0.2.7:51034|local.net|plain|alice\n");
    }

    #[test]
    fn replies_mean_what_the_table_says() {
        let local = |mailbox: &str, name: &str| Verdict::Local {
            mailbox: mailbox.to_owned(),
            full_name: name.to_owned(),
        };
        let remote = |address: &str| Verdict::Remote { address: address.to_owned() };
        for (line, verdict) in [
            ("0|bob|Bob Jones <bob@local.net>", local("bob", "Bob Jones <bob@local.net>")),
            ("0|bob|", local("bob", "")),
            ("1|x@y", remote("x@y")),
            ("1|x@y|name|more", remote("x@y")),
            ("1|", remote("a@b")),
            ("2|no", refused(Rejection::Permanent, "no", "")),
            ("2|no|why", refused(Rejection::Permanent, "no", "why")),
            ("2|", refused(Rejection::Permanent, "", "")),
            ("3|later|why|more", refused(Rejection::Temporary, "later", "why")),
            ("100", Verdict::Abort),
            ("100|x", Verdict::Abort),
        ] {
            assert_eq!(interpret(line, "a@b"), Some(verdict), "{line}");
        }
        for line in ["", "1", "0", "0|bob", "2", "4|x", "1000|x", " 1|x", "100 ", "ok"] {
            assert_eq!(interpret(line, "a@b"), None, "{line}");
        }
    }
}
