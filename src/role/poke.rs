//! `emailrelay-poke`: sends one line to the administration port and prints the first line of the answer. For scripts of 1.x,
//! such as those of dial-up connections.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::words::shown::shown;
use super::words::{self, Arguments, HelpPart, Level, Spec, Takes, complain, help, print, spec};
use crate::VERSION;
use crate::config::number;
use crate::role::sysexits::USAGE;

/// Name in messages when the caller gives none.
const PROGRAM: &str = "emailrelay-poke";
/// The administration port of 1.x.
const DEFAULT_PORT: u16 = 10025;
/// What is sent when nothing is said.
const DEFAULT_LINE: &str = "FLUSH";
/// What stands behind every answer, and is none.
const PROMPT: &[u8] = b"E-MailRelay> ";
/// Answers that tell of a failure begin with one of these.
const FAILURES: [&str; 2] = ["error:", "usage:"];
/// A connection takes no longer.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// `flush` is answered when everything has been sent.
const DEFAULT_TIME: Duration = Duration::from_secs(600);
/// More of an answer is not read, in bytes.
const MAX_ANSWER: usize = 4096;

/// Exit code for an answer that tells of a failure, and for none.
const FAILED: u8 = 1;

/// What follows the program's name, in its help.
pub(crate) const WORDS: &str = "[options] [<port>|<socket> [<string>]]";
/// What the program is for.
pub(crate) const ABOUT: &str = "Sends a line to the administration port (default FLUSH to 10025 on this host) and prints the first line of the answer.";

/// Names an option in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opt {
    Help,
    Timeout,
    Version,
}

use Level::Basic;
use Takes::{Nothing, Value};

/// All options, in the order of the help text.
#[rustfmt::skip]
pub(crate) const TABLE: &[Spec<Opt>] = &[
    spec(Opt::Help, 'h', "help", Nothing, Basic, "shows this help"),
    spec(Opt::Timeout, 't', "timeout", Value("time"), Basic, "waits so long for the answer (default 10m)"),
    spec(Opt::Version, 'V', "version", Nothing, Basic, "shows the version"),
];

/// Whom to tell what.
#[derive(Debug, PartialEq, Eq)]
struct Poke {
    to: Address,
    line: String,
    patience: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Address {
    Port(u16),
    Socket(OsString),
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot connect: {}", crate::os::reason(.0))]
    Connect(io::Error),
    #[error("cannot send: {}", crate::os::reason(.0))]
    Send(io::Error),
    #[error("cannot receive: {}", crate::os::reason(.0))]
    Receive(io::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    #[error("the connection was closed without an answer")]
    Closed,
}

/// Runs the program with its whole argument list, the program's name first. Returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.into_iter();
    let program = words::program_name(arguments.next().as_deref(), PROGRAM);
    let arguments = Arguments::new(TABLE, arguments);
    if arguments.has(Opt::Help) {
        print(&help::text(&program, WORDS, ABOUT, TABLE, HelpPart::Full));
        return 0;
    }
    match poke_of(&arguments) {
        Err(error) => {
            complain(&program, &format!("error: {error}"));
            USAGE
        }
        Ok(_) if arguments.has(Opt::Version) => {
            print(&format!("{VERSION}\n"));
            0
        }
        Ok(poke) => match carry_out(&poke) {
            Ok(answer) => {
                print(&format!("{}\n", shown(&answer, usize::MAX)));
                if FAILURES.iter().any(|start| answer.starts_with(start)) { FAILED } else { 0 }
            }
            Err(fault) => {
                complain(&program, &fault.to_string());
                FAILED
            }
        },
    }
}

fn poke_of(arguments: &Arguments<Opt>) -> Result<Poke, String> {
    if !arguments.errors.is_empty() {
        return Err(arguments.errors.join("; "));
    }
    let (to, line) = match arguments.words.as_slice() {
        [] => (None, None),
        [to] => (Some(to), None),
        [to, line] => (Some(to), Some(line.to_string_lossy())),
        _ => return Err("there is one string at most: put it between quotes".to_owned()),
    };
    let line = line.as_deref().unwrap_or(DEFAULT_LINE);
    if line.contains(|c: char| c.is_control()) {
        return Err("the string is one line, without control characters".to_owned());
    }
    let patience = match arguments.value(Opt::Timeout).map(|text| text.to_string_lossy()) {
        None => DEFAULT_TIME,
        Some(text) => number::duration(&text)
            .filter(|time| !time.is_zero())
            .ok_or_else(|| format!("invalid time for --timeout: [{text}]"))?,
    };
    let to = to.map_or(Ok(Address::Port(DEFAULT_PORT)), |to| address(to.clone()))?;
    Ok(Poke { to, line: line.to_owned(), patience })
}

/// A port is a number; the path of a socket has a slash in it.
fn address(word: OsString) -> Result<Address, String> {
    let text = word.to_string_lossy();
    if text.contains('/') {
        return Ok(Address::Socket(word));
    }
    match text.parse() {
        Ok(port) if port > 0 => Ok(Address::Port(port)),
        _ => Err(format!("invalid port, or path without a slash: [{text}]")),
    }
}

/// Sends the line and gives the first line of the answer, which is empty if there is nothing but the prompt.
fn carry_out(poke: &Poke) -> Result<String, Fault> {
    match &poke.to {
        Address::Port(port) => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            let stream = TcpStream::connect_timeout(&address, CONNECT_TIME).map_err(Fault::Connect)?;
            ask(&stream, &stream, poke, |time| stream.set_read_timeout(Some(time)))
        }
        Address::Socket(path) => {
            let stream = UnixStream::connect(path).map_err(Fault::Connect)?;
            ask(&stream, &stream, poke, |time| stream.set_read_timeout(Some(time)))
        }
    }
}

fn ask(
    mut from: impl Read,
    mut to: impl Write,
    poke: &Poke,
    wait_for: impl Fn(Duration) -> io::Result<()>,
) -> Result<String, Fault> {
    to.write_all(format!("{}\r\n", poke.line).as_bytes()).map_err(Fault::Send)?;
    let (end, mut answer) = (Instant::now() + poke.patience, Vec::new());
    let mut chunk = [0; 512];
    loop {
        if let Some(line) = first_line(&answer) {
            return Ok(line);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Fault::Late(poke.patience));
        }
        wait_for(left).map_err(Fault::Receive)?;
        match from.read(&mut chunk) {
            Ok(0) if answer.is_empty() => return Err(Fault::Closed),
            Ok(0) => return Ok(text(&answer)),
            Ok(count) => answer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(Fault::Late(poke.patience));
            }
            Err(error) => return Err(Fault::Receive(error)),
        }
    }
}

/// The first line, once it is complete: at its end, at a prompt in its place, or when it is too long.
fn first_line(answer: &[u8]) -> Option<String> {
    if let Some(end) = answer.iter().position(|byte| *byte == b'\n') {
        return Some(text(answer.get(..end).unwrap_or_default()));
    }
    if answer.starts_with(PROMPT) {
        return Some(String::new());
    }
    (answer.len() >= MAX_ANSWER).then(|| text(answer))
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Poke, String> {
        poke_of(&Arguments::new(TABLE, words.iter().map(OsString::from)))
    }

    #[test]
    fn the_defaults_are_those_of_1_x() {
        let poke = parse(&[]).unwrap();
        assert_eq!((poke.to, poke.line.as_str()), (Address::Port(10025), "FLUSH"));
        let poke = parse(&["-t", "5s", "/run/emailrelay/admin.sock", "notify"]).unwrap();
        assert_eq!(poke.to, Address::Socket("/run/emailrelay/admin.sock".into()));
        assert_eq!((poke.line.as_str(), poke.patience), ("notify", Duration::from_secs(5)));
    }

    #[test]
    fn mistakes_are_named() {
        for (words, error) in [
            (&["0"][..], "invalid port, or path without a slash: [0]"),
            (&["65536"], "invalid port, or path without a slash: [65536]"),
            (&["x"], "invalid port, or path without a slash: [x]"),
            (&["1", "a\nb"], "the string is one line, without control characters"),
            (&["1", "a", "b"], "there is one string at most: put it between quotes"),
            (&["-t", "0"], "invalid time for --timeout: [0]"),
            (&["-d"], "invalid option: \"-d\""),
        ] {
            assert_eq!(parse(words).unwrap_err(), error, "{words:?}");
        }
    }

    #[test]
    fn a_line_ends_at_its_end_or_at_the_prompt() {
        assert_eq!(first_line(b"OK\r\nE-MailRelay> ").as_deref(), Some("OK"));
        assert_eq!(first_line(b"E-MailRelay> ").as_deref(), Some(""));
        assert_eq!(first_line(b"E-MailRel"), None);
        assert_eq!(first_line(&[b'x'; MAX_ANSWER]).map(|line| line.len()), Some(MAX_ANSWER));
    }
}
