//! `emailrelay-queue`: what is in a spool directory, for people and for scripts, and what can be done with it.
//!
//! It works on the directory alone, by the rules of [`crate::spool`], so that it is safe beside whatever program works there,
//! E-MailRelay 2.6 among them. A sub-directory of a spool, or of a delivery directory, is a spool as well.

mod act;
mod check;
mod entry;
mod import;
mod list;
mod options;
mod out;
mod show;

use std::ffi::OsString;
use std::sync::Arc;

use nix::errno::Errno;

use super::site;
use super::words::{self, complain, help, print};
use crate::VERSION;
use crate::log::{self, LogConfig};
use crate::role::sysexits::{DATA, NO_INPUT, NOT_PERMITTED, SYSTEM, TEMPORARY as BUSY, USAGE};
use crate::spool::{ActionError, Spool, SpoolConfig};

pub(super) use entry::each;
#[cfg(any(test, feature = "docs"))]
pub(crate) use options::ABOUT;
#[cfg(feature = "docs")]
pub(crate) use options::COMMANDS;
use options::{Command, Options, Request};
pub(crate) use options::{TABLE, WORDS};

/// Name in messages when the caller gives none.
const PROGRAM: &str = "emailrelay-queue";

/// Exit code of `check` that has found something.
const FOUND: u8 = 1;

/// A run of the program.
struct Run<'a> {
    program: &'a str,
    options: &'a Options,
    spool: Arc<Spool>,
}

/// Runs the program with its whole argument list, the program's name first. Returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.into_iter();
    let program = words::program_name(arguments.next().as_deref(), PROGRAM);
    match options::parse(arguments, site::read) {
        Err(error) => {
            complain(&program, &format!("error: {error}"));
            USAGE
        }
        Ok(Request::Help) => {
            print(&help::text(&program, WORDS, &options::about(), TABLE, words::HelpPart::Full));
            0
        }
        Ok(Request::Version) => {
            print(&format!("{VERSION}\n"));
            0
        }
        Ok(Request::Run(options)) => run(&program, &options),
    }
}

fn run(program: &str, options: &Options) -> u8 {
    // Without a log the outcome still is on standard output.
    let _log = log::init(&LogConfig::of_tool(PROGRAM, program));
    let spool = match Spool::open(&options.spool_dir, SpoolConfig::default()) {
        Ok(spool) => spool,
        Err(error) => {
            complain(program, &error.to_string());
            return if is_permission(error.errno) { NOT_PERMITTED } else { NO_INPUT };
        }
    };
    let run = Run { program, options, spool };
    match options.command {
        Command::List => run.list(),
        Command::Show => run.show(),
        Command::Act(verb) => run.act(verb),
        Command::Import => run.import(),
        Command::Check => run.check(),
    }
}

impl Run<'_> {
    /// The directory cannot be worked on.
    fn fatal(&self, error: &crate::spool::SpoolError) -> u8 {
        complain(self.program, &error.to_string());
        code_of(error.errno)
    }
}

/// The exit code for a message that nothing could be done with.
fn exit_code(error: &ActionError) -> u8 {
    match error {
        ActionError::NoSuchMessage => NO_INPUT,
        ActionError::Busy => BUSY,
        ActionError::NotHeld | ActionError::NotReady | ActionError::Exists | ActionError::Lock { .. } => DATA,
        ActionError::Io { errno, .. } => code_of(*errno),
        ActionError::Spool(error) => code_of(error.errno),
        ActionError::Sync(_) | ActionError::Finish(_) => SYSTEM,
    }
}

fn code_of(errno: Errno) -> u8 {
    if is_permission(errno) { NOT_PERMITTED } else { SYSTEM }
}

fn is_permission(errno: Errno) -> bool {
    matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EROFS)
}
