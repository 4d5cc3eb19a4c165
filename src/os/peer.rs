//! Who is at the other end of a unix socket, as the kernel knows it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{getsockopt, sockopt};

/// Groups that are asked for; an account may be in up to 65536.
const GROUPS: usize = 65536;

/// The process that connected, as it was at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process id; 0 if that is outside of our view.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group and its further groups.
    pub groups: Vec<u32>,
}

/// The peer of a connected unix socket.
///
/// # Errors
/// It is no unix socket.
pub fn of(socket: &impl AsFd) -> io::Result<Peer> {
    let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
    let mut groups = further_groups(socket)?;
    groups.push(credentials.gid());
    Ok(Peer { pid: credentials.pid(), uid: credentials.uid(), groups })
}

#[expect(unsafe_code, reason = "nix does not know SO_PEERGROUPS")]
fn further_groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let fd = socket.as_fd().as_raw_fd();
    let mut groups = vec![0u32; 64];
    loop {
        let size = groups.len() * size_of::<u32>();
        let mut length = libc::socklen_t::try_from(size).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to `groups`, which has so many, and the length to `length`.
        let result = unsafe {
            libc::getsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result == 0 {
            groups.truncate(usize::try_from(length).unwrap_or(0) / size_of::<u32>());
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || groups.len() >= GROUPS {
            return Err(error);
        }
        groups.resize(GROUPS, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn we_know_ourselves() {
        let (one, _other) = UnixStream::pair().expect("pair");
        let peer = of(&one).expect("peer");
        assert_eq!(u32::try_from(peer.pid).expect("pid"), std::process::id());
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert!(peer.groups.contains(&nix::unistd::getegid().as_raw()));
        for group in nix::unistd::getgroups().expect("groups") {
            assert!(peer.groups.contains(&group.as_raw()));
        }
    }

    #[test]
    fn a_tcp_socket_has_no_such_peer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let stream = std::net::TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        assert!(of(&stream).map_or(true, |peer| peer.pid == 0));
    }
}
