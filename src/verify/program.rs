//! A verifier program: six arguments, an exit code, and up to two lines of output.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Query, TOO_BUSY, answer, refused};
use crate::log::{self, Context, FilterEvent, VerifyEvent};
use crate::program::{Call, Ended, Runner};
use crate::smtp::server::{Rejection, Verdict};

/// Bytes of output that are looked at.
const MAX_OUTPUT: usize = crate::program::MAX_OUTPUT;

/// Exit code of a program that wants the connection closed.
const ABORT: u8 = 100;

/// Text for a client, and reason, when the program did not end in time.
const TIMEOUT: &str = "timeout";

/// Runs the program for one address.
pub(super) async fn ask(
    path: &Path,
    runner: &Runner,
    query: &Query,
    limit: Option<Duration>,
    context: &Context,
) -> Verdict {
    let arguments = query.fields().map(str::to_owned);
    let call = Call {
        program: path.to_owned(),
        arguments: arguments.iter().map(OsString::from).collect(),
        variables: Vec::new(),
        limit,
        // A question that nobody waits for any more is dropped.
        stop: CancellationToken::new(),
        context: context.clone(),
    };
    let event = VerifyEvent::Executing { path: path.display().to_string(), arguments: arguments.to_vec() };
    log::emit(context, &event.into());
    match runner.run(call).await {
        Ended::Exited { code, output } => {
            let text = answer::text(&output);
            log::emit(context, &FilterEvent::Output { text }.into());
            let output = read(&output);
            let event = VerifyEvent::Exit { code, lines: output.lines() };
            // compat: the filter for fail2ban that came with 2.6 would take a client's address in front of these for a failure.
            let is_good = matches!(code, 0 | 1);
            log::emit(&if is_good { context.without_peer() } else { context.clone() }, &event.into());
            interpret(code, output)
        }
        Ended::NotExecuted(reason) | Ended::NotStarted(reason) => {
            log::emit(context, &VerifyEvent::NotStarted { reason }.into());
            refused(Rejection::LocalFault, "error", "exec error")
        }
        Ended::TimedOut => refused(Rejection::Temporary, TIMEOUT, TIMEOUT),
        Ended::Busy => refused(Rejection::LocalFault, TOO_BUSY, "too many addresses are being verified"),
        Ended::Stopped => refused(Rejection::LocalFault, "error", "stopped"),
    }
}

/// The program's output: what stands in its first two lines. A line that is not there is none, not an empty one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Output {
    first: String,
    second: Option<String>,
}

impl Output {
    /// As they are logged: two, whether they are there or not.
    fn lines(&self) -> Vec<String> {
        vec![self.first.clone(), self.second.clone().unwrap_or_default()]
    }
}

/// Cuts the output into lines: blanks and line ends at its end do not count, CR before LF and alone neither.
fn read(output: &[u8]) -> Output {
    let output = output.get(..MAX_OUTPUT).unwrap_or(output);
    let text = answer::text(output).replace('\r', "");
    let mut lines = text.trim_end_matches([' ', '\t', '\n']).split('\n').map(str::to_owned);
    Output { first: lines.next().unwrap_or_default(), second: lines.next() }
}

/// What the exit code and the output mean. Death by a signal is 128 and its number.
fn interpret(exit: u8, output: Output) -> Verdict {
    let Output { first, second } = output;
    let reason = |second: Option<String>| {
        second.filter(|line| !line.is_empty()).unwrap_or_else(|| format!("exit code {exit}"))
    };
    match (exit, second) {
        (0, Some(mailbox)) => Verdict::Local { mailbox, full_name: first },
        (1, Some(address)) => Verdict::Remote { address },
        (3, second) => refused(Rejection::Temporary, &first, &reason(second)),
        (ABORT, _) => Verdict::Abort,
        (_, second) => refused(Rejection::Permanent, &first, &reason(second)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(exit: u8, output: &[u8]) -> Verdict {
        interpret(exit, read(output))
    }

    fn output(first: &str, second: Option<&str>) -> Output {
        Output { first: first.to_owned(), second: second.map(str::to_owned) }
    }

    #[test]
    fn output_is_two_lines() {
        for (text, first, second) in [
            (&b""[..], "", None),
            (b"one", "one", None),
            (b"one\n", "one", None),
            (b"one\n \t\n\n", "one", None),
            (b"one\ntwo", "one", Some("two")),
            (b"one\r\ntwo\r\n", "one", Some("two")),
            (b"o\rne\n\nthree", "one", Some("")),
            (b"\ntwo \t\n", "", Some("two")),
            (b" one \ntwo\nthree", " one ", Some("two")),
            (b"o\xffe\nt\x01o", "o?e", Some("t\x01o")),
        ] {
            assert_eq!(read(text), output(first, second), "{text:?}");
        }
    }

    #[test]
    fn output_ends_after_its_limit() {
        let long = [b"one\n".as_slice(), &[b'x'; 2000]].concat();
        assert_eq!(read(&long).second.map(|line| line.len()), Some(MAX_OUTPUT - 4));
        assert_eq!(read(&[&[b'x'; MAX_OUTPUT][..], b"\ntwo"].concat()).second, None);
    }

    #[test]
    fn every_exit_code_means_what_the_table_says() {
        for exit in 0..=255 {
            let two = verdict(exit, b"line one\nline two\n");
            let one = verdict(exit, b"line one\n");
            let none = verdict(exit, b"");
            let code = format!("exit code {exit}");
            let rejection = if exit == 3 { Rejection::Temporary } else { Rejection::Permanent };
            match exit {
                100 => assert_eq!((&two, &one, &none), (&Verdict::Abort, &Verdict::Abort, &Verdict::Abort)),
                _ => {
                    assert_eq!(one, refused(rejection, "line one", &code), "{exit}");
                    assert_eq!(none, refused(rejection, "", &code), "{exit}");
                }
            }
            let expected = match exit {
                0 => Verdict::Local { mailbox: "line two".to_owned(), full_name: "line one".to_owned() },
                1 => Verdict::Remote { address: "line two".to_owned() },
                100 => Verdict::Abort,
                _ => refused(rejection, "line one", "line two"),
            };
            assert_eq!(two, expected, "{exit}");
        }
    }
}
