//! Values of `--filter`, `--client-filter` and `--address-verifier`.

use super::Environment;
use super::merge::Entries;
use crate::config::filter::{FilterList, Surroundings};
use crate::config::verifier::{self, VerifierSpec};

/// The filters that the option `name` names; none without it.
///
/// # Errors
/// A filter that is none, in the words of a usage error.
pub(super) fn of(entries: &Entries, name: &str, env: &Environment) -> Result<Option<FilterList>, String> {
    let Some(entry) = entries.get(name) else { return Ok(None) };
    let around = surroundings(env);
    let what = if name == "filter" { "filter" } else { "client filter" };
    let list = FilterList::parse(&entry.value, &around);
    list.map(Some).map_err(|reason| format!("invalid {what} specification: {reason}"))
}

/// The address verifier.
///
/// # Errors
/// It is none, in the words of a usage error.
pub(super) fn verifier(entries: &Entries, env: &Environment) -> Result<VerifierSpec, String> {
    let Some(entry) = entries.get("address-verifier") else { return Ok(VerifierSpec::AcceptAll) };
    let spec = verifier::parse(&entry.value, &surroundings(env));
    spec.map_err(|reason| format!("invalid verifier specification: {reason}"))
}

fn surroundings(env: &Environment) -> Surroundings<'_> {
    Surroundings { app_dir: &env.app_dir, cwd: &env.cwd, is_file: &|path| path.is_file() }
}
