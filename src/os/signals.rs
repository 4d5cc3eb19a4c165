//! What the starting program said about signals.

use std::fs::read_to_string;

/// Is the signal with this number ignored by the process? Asked before a handler is installed, this is what the starting
/// program wanted. False if the system does not tell.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    ignored(&read_to_string("/proc/self/status").unwrap_or_default()) >> (signal - 1) & 1 == 1
}

/// The mask of ignored signals, proc(5).
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_read() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored(""), 0);
        // The standard library ignores SIGPIPE; nobody ignores SIGKILL.
        assert!(is_ignored(libc::SIGPIPE) && !is_ignored(libc::SIGKILL));
    }
}
