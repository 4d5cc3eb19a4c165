//! `emailrelay-multicast`: a filter that gives each sub-directory of the spool its own message, the content shared by hard
//! links.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use nix::sys::stat::{Mode, umask};

use super::super::words::{self, complain, print};
use super::{Fault, locate, original_of};
use crate::filter::filter_copy::{self, ABANDON, Left, copy};
use crate::spool::{CopyStyle, Stage};

/// Name in messages when the caller gives none.
const PROGRAM: &str = "emailrelay-multicast";
/// Exit code for a command line that makes no sense.
const USAGE: u8 = 2;

/// What follows the program's name, in its usage text.
const WORDS: &str = "<content-file> <envelope-file>";
/// What the program is for, in its manual page.
#[cfg(feature = "docs")]
pub(crate) const ABOUT: &str =
    "Copies a message into all sub-directories of its spool directory, as a filter.";

/// Runs `emailrelay-multicast` with its whole argument list, the program's name first. Returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    umask(Mode::S_IRWXO);
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let program = words::program_name(arguments.first().map(OsString::as_os_str), PROGRAM);
    let [_, content, envelope] = arguments.as_slice() else {
        complain("usage", &format!("{program} {WORDS}"));
        return USAGE;
    };
    match multicast(Path::new(content), Path::new(envelope)) {
        Ok(Left::Nothing) => ABANDON,
        Ok(Left::Envelope) | Err(Fault::Message(filter_copy::Fault::NoFolders)) => 0,
        Err(fault) => {
            let content = Path::new(content).display();
            print(&format!("<<multicast failed>>\n<<{program}: {content}: {fault}>>\n"));
            1
        }
    }
}

fn multicast(content: &Path, envelope: &Path) -> Result<Left, Fault> {
    let (spool, id) = locate(content)?;
    let stage = envelope
        .file_name()
        .and_then(OsStr::to_str)
        .and_then(Stage::of_file)
        .ok_or(filter_copy::Fault::Name)?;
    let original = original_of(&spool, &id, stage)?;
    if original.path().file_name() != envelope.file_name() {
        return Err(filter_copy::Fault::Name.into());
    }
    Ok(copy(&original, CopyStyle { hardlink: true, envelope_only: false }, false)?)
}
