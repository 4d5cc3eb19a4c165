//! A command that takes a message on its standard input: for the tools, where one blocks and nothing else goes on.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A command that takes longer is ended.
const COMMAND_TIME: Duration = Duration::from_secs(120);

/// What a command reads.
#[derive(Debug)]
pub(super) enum Input {
    Text(Vec<u8>),
    /// From where it is read next.
    File(File),
}

/// A command has not taken its input.
#[derive(Debug, thiserror::Error)]
pub(super) enum PipeFault {
    #[error("cannot run {program}: {}", crate::os::reason(.error))]
    Start { program: String, error: io::Error },
    #[error("{program}: {status}")]
    Refused { program: String, status: ExitStatus },
    #[error("{program}: not done after {} s", COMMAND_TIME.as_secs())]
    Late { program: String },
    #[error("cannot wait for a command: {}", crate::os::reason(.0))]
    Wait(#[from] io::Error),
}

/// Runs a command with one more argument behind its own, and waits for it. There is no shell.
///
/// # Errors
/// It could not be run, did not end with 0, or not in time.
pub(super) fn run(words: &[String], last: &str, input: Input) -> Result<(), PipeFault> {
    // The options let none be empty.
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command.args(arguments).arg(last).stdout(Stdio::null());
    let text = match input {
        Input::Text(text) => {
            command.stdin(Stdio::piped());
            Some(text)
        }
        Input::File(file) => {
            command.stdin(Stdio::from(file));
            None
        }
    };
    let mut child = command.spawn().map_err(|error| PipeFault::Start { program: name.clone(), error })?;
    let writer = text.zip(child.stdin.take()).map(|(text, mut stdin)| {
        // One that does not want all of it says so by its exit code.
        thread::spawn(move || stdin.write_all(&text).ok())
    });
    let status = end(child)?;
    // It ends with the last reader; a process that the command has left behind is not waited for.
    drop(writer);
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(PipeFault::Refused { program: name, status }),
        None => Err(PipeFault::Late { program: name }),
    }
}

/// Waits for a child; none if it had to be killed.
fn end(mut child: Child) -> io::Result<Option<ExitStatus>> {
    let pid = child.id();
    let (sender, outcome) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let _ = sender.send(child.wait());
    });
    let waited = outcome.recv_timeout(COMMAND_TIME);
    if waited.is_err() {
        // Not reaped yet, or the waiter had said so: the number is still its own.
        let pid = i32::try_from(pid).unwrap_or(i32::MAX);
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = waiter.join();
    waited.ok().transpose()
}
