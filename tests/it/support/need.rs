//! What a test needs from the machine: present, or the test is skipped (locally) or fails (in CI).

use std::path::{Path, PathBuf};

/// Returns from the calling test, with a note, when something it needs is missing.
///
/// In CI (`EMAILRELAY_CI=1`) it fails instead: what CI does not run does not count.
macro_rules! require {
    ($($need:expr),+ $(,)?) => {
        if let Some(missing) = [$($need),+].into_iter().flatten().next() {
            assert!(!$crate::support::need::in_ci(), "missing in CI: {missing}");
            eprintln!("SKIPPED {}: no {missing}", module_path!());
            return;
        }
    };
}
pub(crate) use require;

/// True where a missing peer is a failure.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("EMAILRELAY_CI").is_some_and(|value| value == "1")
}

/// For [`require!`]: the name of the program if it is missing.
pub(crate) fn program(name: &str) -> Option<String> {
    find(name).is_none().then(|| name.to_owned())
}

/// For [`require!`]: root, where the test is not run by root.
pub(crate) fn root() -> Option<String> {
    (!super::is_root()).then(|| "root".to_owned())
}

/// For [`require!`]: a file or directory if it is missing.
pub(crate) fn file(path: &str) -> Option<String> {
    (!Path::new(path).exists()).then(|| path.to_owned())
}

/// Where a program is; the sbin directories count although users may not have them in their PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The path of a program that [`require!`] has found.
pub(crate) fn path(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("require!() program {name:?} first"))
}
