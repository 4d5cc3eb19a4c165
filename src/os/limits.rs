//! Resource limits.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Soft and hard limit of open descriptors before [`raise_nofile`].
static AT_START: OnceLock<(u64, u64)> = OnceLock::new();

/// What is assumed when the kernel does not tell.
const FALLBACK: u64 = 1024;

/// Raises the limit of open descriptors to its hard limit and returns what is in force. systemd's default soft limit of 1024 is for programs
/// that use `select`; we do not.
pub fn raise_nofile() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return FALLBACK };
    AT_START.get_or_init(|| (soft, hard));
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// Soft and hard limit of open descriptors as we were started with, for programs that we start: they may be of those that
/// use `select`. None if it was never raised.
pub(super) fn nofile_at_start() -> Option<(u64, u64)> {
    AT_START.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_limit() {
        let limit = raise_nofile();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).expect("limit"), (limit, limit));
    }
}
