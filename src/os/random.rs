//! Unpredictable bytes from the kernel.

/// As many unpredictable bytes as asked for, at most 256, which the kernel always gives in one piece (getrandom(2)).
/// Waits only while the machine is starting.
pub fn bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= 256) };
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += fill(rest);
    }
    bytes
}

/// How many bytes were filled; none when a signal came first.
#[expect(unsafe_code, reason = "neither std nor nix, as we build it, wraps getrandom")]
fn fill(bytes: &mut [u8]) -> usize {
    // SAFETY: the pointer and length are those of a slice that is borrowed mutably for the call.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    usize::try_from(filled).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ() {
        assert_ne!(bytes::<32>(), bytes::<32>());
        assert_eq!(bytes::<0>(), [0_u8; 0]);
        assert!(bytes::<256>().iter().any(|byte| *byte != 0));
    }
}
