//! Listening sockets: made by us, or handed over by systemd.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{
    SocketAddr as UnixAddr, UnixListener as StdUnixListener, UnixStream as StdUnixStream,
};
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr as NixUnixAddr, bind, getsockname,
    getsockopt, listen, setsockopt, socket, sockopt,
};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::net::address::{Credentials, Endpoint};
use crate::net::stream::Stream;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// Mode of a unix-domain socket that we create: its group may connect.
const UNIX_MODE: u32 = 0o770;

/// A bound, listening, not yet registered socket. It can be made before the runtime exists (and before the process
/// goes into the background or gives up root), and becomes a [`Listener`] inside the runtime.
#[derive(Debug)]
pub struct Bound {
    socket: OwnedFd,
    local: Endpoint,
    /// A socket file of ours, removed on drop.
    file: Option<SocketFile>,
    /// Unix-domain peers are asked who they are.
    asks: bool,
    /// Clients begin with a TLS handshake.
    implicit_tls: bool,
}

/// Removes a unix-domain socket that we created when the last user is gone.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nothing to do about a failure: the next start finds the stale file and replaces it.
        let _ = fs::remove_file(&self.0);
    }
}

impl Bound {
    /// Binds a TCP address. IPv6 sockets take IPv6 only, so that `0.0.0.0` and `::` can both be bound.
    ///
    /// # Errors
    /// The error of the system call that failed.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(family, SockType::Stream, flags, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        if address.is_ipv6() {
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
        }
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        Self::listening(fd, None)
    }

    /// Binds a unix-domain socket at `path`. A file that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// The error of the system call that failed; `AddrInUse` if somebody listens there.
    pub fn unix(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
            && StdUnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
        {
            fs::remove_file(path)?;
        }
        let fd = unix_socket(&NixUnixAddr::new(path)?)?;
        let file = SocketFile(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
        Self::listening(fd, Some(file))
    }

    /// Binds an abstract unix-domain socket.
    ///
    /// # Errors
    /// The error of the system call that failed.
    pub fn abstract_unix(name: &str) -> io::Result<Self> {
        Self::listening(unix_socket(&NixUnixAddr::new_abstract(name.as_bytes())?)?, None)
    }

    /// Takes over a socket that was passed in. `listen` is called on it: harmless if it listens already.
    ///
    /// # Errors
    /// The error of the system call that failed, for example when it is not a stream socket.
    pub fn inherited(fd: OwnedFd) -> io::Result<Self> {
        Self::listening(fd, None)
    }

    fn listening(fd: OwnedFd, file: Option<SocketFile>) -> io::Result<Self> {
        listen(&fd, Backlog::new(BACKLOG)?)?;
        let local = local_endpoint(&fd)?;
        if matches!(local, Endpoint::Ip(_)) {
            // Connections inherit it: a peer whose host is gone is noticed also where no idle timeout is set.
            setsockopt(&fd, sockopt::KeepAlive, &true)?;
        }
        Ok(Self { socket: fd, local, file, asks: false, implicit_tls: false })
    }

    /// The same, asking unix-domain peers who they are: their address is then [`Endpoint::Process`].
    #[must_use]
    pub fn asking(self) -> Self {
        Self { asks: true, ..self }
    }

    /// The same for clients that begin with a TLS handshake (RFC 8314).
    #[must_use]
    pub fn with_implicit_tls(self) -> Self {
        Self { implicit_tls: true, ..self }
    }

    /// Whether clients begin with a TLS handshake.
    #[must_use]
    pub fn has_implicit_tls(&self) -> bool {
        self.implicit_tls
    }

    /// Where it listens.
    #[must_use]
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// The network interface that it is bound to, if it is to one (`BindToDevice=`).
    #[must_use]
    pub fn device(&self) -> Option<String> {
        let name = getsockopt(&self.socket, sockopt::BindToDevice).ok()?.into_string().ok()?;
        let name = name.trim_end_matches('\0');
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// Registers the socket with the runtime.
    ///
    /// # Errors
    /// The error of the registration.
    pub fn into_listener(self) -> io::Result<Listener> {
        let Self { socket, local, file, asks, implicit_tls } = self;
        let kind = if matches!(local, Endpoint::Ip(_)) {
            let socket = std::net::TcpListener::from(socket);
            socket.set_nonblocking(true)?;
            Kind::Tcp(TcpListener::from_std(socket)?)
        } else {
            let socket = StdUnixListener::from(socket);
            socket.set_nonblocking(true)?;
            Kind::Unix(UnixListener::from_std(socket)?)
        };
        Ok(Listener { kind, local, asks, implicit_tls, _file: file })
    }
}

fn unix_socket(address: &NixUnixAddr) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    bind(fd.as_raw_fd(), address)?;
    Ok(fd)
}

fn local_endpoint(fd: &OwnedFd) -> io::Result<Endpoint> {
    let name: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    if let Some(v4) = name.as_sockaddr_in() {
        return Ok(Endpoint::Ip(SocketAddr::from((v4.ip(), v4.port()))));
    }
    if let Some(v6) = name.as_sockaddr_in6() {
        return Ok(Endpoint::Ip(SocketAddr::V6((*v6).into())));
    }
    let unix = StdUnixListener::from(fd.try_clone()?).local_addr()?;
    Ok(unix_endpoint(&unix))
}

fn unix_endpoint(address: &UnixAddr) -> Endpoint {
    use std::os::linux::net::SocketAddrExt;
    if let Some(name) = address.as_abstract_name() {
        return Endpoint::Abstract(String::from_utf8_lossy(name).into_owned());
    }
    Endpoint::Unix(address.as_pathname().map(Path::to_owned))
}

/// A listening socket inside the runtime.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    local: Endpoint,
    asks: bool,
    implicit_tls: bool,
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Whether clients begin with a TLS handshake.
    #[must_use]
    pub fn has_implicit_tls(&self) -> bool {
        self.implicit_tls
    }

    /// Where it listens.
    #[must_use]
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// Waits for a connection. Cancel-safe.
    ///
    /// # Errors
    /// The error of `accept`; none of them means that the listener is unusable.
    pub async fn accept(&self) -> io::Result<(Stream, Endpoint)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::from(stream), Endpoint::from(peer)))
            }
            Kind::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = if self.asks { process(&stream)? } else { Endpoint::Unix(None) };
                Ok((Stream::from(stream), peer))
            }
        }
    }
}

/// Who is at the other end.
fn process(stream: &UnixStream) -> io::Result<Endpoint> {
    let peer = stream.peer_cred()?;
    Ok(Endpoint::Process(Credentials { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_is_chosen_by_the_kernel() {
        let bound = Bound::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(bound.local().port(), Some(0));
    }

    #[tokio::test]
    async fn accepted_connections_have_keepalive_and_no_delay() {
        let listener = Bound::tcp("127.0.0.1:0".parse().unwrap()).unwrap().into_listener().unwrap();
        let Endpoint::Ip(address) = listener.local() else { panic!() };
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (Stream::Tcp(stream), _) = listener.accept().await.unwrap() else { panic!() };
        assert!(nix::sys::socket::getsockopt(&stream, sockopt::KeepAlive).unwrap());
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("smtp.s");
        drop(StdUnixListener::bind(&path).unwrap());
        let bound = Bound::unix(&path).unwrap();
        assert_eq!(bound.local().to_string(), path.display().to_string());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o770);
        assert_eq!(Bound::unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_regular_file_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "x").unwrap();
        assert!(Bound::unix(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[tokio::test]
    async fn abstract_and_inherited_sockets_accept() {
        let name = format!("emailrelay-test-{}", std::process::id());
        let bound = Bound::abstract_unix(&name).unwrap();
        assert_eq!(bound.local().to_string(), format!("@{name}"));
        let tcp = Bound::tcp("[::1]:0".parse().unwrap())
            .or_else(|_| Bound::tcp("127.0.0.1:0".parse().unwrap()))
            .unwrap();
        let again = Bound::inherited(tcp.socket).unwrap();
        let Endpoint::Ip(address) = again.local().clone() else { panic!("not an internet address") };
        let listener = again.into_listener().unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let (_stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.port(), client.local_addr().ok().map(|a| a.port()));
    }

    #[tokio::test]
    async fn a_listener_that_asks_knows_its_peers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("submit");
        let listener = Bound::unix(&path).unwrap().asking().into_listener().unwrap();
        let _client = StdUnixStream::connect(&path).unwrap();
        let (_stream, peer) = listener.accept().await.unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        assert_eq!(peer, Endpoint::Process(Credentials { uid, gid, pid: Some(pid) }));
    }
}
