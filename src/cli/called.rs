//! Many programs in one: `emailrelay` is the tool by whose name it is called.
//!
//! Where room is scarce the tools are links to it. Where it is not most are programs of their own, which hold no more code than they
//! need; the two filters of old configurations are always links, by which the server knows them (`filter::filter_copy`).
//!
//! The role programs are not among them: they serve sockets of a service manager, and a link `emailrelay-smtp` may be there for the
//! log of a second server.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::{Program, start};
use crate::role::{copy, notify, passwd, poke, queue, resubmit, submit};

/// Runs a tool with its whole argument list. Returns the exit code.
type Main = fn(&mut dyn Iterator<Item = OsString>) -> u8;

/// The tools by their names.
const TOOLS: [(&str, Main); 12] = [
    ("emailrelay-filter-copy", |arguments| copy::main(arguments)),
    ("emailrelay-multicast", |arguments| copy::multicast_main(arguments)),
    ("emailrelay-notify", |arguments| notify::main(arguments)),
    ("emailrelay-passwd", |arguments| passwd::main(arguments)),
    ("emailrelay-poke", |arguments| poke::main(arguments)),
    ("emailrelay-queue", |arguments| queue::main(arguments)),
    ("emailrelay-resubmit", |arguments| resubmit::main(arguments)),
    ("emailrelay-sendmail.pl", SUBMIT),
    ("emailrelay-submit", SUBMIT),
    ("mailq", SUBMIT),
    ("newaliases", SUBMIT),
    ("sendmail", SUBMIT),
];

const SUBMIT: Main = |arguments| submit::main(arguments);

/// `emailrelay`, or the tool that it is called as. Returns the exit code.
#[must_use]
pub fn main() -> u8 {
    match std::env::args_os().next().as_deref().and_then(tool) {
        Some(tool) => tool(&mut std::env::args_os()),
        None => start::main(Program::Relay),
    }
}

/// The tool of this name, which may be a path and have the extension of a script: `emailrelay-notify.sh` was one.
fn tool(argv0: &OsStr) -> Option<Main> {
    let path = Path::new(argv0);
    let names = [path.file_name(), path.file_stem()];
    let named = TOOLS.iter().find(|(name, _)| names.contains(&Some(OsStr::new(name))));
    let submit = || names[0].and_then(OsStr::to_str).is_some_and(is_submit).then_some(SUBMIT);
    named.map(|(_, tool)| *tool).or_else(submit)
}

/// What 2.6 took for its submission tool: `emailrelay`, any character, `submit`, anything.
fn is_submit(name: &str) -> bool {
    let mut rest = name.strip_prefix("emailrelay").unwrap_or_default().chars();
    rest.next().is_some() && rest.as_str().starts_with("submit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_tool(name: &str) -> bool {
        tool(OsStr::new(name)).is_some()
    }

    #[test]
    fn tools_are_known_with_directory_and_extension() {
        for (name, _) in TOOLS {
            for called in [name.to_owned(), format!("/usr/bin/{name}"), format!("{name}.sh")] {
                assert!(is_tool(&called), "{called}");
            }
        }
        for name in ["emailrelay-submit-2", "emailrelay_submit", "./emailrelay.submitter"] {
            assert!(is_tool(name), "{name}");
        }
    }

    #[test]
    fn every_other_name_is_the_relay() {
        for name in [
            "emailrelay",
            "emailrelay-2",
            "emailrelay-smtp",
            "emailrelaysubmit",
            "emailrelay-resubmit2",
            "",
            "submit",
            "/",
        ] {
            assert!(!is_tool(name), "{name}");
        }
    }
}
