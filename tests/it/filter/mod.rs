//! Filters at the server position: what they see, what they say, and what becomes of the message.

mod client;
mod codes;
mod examples;
mod files;
mod load;
mod network;
mod spamd;

use crate::support::client::{Reply, SmtpClient};
use crate::support::daemon::Daemon;
use crate::support::spool::TempSpool;

pub(crate) const CONTENT: &[u8] = b"Subject: test\r\n\r\nhello content\r\n";

/// A server with these filters, and options; every line of its log is kept.
pub(crate) fn server(spool: &TempSpool, filters: &[&str]) -> Daemon {
    let mut args = vec!["--verbose"];
    for filter in filters {
        if !filter.starts_with("--") {
            args.push("--filter");
        }
        args.push(filter);
    }
    Daemon::server(spool, &args)
}

/// Sends one message and returns the reply to it.
pub(crate) fn send(server: &Daemon) -> Reply {
    let mut client = SmtpClient::connect(server.address());
    client.try_send("a@example.com", &["b@example.net", "c@example.org"], CONTENT).unwrap()
}

/// `CODE TEXT`.
pub(crate) fn line(reply: &Reply) -> String {
    format!("{} {}", reply.code, reply.lines.join("|"))
}
