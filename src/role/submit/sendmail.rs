//! The command line of `sendmail`, as far as programs use it: what it asks for, in terms of our own options.
//!
//! Letters may be joined, options and recipients mixed; `--` ends the options. What only made sense for the original (its
//! configuration, tracing, delivery notifications) is taken and has no effect, as everywhere else.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use crate::os::{hostname, identity};
use crate::role::site;

use super::fault::{self, Fault};
use super::options::{self, Options, Request};
use super::socket_store::SocketStore;
use super::spool_store::SpoolStore;
use super::{SOCKET, complain, queue, submit};

/// Names that make us what they say; the last is that of a script of older versions.
pub(super) const NAMES: [&str; 4] = ["sendmail", "mailq", "newaliases", "emailrelay-sendmail.pl"];

/// Sender when the caller's account has no name.
const NOBODY: &str = "nobody";

/// Letters without a value.
const FLAGS: &[u8] = b"GintUv";
/// Letters with a value, attached or as the next word.
const VALUES: &[u8] = b"ABbCDFfhLNOopRrVX";
/// Letters with a value only if it is attached: the original's are levels and intervals.
const ATTACHED: &[u8] = b"dq";

/// Runs under one of [`NAMES`]; the arguments are without it. Returns the exit code.
pub(super) fn main(program: &str, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let job = match parse(program, arguments) {
        Ok(job) => job,
        Err(error) => {
            complain(program, &format!("error: {error}"));
            return fault::USAGE;
        }
    };
    let result = plain_options().and_then(|options| match job {
        Job::Send(letter) => Ok(submit(program, &letter.into_options(options))),
        Job::Dialogue => dialogue(&options).map(|()| 0),
        Job::List => queue::print(&SpoolStore::open(&options.spool_dir, false)?).map(|()| 0),
        Job::Flush => SpoolStore::open(&options.spool_dir, false)?.flush().map(|()| 0),
        Job::Nothing => Ok(0),
    });
    result.unwrap_or_else(|fault| {
        complain(program, &fault.to_string());
        fault.exit_code()
    })
}

/// The options of a site, without any of the command line.
fn plain_options() -> Result<Options, Fault> {
    let Ok(Request::Submit(options)) = options::parse([], Path::new("/")) else { return Err(Fault::Options) };
    let site = site::read();
    let spool_dir = site.spool_dir.unwrap_or(options.spool_dir);
    let domain = Some(site.domain.unwrap_or_else(hostname::default_domain));
    Ok(Options { spool_dir, domain, ..*options })
}

impl Letter {
    fn into_options(self, site: Options) -> Options {
        let name = identity::login_name().unwrap_or_else(|| NOBODY.to_owned());
        let full_name = self.full_name.map(|name| name.to_string_lossy().into_owned());
        Options {
            from: Some(self.from.filter(|from| !from.is_empty()).unwrap_or_else(|| name.into())),
            recipients: self.recipients,
            header_recipients: self.from_header,
            dots: self.dots,
            free_form: true,
            add_from: Some(full_name.unwrap_or_default()),
            content_date: true,
            content_message_id: site.domain.clone(),
            ..site
        }
    }
}

/// SMTP between standard input and output and the SMTP role.
fn dialogue(options: &Options) -> Result<(), Fault> {
    let path = options.socket.as_deref().unwrap_or(Path::new(SOCKET));
    let stream = SocketStore::new(path).connect()?;
    let (sender, mut receiver) = (stream.try_clone().map_err(Fault::Read)?, stream);
    receiver.set_read_timeout(None).map_err(Fault::Read)?;
    // Ends with the process: nobody wants to hear what is typed behind the last reply.
    thread::spawn(move || pass_on(sender));
    let mut out = io::stdout();
    io::copy(&mut receiver, &mut out).and_then(|_| out.flush()).map_err(Fault::Read)
}

fn pass_on(mut stream: UnixStream) {
    // The server tells the caller what it did not get.
    let _ = io::copy(&mut io::stdin(), &mut stream);
    let _ = stream.shutdown(Shutdown::Write);
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// A message on standard input.
    Send(Letter),
    /// `-bs`: SMTP on standard input and output.
    Dialogue,
    /// `-bp`, `mailq`: list the spool.
    List,
    /// `-q`: send what waits.
    Flush,
    /// `-bi`, `newaliases`: there are none.
    Nothing,
}

/// A message as the command line describes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Letter {
    /// `-f`, `-r`: envelope sender.
    pub(super) from: Option<OsString>,
    /// `-F`: the sender's name, for a `From` field that is added.
    pub(super) full_name: Option<OsString>,
    /// Recipients on the command line.
    pub(super) recipients: Vec<OsString>,
    /// `-t`: recipients of the header as well.
    pub(super) from_header: bool,
    /// `-i`, `-oi`: a lone dot does not end the message, even on a terminal.
    pub(super) dots: bool,
}

/// Reads a command line, without the program's name.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(program: &str, arguments: impl IntoIterator<Item = OsString>) -> Result<Job, String> {
    let mut parser = Parser { job: default_job(program), letter: Letter::default() };
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        match argument.as_bytes() {
            b"--" => {
                parser.letter.recipients.extend(rest);
                break;
            }
            [b'-', letters @ ..] if !letters.is_empty() => parser.letters(letters, &mut rest)?,
            _ => parser.letter.recipients.push(argument),
        }
    }
    Ok(match parser.job {
        Some(job) => job,
        None => Job::Send(parser.letter),
    })
}

/// What the program does when it is called by another name.
fn default_job(program: &str) -> Option<Job> {
    match program {
        "mailq" => Some(Job::List),
        "newaliases" => Some(Job::Nothing),
        _ => None,
    }
}

struct Parser {
    /// None: send a message.
    job: Option<Job>,
    letter: Letter,
}

impl Parser {
    fn letters(
        &mut self,
        mut letters: &[u8],
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), String> {
        while let Some((&letter, behind)) = letters.split_first() {
            if FLAGS.contains(&letter) {
                self.flag(letter);
                letters = behind;
                continue;
            }
            let next = VALUES.contains(&letter) && behind.is_empty();
            let value = if next { rest.next() } else { Some(OsStr::from_bytes(behind).to_owned()) };
            if !VALUES.contains(&letter) && !ATTACHED.contains(&letter) {
                return Err(format!("invalid option: \"-{}\"", char::from(letter).escape_default()));
            }
            return match value {
                Some(value) => self.value(letter, value),
                None => Err(format!("no value supplied for -{}", char::from(letter))),
            };
        }
        Ok(())
    }

    fn flag(&mut self, letter: u8) {
        match letter {
            b't' => self.letter.from_header = true,
            b'i' => self.letter.dots = true,
            _ => {}
        }
    }

    fn value(&mut self, letter: u8, value: OsString) -> Result<(), String> {
        match letter {
            b'f' | b'r' => self.letter.from = Some(value),
            b'F' => self.letter.full_name = Some(value),
            b'o' if value == "i" => self.letter.dots = true,
            b'b' => return self.mode(&value),
            b'q' => self.job = Some(Job::Flush),
            _ => {}
        }
        Ok(())
    }

    fn mode(&mut self, value: &OsStr) -> Result<(), String> {
        self.job = match value.as_bytes() {
            b"m" => None,
            b"s" => Some(Job::Dialogue),
            b"p" => Some(Job::List),
            b"i" => Some(Job::Nothing),
            b"d" | b"D" => return Err("-bd is for the servers: see emailrelay-smtp.socket".to_owned()),
            _ => return Err(format!("invalid mode: \"-b{}\"", value.to_string_lossy().escape_debug())),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(line: &str) -> Result<Job, String> {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let program = words.next().unwrap();
        parse(program, words.map(OsString::from))
    }

    fn letter(line: &str) -> Letter {
        match job(line) {
            Ok(Job::Send(letter)) => letter,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_and_recipients_mix() {
        let expected = Letter {
            from: Some("me@x".into()),
            full_name: Some("Me".into()),
            recipients: vec!["a@b".into(), "c@d".into(), "-e".into()],
            from_header: true,
            dots: true,
        };
        for line in [
            "sendmail -t -i -f me@x -F Me a@b c@d -- -e",
            "sendmail a@b -ti -fme@x c@d -FMe -- -e",
            "sendmail -it a@b -r me@x -F Me c@d -- -e",
            "sendmail -oi -t -odb -oem -f me@x -FMe -N failure -R hdrs -V id -B 8BITMIME a@b -d8 c@d -- -e",
            "sendmail -o i -tv -G -U -n -O DeliveryMode=b -L tag -X /dev/null -p SMTP -h 1 -A m -C /x -f me@x -FMe a@b c@d -- -e",
        ] {
            assert_eq!(letter(line), expected, "{line}");
        }
    }

    #[test]
    fn only_sendmail_takes_text_without_a_header() {
        let Ok(Request::Submit(site)) = options::parse([], Path::new("/")) else { panic!("no options") };
        assert!(!site.free_form);
        assert!(letter("sendmail a@b").into_options(*site).free_form);
    }

    #[test]
    fn names_and_modes_choose_the_job() {
        for (line, expected) in [
            ("mailq", Job::List),
            ("newaliases", Job::Nothing),
            ("sendmail -bp", Job::List),
            ("sendmail -bi", Job::Nothing),
            ("sendmail -bs", Job::Dialogue),
            ("sendmail -q", Job::Flush),
            ("sendmail -q30m", Job::Flush),
            ("sendmail -bs -bm a", Job::Send(Letter { recipients: vec!["a".into()], ..Letter::default() })),
        ] {
            assert_eq!(job(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, error) in [
            ("sendmail -bd", "-bd is for the servers: see emailrelay-smtp.socket"),
            ("sendmail -bt", "invalid mode: \"-bt\""),
            ("sendmail -Z", "invalid option: \"-Z\""),
            ("sendmail -tZ", "invalid option: \"-Z\""),
            ("sendmail -f", "no value supplied for -f"),
            ("sendmail --help", "invalid option: \"--\""),
        ] {
            assert_eq!(job(line), Err(error.to_owned()), "{line}");
        }
    }
}
