//! `emailrelay-filter-copy`, which configurations of 2.4 and before name as a filter: what it does with a message, for the program
//! and for the server, which does it without a process where the path leads to a program of ours.
//!
//! Ours is `emailrelay` itself, beside the running program, and links to that are how the filter is installed. Anything else of that
//! name is somebody's own, and is run.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Job, Position};
use crate::program::{Ended, MAX_OUTPUT};
use crate::spool::{CopyStyle, DeliveryError, Folders, MessageId, Original, Spool, Stage};

/// Its name.
const NAME: &str = "emailrelay-filter-copy";
/// The program that it is a link to.
const RELAY: &str = "emailrelay";
/// To the server: the message is gone, and nothing is wrong.
pub const ABANDON: u8 = 100;

/// Why a message was not copied; the texts are those of 2.4.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no content.
    #[error("no such file")]
    NoSuchFile,
    /// Not the name of a message's content.
    #[error("invalid filename")]
    Name,
    /// There is no envelope to be copied.
    #[error("no envelope file \"{}\"", .0.display())]
    NoEnvelope(PathBuf),
    /// There is nothing to copy into.
    #[error("no sub-directories to copy into: check permissions")]
    NoFolders,
    /// No copy is left behind.
    #[error("failed to copy envelope file {} into the \"{folder}\" sub-directory: {error}", path.display())]
    Copy {
        /// The original.
        path: PathBuf,
        /// Where it could not be copied into.
        folder: String,
        /// Why.
        error: DeliveryError,
    },
}

/// What has become of the original.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    /// It is removed.
    Nothing,
    /// It is copied, and still there.
    Envelope,
}

/// The id of a message by its content file, in whose name 2.4 put `envelope` in the place of the one `content`.
///
/// # Errors
/// There is no such file, or it is not the content of a message.
pub fn id_of(content: &Path) -> Result<MessageId, Fault> {
    if !content.exists() {
        return Err(Fault::NoSuchFile);
    }
    let name = content.file_name().and_then(OsStr::to_str).ok_or(Fault::Name)?;
    let once = name.matches("content").count() == 1;
    MessageId::of_content_file(name).filter(|_| once).ok_or(Fault::Name)
}

/// Copies into all sub-directories, then removes the original.
///
/// # Errors
/// There is no copy, and the original is as it was.
pub fn copy(original: &Original, style: CopyStyle, keep_content: bool) -> Result<Left, Fault> {
    let failed = |error: DeliveryError| Fault::Copy {
        path: original.path(),
        folder: error.folder().unwrap_or_default(),
        error,
    };
    let copies = original.copy(Folders::All, style).map_err(failed)?;
    if copies.to.is_empty() {
        return Err(Fault::NoFolders);
    }
    copies.publish().map_err(failed)?;
    Ok(original.remove(keep_content).map_or(Left::Envelope, |()| Left::Nothing))
}

/// The exit code and the output that the server is told the outcome by.
pub fn told<E: std::fmt::Display>(result: Result<Left, E>) -> (u8, String) {
    match result {
        Ok(Left::Nothing) => (ABANDON, String::new()),
        Ok(Left::Envelope) => (0, String::new()),
        // The first is for the client, the second for the log.
        Err(fault) => (1, format!("<<filter failed>>\n<<filter error: {fault}>>\n")),
    }
}

/// Does what the program would do, if `path` is ours and there is a new message.
pub(super) async fn run(spool: &Arc<Spool>, path: &Path, job: &Job) -> Option<Ended> {
    if job.position != Position::Server || path.file_name() != Some(OsStr::new(NAME)) {
        return None;
    }
    let (spool, path, content) = (Arc::clone(spool), path.to_owned(), job.content.clone());
    let done = spawn_blocking(move || {
        let (code, output) = is_ours(&path).then(|| told(copy_new(&spool, &content)))?;
        let mut output = output.into_bytes();
        output.truncate(MAX_OUTPUT);
        Some(Ended::Exited { code, output })
    });
    done.await.ok().flatten()
}

fn copy_new(spool: &Spool, content: &Path) -> Result<Left, Fault> {
    let id = id_of(content)?;
    let original = spool.original(&id, Stage::New);
    let original =
        original.map_err(|_| Fault::NoEnvelope(Original::envelope_path(spool, &id, Stage::New)))?;
    copy(&original, CopyStyle { envelope_only: true, ..CopyStyle::default() }, true)
}

/// Looked at each time: somebody may have put a script there.
fn is_ours(path: &Path) -> bool {
    let Ok(running) = std::env::current_exe() else { return false };
    let same = |own: &Path| match (fs::metadata(own), fs::metadata(path)) {
        (Ok(own), Ok(other)) => (own.dev(), own.ino()) == (other.dev(), other.ino()),
        _ => false,
    };
    same(&running.with_file_name(RELAY))
}
