//! Whether there is a network at all.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Whether this process may have internet sockets. In the sandbox of most services it may not.
#[must_use]
pub fn is_allowed() -> bool {
    let forbidden = |family| {
        let made = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
        matches!(made, Err(Errno::EAFNOSUPPORT | Errno::EPERM | Errno::EACCES))
    };
    !(forbidden(AddressFamily::Inet) && forbidden(AddressFamily::Inet6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_have_a_network() {
        assert!(is_allowed());
    }
}
