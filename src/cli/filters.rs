//! Values of `--filter` and `--client-filter`.

use super::Environment;
use super::merge::Entries;
use crate::config::filter::{FilterList, Surroundings};

/// The filters that the option `name` names; none without it.
///
/// # Errors
/// A filter that is none, in the words of a usage error.
pub(super) fn of(entries: &Entries, name: &str, env: &Environment) -> Result<Option<FilterList>, String> {
    let Some(entry) = entries.get(name) else { return Ok(None) };
    let around = Surroundings { app_dir: &env.app_dir, cwd: &env.cwd, is_file: &|path| path.is_file() };
    let what = if name == "filter" { "filter" } else { "client filter" };
    let list = FilterList::parse(&entry.value, &around);
    list.map(Some).map_err(|reason| format!("invalid {what} specification: {reason}"))
}
