//! What a program asks of the kernel, in order, by strace.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::daemon::Program;
use super::{PATIENCE, need, wait_for};

/// Calls that tell the order of storing, answering and removing.
const TRACED: &str = "trace=read,pread64,write,recvfrom,sendto,fdatasync,fsync,renameat,renameat2,unlinkat";

/// A system call that has returned. A call that ends before another begins has had its effect by then.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Its arguments, with the path or socket behind each descriptor, and text as strace writes it.
    pub(crate) args: String,
    /// False for -1.
    pub(crate) worked: bool,
    /// Positions in the order of events.
    pub(crate) begin: usize,
    pub(crate) end: usize,
}

impl Call {
    /// The text between the brackets behind the first argument: a path, or `socket:[inode]`.
    pub(crate) fn target(&self) -> &str {
        self.args.split_once('<').and_then(|(_, rest)| rest.split_once(">")).map_or("", |(target, _)| target)
    }

    /// The number behind `Subject: ` in the data.
    pub(crate) fn subject(&self) -> Option<u64> {
        let (_, rest) = self.args.split_once("\"Subject: ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

/// A trace in the making. The traced program is the child itself; strace is a process beside it.
pub(crate) struct Strace {
    dir: tempfile::TempDir,
}

impl Strace {
    /// `require!(need::program("strace"), need::root())` first.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The program under strace, with further expressions such as `inject=fsync:error=EIO:when=2`; `when` counts for
    /// each thread.
    pub(crate) fn command(&self, program: Program, expressions: &[&str]) -> Command {
        let mut command = Command::new(need::path("strace"));
        command.args(["-D", "-f", "-y", "-s", "100", "-e", TRACED, "-e", "signal=none"]);
        for expression in expressions {
            command.args(["-e", expression]);
        }
        command.arg("-o").arg(self.file()).arg(program.path());
        command
    }

    /// All calls in the order in which they ended, when the program has ended.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let text = wait_for("the end of the trace", PATIENCE, || {
            let text = String::from_utf8_lossy(&fs::read(self.file()).ok()?).into_owned();
            text.lines().last()?.contains("+++ exited with").then_some(text)
        });
        let mut begun: HashMap<&str, (usize, &str)> = HashMap::new();
        let mut calls = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let Some((thread, event)) = line.split_once(' ') else { continue };
            let event = event.trim_start();
            if let Some(start) = event.strip_suffix(" <unfinished ...>") {
                begun.insert(thread, (index, start));
            } else if let Some((_, end)) = event.split_once(" resumed>") {
                if let Some((begin, start)) = begun.remove(thread) {
                    calls.extend(parse(&format!("{start}{end}"), begin, index));
                }
            } else {
                calls.extend(parse(event, index, index));
            }
        }
        calls
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("trace")
    }
}

fn parse(event: &str, begin: usize, end: usize) -> Option<Call> {
    let (name, rest) = event.split_once('(')?;
    let (args, result) = rest.rsplit_once(") = ").or_else(|| rest.rsplit_once(" = "))?;
    let worked = !result.starts_with(['-', '?']);
    Some(Call { name: name.to_owned(), args: args.trim_end().to_owned(), worked, begin, end })
}
