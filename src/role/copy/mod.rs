//! Programs that copy a message into all sub-directories of its spool, for configurations of older versions that name
//! them as filters: `emailrelay-filter-copy` (2.4 and before) and `emailrelay-multicast` (`multicast`).
//!
//! Both do what `copy:` does by the same means, so that all sub-directories get the message or none. They differ from it
//! in the sub-directories that count (all of them, `postmaster` and those with a dot in front too) and in that having none is a
//! failure for the first.

mod multicast;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::stat::{Mode, umask};

use super::words::{self, Arguments, HelpPart, Level, Spec, Takes, complain, help, print, spec};
use crate::filter::filter_copy::{self, Left, copy, told};
use crate::spool::{CopyStyle, LockedMessage, MessageId, Original, Spool, SpoolConfig, Stage};
#[cfg(feature = "docs")]
pub(crate) use multicast::ABOUT as MULTICAST_ABOUT;
pub use multicast::main as multicast_main;

/// Name in messages when the caller gives none.
const PROGRAM: &str = "emailrelay-filter-copy";
/// Files of ours, by the beginning of their names.
const PREFIX: &str = "emailrelay";

/// What follows the program's name, in its help.
pub(crate) const WORDS: &str = "<content-file> | [-v] -d <spool-dir>";
/// What the program is for.
pub(crate) const ABOUT: &str = "Copies the envelope of a message into all sub-directories of its spool directory, as a filter, or of all messages that wait.";

/// Names an option in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opt {
    SpoolDir,
    Help,
    Verbose,
}

use Level::Basic;
use Takes::{Nothing, Value};

/// All options, in the order of the help text.
#[rustfmt::skip]
pub(crate) const TABLE: &[Spec<Opt>] = &[
    spec(Opt::SpoolDir, 'd', "spool-dir", Value("dir"), Basic, "copies all messages of this spool directory"),
    spec(Opt::Help, 'h', "help", Nothing, Basic, "shows this help, and ends with exit code 1"),
    spec(Opt::Verbose, 'v', "verbose", Nothing, Basic, "tells what is copied"),
];

/// Why a message was not copied; the texts are those of 2.4.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("usage error: must be run by emailrelay with the full path of a message content file")]
    Usage,
    #[error("usage error: {0}")]
    Option(String),
    #[error(transparent)]
    Message(#[from] filter_copy::Fault),
    #[error("{0}")]
    Spool(String),
}

/// Runs `emailrelay-filter-copy` with its whole argument list, the program's name first. Returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    umask(Mode::S_IRWXO);
    let mut arguments = arguments.into_iter();
    let program = words::program_name(arguments.next().as_deref(), PROGRAM);
    let arguments = Arguments::new(TABLE, arguments);
    if arguments.has(Opt::Help) {
        print(&help::text(&program, WORDS, ABOUT, TABLE, HelpPart::Full));
        return 1;
    }
    if let Some(directory) = arguments.value(Opt::SpoolDir).filter(|_| arguments.errors.is_empty()) {
        return copy_all(&program, Path::new(directory), arguments.has(Opt::Verbose));
    }
    let (code, output) = told(filter(&arguments));
    print(&output);
    code
}

/// As a filter: one message.
fn filter(arguments: &Arguments<Opt>) -> Result<Left, Fault> {
    if let Some(error) = arguments.errors.first() {
        return Err(Fault::Option(error.clone()));
    }
    let content = Path::new(arguments.words.first().ok_or(Fault::Usage)?);
    let (spool, id) = locate(content)?;
    let style = CopyStyle { envelope_only: true, ..CopyStyle::default() };
    match spool.original(&id, Stage::New) {
        Ok(original) => Ok(copy(&original, style, true)?),
        // Run by hand on a message that waits.
        Err(_) => match lock(&spool, &id)? {
            Some(_locked) => Ok(copy(&original_of(&spool, &id, Stage::Locked)?, style, true)?),
            None => {
                let path = Original::envelope_path(&spool, &id, Stage::New);
                Err(filter_copy::Fault::NoEnvelope(path).into())
            }
        },
    }
}

/// The spool and id of a content file.
fn locate(content: &Path) -> Result<(Arc<Spool>, MessageId), Fault> {
    let id = filter_copy::id_of(content)?;
    let directory = content.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((open(directory)?, id))
}

fn open(directory: &Path) -> Result<Arc<Spool>, Fault> {
    Spool::open(directory, SpoolConfig::default()).map_err(|error| Fault::Spool(error.to_string()))
}

fn lock(spool: &Spool, id: &MessageId) -> Result<Option<LockedMessage>, Fault> {
    spool.lock(id).map_err(|error| Fault::Spool(error.to_string()))
}

fn original_of(spool: &Spool, id: &MessageId, stage: Stage) -> Result<Original, Fault> {
    spool.original(id, stage).map_err(|error| Fault::Spool(error.to_string()))
}

/// `-d`: all messages that wait and have names of ours.
fn copy_all(program: &str, directory: &Path, verbose: bool) -> u8 {
    let listed = open(directory).and_then(|spool| match spool.waiting() {
        Ok(waiting) => Ok((spool, waiting)),
        Err(error) => Err(Fault::Spool(error.to_string())),
    });
    let (spool, waiting) = match listed {
        Ok(listed) => listed,
        Err(fault) => {
            complain(program, &fault.to_string());
            return 1;
        }
    };
    let mut code = 0;
    for id in waiting.into_iter().map(|message| message.id).filter(|id| id.to_string().starts_with(PREFIX)) {
        match copy_waiting(&spool, &id) {
            Ok(None) => {}
            Ok(Some(path)) if verbose => {
                print(&format!("copied: {} {}\n", path.display(), directory.display()));
            }
            Ok(Some(_)) => {}
            Err(fault) => {
                code = 1;
                if verbose {
                    print(&format!("failed: {id}\n"));
                }
                complain(program, &fault.to_string());
            }
        }
    }
    code
}

/// None: somebody else has the message.
fn copy_waiting(spool: &Spool, id: &MessageId) -> Result<Option<PathBuf>, Fault> {
    let Some(_locked) = lock(spool, id)? else { return Ok(None) };
    let original = original_of(spool, id, Stage::Locked)?;
    let style = CopyStyle { envelope_only: true, ..CopyStyle::default() };
    match copy(&original, style, true)? {
        Left::Nothing => Ok(Some(spool.content_path(id))),
        Left::Envelope => Err(Fault::Spool(format!("{id}: copied, but not removed"))),
    }
}
