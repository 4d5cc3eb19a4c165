//! `emailrelay-notify`: tells senders what has become of their messages, by delivery status notifications (RFC 3464).
//!
//! A run (`run`) takes each failed message, decides who is to know (`judge`), makes the report, sends it on its way durably
//! (`send`), and only then removes or marks the message: whatever ends the program in between, the report is made once more
//! and none is lost. Messages that are late are told once, and marked. The form of a report is [`crate::message::report`].

mod judge;
mod options;
mod returned;
mod run;
mod send;

use std::ffi::OsString;
use std::sync::Arc;

use nix::sys::stat::{Mode, umask};

use super::site;
use super::words::{self, complain, help, print};
use crate::VERSION;
use crate::log::{self, LogConfig};
use crate::role::sysexits::{TEMPORARY, USAGE};
use crate::spool::{Spool, SpoolConfig};
#[cfg(any(test, feature = "docs"))]
pub(crate) use options::TABLE;
use options::{Options, Request};
use run::Run;
use send::Carrier;

/// Name in messages when the caller gives none.
const PROGRAM: &str = "emailrelay-notify";

/// What follows the program's name, in its help.
pub(crate) const WORDS: &str = "[options] [<spool-dir>]";
/// What the program is for.
pub(crate) const ABOUT: &str = "Reports messages that could not be delivered, or are late, to their senders, and deletes those that have failed.";

/// Runs the program with its whole argument list, the program's name first. Returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.into_iter();
    let program = words::program_name(arguments.next().as_deref(), PROGRAM);
    match options::parse(arguments, site::read) {
        Err(errors) => {
            errors.iter().for_each(|error| complain(&program, error));
            USAGE
        }
        Ok(Request::Help(part)) => {
            print(&help::text(&program, WORDS, ABOUT, options::TABLE, part));
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
    // Message files are for the owner and the mail group, whatever the caller's mask.
    umask(Mode::S_IRWXO);
    // Without a log there still is standard output.
    let _log = log::init(&LogConfig::of_tool(PROGRAM, program));
    let (spool, carrier) = match open(options) {
        Ok(opened) => opened,
        Err(error) => {
            complain(program, &error);
            return 1;
        }
    };
    let now = crate::os::clock::now();
    let mut run = Run { program, options, spool, carrier, now, left: 0, sent: 0 };
    match run.all() {
        Ok(()) if run.left == 0 => 0,
        Ok(()) => TEMPORARY,
        Err(error) => {
            complain(program, &error.to_string());
            TEMPORARY
        }
    }
}

/// The spool to look through, and the way of reports.
fn open(options: &Options) -> Result<(Arc<Spool>, Carrier), String> {
    let open = |path| Spool::open(path, SpoolConfig::default()).map_err(|error| error.to_string());
    let spool = open(&options.spool_dir)?;
    let carrier = match (&options.command, &options.to_spool) {
        (Some(words), _) => Carrier::Command(words.clone()),
        (None, Some(other)) => Carrier::Spool(open(other)?),
        (None, None) => Carrier::Spool(Arc::clone(&spool)),
    };
    Ok((spool, carrier))
}
