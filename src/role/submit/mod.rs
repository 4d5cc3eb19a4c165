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
mod options;
mod queue;
mod read;
mod sendmail;
mod socket_store;
mod spool_store;
mod store;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};

use crate::VERSION;
use crate::log::{self, LogConfig};
use crate::os::limits;
use crate::role::words::{self, complain, help, print};

use self::compose::Stamp;
use self::fault::Fault;
#[cfg(any(test, feature = "docs"))]
pub(crate) use self::options::TABLE;
use self::options::{Options, Report, Request};
use self::read::Input;
use self::socket_store::SocketStore;
use self::spool_store::SpoolStore;
use self::store::{Store, StoreFault};

/// Name in messages when the caller gives none.
const PROGRAM: &str = "emailrelay-submit";

/// What follows the program's name, in its help.
pub(crate) const WORDS: &str = "[options] [<envelope-to-address> ...]";
/// What the program is for.
pub(crate) const ABOUT: &str = "Reads a message and puts it in the spool directory, ready to be sent on.";

/// What `--debug` tells: lines on standard error.
struct Trace<'a> {
    program: &'a str,
    level: usize,
}

/// Runs the program with its whole argument list, the program's name first. Returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.into_iter();
    let program = words::program_name(arguments.next().as_deref(), PROGRAM);
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
            print(&help::text(&program, WORDS, ABOUT, options::TABLE, part));
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
    let result = Input::open(options).and_then(|input| match place(options)? {
        Place::Socket(_) if options.copy => Err(Fault::Copy),
        Place::Spool(store) => {
            trace.warnings(store.warning());
            // A message is stored with or without a log.
            let _log = log::init(&LogConfig::of_command(PROGRAM, program));
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
    let spool = SpoolStore::open(&options.spool_dir, options.copy);
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

/// The directory that stands for `@app`.
fn program_directory() -> PathBuf {
    let executable = std::env::current_exe().unwrap_or_default();
    executable.parent().map(Path::to_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests;
