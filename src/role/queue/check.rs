//! `emailrelay-queue check`.

use serde::Serialize;

use super::out::Output;
use super::{FOUND, Run};
use crate::role::words::shown::shown;
use crate::spool::Problem;

/// So much of a text is shown, in characters.
const MAX_TEXT: usize = 200;

/// A problem in JSON. The names are part of the documented shape.
#[derive(Debug, Serialize)]
struct Found<'a> {
    kind: &'static str,
    id: Option<String>,
    file: &'a str,
    detail: &'a str,
}

impl Run<'_> {
    /// Tells what is wrong.
    pub(super) fn check(&self) -> u8 {
        let mut out = Output::new(self.options.json, "{\"command\":\"check\",\"problems\":[");
        let mut code = 0;
        let checked = self.spool.check_files(self.options.stale_after, &mut |problem| {
            code = FOUND;
            let Problem { kind, id, file, detail } = &problem;
            let id = id.as_ref().map(ToString::to_string);
            out.item(&Found { kind: kind.as_str(), id, file, detail }, || {
                format!("{:<19} {}: {}\n", kind.as_str(), shown(file, usize::MAX), shown(detail, MAX_TEXT))
            });
        });
        if self.options.verbose && code == 0 && checked.is_ok() {
            out.text("nothing is wrong\n");
        }
        out.finish();
        checked.map_or_else(|error| self.fatal(&error), |()| code)
    }
}
