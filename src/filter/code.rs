//! Exit codes: what a program, or `exit:`, says by its number.

use super::{Failure, Outcome, Position, Verdict};

/// The outcome of a filter that ended with `code`; `failure` is what it says if that means a refusal.
///
/// | code | server | client | routing |
/// |---|---|---|---|
/// | 0, 101 | ok | ok | ok |
/// | 100 | abandon | abandon | abandon |
/// | 102 | abandon, rescan | ok, break | ok, break |
/// | 103 | ok, rescan | ok | ok |
/// | 104 | fail, rescan | abandon, break | abandon, break |
/// | 105 | fail | fail, break | fail, break |
/// | others | fail | fail | fail |
pub(super) fn outcome(code: u32, position: Position, failure: impl FnOnce() -> Failure) -> Outcome {
    let sends = position != Position::Server;
    let (verdict, flag) = match (code, sends) {
        (0 | 101, _) => (Verdict::Ok, false),
        (103, _) => (Verdict::Ok, !sends),
        (100, _) => (Verdict::Abandon, false),
        (102, false) | (104, true) => (Verdict::Abandon, true),
        (102, true) => (Verdict::Ok, true),
        (104, false) | (105, true) => (Verdict::Fail(failure()), true),
        _ => (Verdict::Fail(failure()), false),
    };
    Outcome { verdict, flag, prepared: Vec::new() }
}
