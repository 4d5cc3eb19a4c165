//! `emailrelay-submit`: puts a message from standard input or a file into the spool, with no server in between.
//!
//! Options (`options`) → header and body (`read`) → sender, recipients and messages (`compose`) → spool (`store`).
//! Made to be called by cron, mail programs and scripts: exit codes are those of sysexits, 0 only when the message is
//! durable. It has the caller's rights and no others: who may write the spool, root and its group, does (`spool_store`);
//! for everybody else the SMTP role does, which knows them by the credentials of the connection (`socket_store`).
//!
//! Called as `sendmail`, `mailq` or `newaliases` it is that (`sendmail`, `queue`).

mod compose;
mod fault;
mod help;
mod lex;
mod line_ends;
mod options;
mod queue;
mod read;
mod sendmail;
mod site;
mod socket_store;
mod spool_store;
mod store;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};

use crate::VERSION;
use crate::os::limits;

use self::compose::Stamp;
use self::fault::Fault;
use self::options::{Options, Report, Request};
use self::read::Input;
use self::socket_store::SocketStore;
use self::spool_store::SpoolStore;
use self::store::{Store, StoreFault};

/// Name in messages when the caller gives none.
const PROGRAM: &str = "emailrelay-submit";

/// What `--debug` tells: lines on standard error.
struct Trace<'a> {
    program: &'a str,
    level: usize,
}

/// Runs the program with its whole argument list, the program's name first. Returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.into_iter();
    let program = program_name(arguments.next().as_deref());
    if sendmail::NAMES.contains(&&*program) {
        return sendmail::main(&program, arguments);
    }
    match options::parse(arguments, &program_directory()) {
        Err(errors) => {
            for error in errors.0 {
                complain(&program, &error);
            }
            fault::USAGE
        }
        Ok(Request::Help(part)) => {
            let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
            print(&help::text(&program, part, columns.unwrap_or(help::DEFAULT_WIDTH)));
            0
        }
        Ok(Request::Version) => {
            print(&format!("{VERSION}\n"));
            0
        }
        Ok(Request::Submit(options)) => submit(&program, &options),
    }
}

fn submit(program: &str, options: &Options) -> u8 {
    // Message files are for the owner and the mail group, whatever the caller's mask.
    umask(Mode::S_IRWXO);
    // Every message of a split one is open until the body is read.
    limits::raise_nofile();
    let trace = Trace { program, level: options.debug };
    let stamp = Stamp { now: crate::os::clock::now(), process: std::process::id() };
    let stored = |name: &str| print(&stored_line(options, name));
    let result = check(options).and_then(|()| Input::open(options)).and_then(|input| match place(options)? {
        Place::Spool(store) => {
            trace.warnings(store.warning());
            run(options, input, &store, &stamp, &trace, stored)
        }
        Place::Socket(store) => run(options, input, &store, &stamp, &trace, stored),
    });
    match result {
        Ok(()) => 0,
        Err(fault) => {
            complain(program, &fault.to_string());
            fault.exit_code()
        }
    }
}

/// Where messages go.
enum Place {
    Spool(SpoolStore),
    Socket(SocketStore),
}

/// The socket of the SMTP role, `emailrelay-submit.socket`.
const SOCKET: &str = "/run/emailrelay/submit";

/// The spool directory if it may be written, or is the one that was asked for; else the SMTP role, if it is there.
fn place(options: &Options) -> Result<Place, StoreFault> {
    if let Some(path) = &options.socket {
        return Ok(Place::Socket(SocketStore::new(path)));
    }
    let spool = SpoolStore::open(&options.spool_dir);
    let writable = spool.as_ref().is_ok_and(SpoolStore::is_writable);
    if !writable && !options.spool_named && Path::new(SOCKET).exists() {
        return Ok(Place::Socket(SocketStore::new(Path::new(SOCKET))));
    }
    spool.map(Place::Spool)
}

/// Reads, composes and stores.
fn run<S: Store>(
    options: &Options,
    input: Option<Input>,
    store: &S,
    stamp: &Stamp,
    trace: &Trace<'_>,
    mut stored: impl FnMut(&str),
) -> Result<(), Fault> {
    let (headers, mut body) = read::read(options, input)?;
    let submission = compose::compose(options, headers, stamp)?;
    for note in &submission.notes {
        trace.info(note);
    }
    store::store(store, &submission, &mut body, options.size, &mut |name| {
        trace.debug(&format!("stored: {name}"));
        stored(name);
    })
}

/// Options whose feature is not there must not be ignored.
fn check(options: &Options) -> Result<(), Fault> {
    if options.copy { Err(Fault::Copy) } else { Ok(()) }
}

fn stored_line(options: &Options, name: &str) -> String {
    match options.report {
        Report::Nothing => String::new(),
        Report::Path => format!("{}/{name}\n", options.spool_dir.display()),
        Report::Name => format!("{name}\n"),
    }
}

impl Trace<'_> {
    fn info(&self, text: &str) {
        if self.level > 0 {
            complain(self.program, &format!("info: submit: {text}"));
        }
    }

    fn warnings(&self, texts: impl IntoIterator<Item = String>) {
        for text in texts.into_iter().filter(|_| self.level > 0) {
            complain(self.program, &format!("warning: {text}"));
        }
    }

    fn debug(&self, text: &str) {
        if self.level > 1 {
            complain(self.program, &format!("debug: submit: {text}"));
        }
    }
}

/// The base name that the program was called by.
fn program_name(argument: Option<&OsStr>) -> String {
    let name = argument.and_then(|argument| Path::new(argument).file_name());
    name.map_or_else(|| PROGRAM.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The directory that stands for `@app`.
fn program_directory() -> PathBuf {
    let executable = std::env::current_exe().unwrap_or_default();
    executable.parent().map(Path::to_owned).unwrap_or_default()
}

/// Tells the caller; a caller who does not listen changes nothing about the outcome.
fn complain(program: &str, text: &str) {
    let _ = writeln!(io::stderr(), "{program}: {text}");
}

fn print(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests;
