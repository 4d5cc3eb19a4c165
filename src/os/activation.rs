//! Sockets that somebody opened for us: systemd's by `LISTEN_FDS`, and `fd#N`.

use std::env;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use listenfd::ListenFd;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    Backlog, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, listen, sockopt,
};
use thiserror::Error;

use super::errno_reason;

/// Length of the accept queue asked for; the kernel cuts it to `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// More descriptors than this are taken for a broken environment.
const MAX_INHERITED: u32 = 1024;

/// A descriptor passed by systemd, sd_listen_fds(3).
#[derive(Debug)]
pub struct Inherited {
    /// The descriptor, close-on-exec.
    pub fd: OwnedFd,
    /// `FileDescriptorName=` of the socket unit; empty if none was given.
    pub name: String,
    /// Its number, from 3 up.
    pub number: RawFd,
}

/// Takes the descriptors passed by systemd; later calls find none.
///
/// Call this first thing in `main`: it removes `LISTEN_FDS` and `LISTEN_PID` from the environment (through the listenfd
/// crate), so no thread may run yet. `LISTEN_FDNAMES` stays; it means nothing without the others, and programs that we start get
/// an environment of our making. Descriptors meant for another process (`LISTEN_PID` differs or is missing) are left alone.
pub fn take() -> Vec<Inherited> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if !is_for_us() || TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let mut passed = ListenFd::from_env();
    let mut inherited = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or_default();
        if let Ok(Some(number)) = passed.take_raw_fd(index)
            && let Some(fd) = adopt(number)
        {
            inherited.push(Inherited { fd, name, number });
        }
    }
    inherited
}

/// What is wrong with an `fd#N` of `--interface`.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FdError {
    /// Not open, not a socket, or a socket with no address.
    #[error("socket error: no bound address on fd {0}")]
    NotBound(RawFd),
    /// The kernel refuses to listen on it.
    #[error("socket error: cannot listen on socket: {0}")]
    Listen(String),
}

/// A listening socket of our own from the inherited descriptor `number` (`--interface fd#N`).
///
/// The result is a duplicate, so the original stays open for another server that shares the socket; both become close-on-exec.
/// The socket must be bound already; `listen` is called on it.
///
/// # Errors
/// If it is not a bound stream socket, or cannot listen (it is connected, for example).
pub fn raw_fd(number: RawFd) -> Result<OwnedFd, FdError> {
    let fd = borrow(number).ok_or(FdError::NotBound(number))?;
    let kind = getsockopt(&fd, sockopt::SockType).map_err(|_| FdError::NotBound(number))?;
    if !has_address(fd) {
        return Err(FdError::NotBound(number));
    }
    if kind != SockType::Stream {
        return Err(FdError::Listen(errno_reason(Errno::EOPNOTSUPP)));
    }
    let refused = |error| FdError::Listen(errno_reason(error));
    listen(&fd, Backlog::new(BACKLOG).map_err(refused)?).map_err(refused)?;
    close_on_exec(fd).map_err(refused)?;
    fd.try_clone_to_owned().map_err(|error| FdError::Listen(super::reason(&error)))
}

/// `LISTEN_PID` must be there and be ours, as sd_listen_fds(3) demands; listenfd would accept its absence.
fn is_for_us() -> bool {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    number("LISTEN_PID") == Some(process::id())
        && number("LISTEN_FDS").is_some_and(|count| count <= MAX_INHERITED)
}

/// Becomes the owner of an inherited descriptor, if there is one of that number.
#[expect(unsafe_code, reason = "descriptors arrive as numbers")]
fn adopt(number: RawFd) -> Option<OwnedFd> {
    close_on_exec(borrow(number)?).ok()?;
    // SAFETY: `borrow` found it open. systemd made it for this process, nothing else here knows its number, and `take` runs once.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A view of an inherited descriptor that nobody in this process closes.
#[expect(unsafe_code, reason = "descriptors arrive as numbers")]
fn borrow(number: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: F_GETFD only asks whether the number is in use; it has no effect on any descriptor.
    let open = number >= 0 && unsafe { libc::fcntl(number, libc::F_GETFD) } != -1;
    // SAFETY: the descriptor is open (just asked), and inherited ones are never closed by us while we look at them:
    // the callers run at start, in one thread.
    open.then(|| unsafe { BorrowedFd::borrow_raw(number) })
}

fn close_on_exec(fd: BorrowedFd<'_>) -> nix::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map(drop)
}

/// Has the socket a local address: a port, a path or an abstract name?
fn has_address(fd: BorrowedFd<'_>) -> bool {
    let Ok(address) = getsockname::<SockaddrStorage>(fd.as_fd().as_raw_fd()) else { return false };
    if let Some(ip) = address.as_sockaddr_in() {
        return ip.port() != 0;
    }
    if let Some(ip) = address.as_sockaddr_in6() {
        return ip.port() != 0;
    }
    // An unnamed unix socket has nothing but its family.
    address.as_unix_addr().is_some_and(|unix| unix.len() as usize > size_of::<libc::sa_family_t>())
}

#[cfg(test)]
#[path = "activation_tests.rs"]
mod tests;
