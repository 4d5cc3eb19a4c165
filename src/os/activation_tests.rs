//! Sockets passed by a service manager, in a process of their own.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;

use nix::fcntl::{FcntlArg, fcntl};

use super::*;
use crate::os::tests::{is_child, rerun};

#[test]
fn nothing_is_taken_without_our_process_id() {
    assert!(take().is_empty());
}

/// The child execs itself through `sh`, which knows its own process id before exec.
#[test]
fn passed_sockets_are_taken_once_with_their_names() {
    if is_child() {
        let sockets = take();
        let names: Vec<_> = sockets.iter().map(|socket| (socket.name.as_str(), socket.number)).collect();
        assert_eq!(names, [("smtp", 3), ("", 4)]);
        for socket in &sockets {
            let flags = fcntl(&socket.fd, FcntlArg::F_GETFD).expect("flags");
            assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        }
        let listener = TcpListener::from(sockets.into_iter().next().expect("first").fd);
        assert!(listener.local_addr().is_ok());
        assert!(take().is_empty(), "a second call finds nothing");
        assert!(std::env::var_os("LISTEN_FDS").is_none());
        return;
    }
    let one = TcpListener::bind("127.0.0.1:0").expect("bind");
    let two = TcpListener::bind("127.0.0.1:0").expect("bind");
    let itself = rerun("os::activation::tests::passed_sockets_are_taken_once_with_their_names");
    let (a, b) = (one.as_raw_fd(), two.as_raw_fd());
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", "export LISTEN_PID=$$; exec \"$@\" 3<&9 4<&8", "sh"])
        .arg(itself.get_program())
        .args(itself.get_args())
        .env("EMAILRELAY_TEST_CHILD", "1")
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "smtp:");
    // SAFETY: dup2 is async-signal-safe.
    #[expect(unsafe_code, reason = "puts the sockets where the child expects them")]
    unsafe {
        command.pre_exec(move || {
            // High numbers first: the sockets of this test may be 8 or 9 themselves.
            libc::dup2(a, 109);
            libc::dup2(b, 108);
            libc::dup2(109, 9);
            libc::dup2(108, 8);
            libc::close(109);
            libc::close(108);
            Ok(())
        });
    }
    let output = command.output().expect("child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_bound_stream_socket_is_duplicated_and_listens() {
    let original = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = original.local_addr().expect("address");
    let copy = raw_fd(original.as_raw_fd()).expect("duplicate");
    assert_ne!(copy.as_raw_fd(), original.as_raw_fd());
    drop(original);
    TcpStream::connect(address).expect("the duplicate keeps listening");

    let directory = tempfile::tempdir().expect("directory");
    let unix = UnixListener::bind(directory.path().join("s")).expect("bind");
    raw_fd(unix.as_raw_fd()).expect("a unix socket is good, too");
}

#[test]
fn other_descriptors_are_refused_by_the_known_texts() {
    let text = |number| raw_fd(number).expect_err("refused").to_string();
    assert_eq!(text(987), "socket error: no bound address on fd 987");
    assert_eq!(text(-1), "socket error: no bound address on fd -1");
    let file = std::fs::File::open("/dev/null").expect("open");
    assert_eq!(text(file.as_raw_fd()), format!("socket error: no bound address on fd {}", file.as_raw_fd()));
    let (unnamed, _peer) = UnixStream::pair().expect("pair");
    assert_eq!(
        text(unnamed.as_raw_fd()),
        format!("socket error: no bound address on fd {}", unnamed.as_raw_fd())
    );
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("bind");
    assert!(
        text(datagrams.as_raw_fd())
            .starts_with("socket error: cannot listen on socket: operation not supported")
    );
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let connected = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    assert_eq!(text(connected.as_raw_fd()), "socket error: cannot listen on socket: invalid argument");
}
