//! What the topics share: spawned programs, scripted and real peers, spools, containers.
#![allow(dead_code, reason = "a toolbox: not every tool is in use all the time")]

pub(crate) mod activate;
pub(crate) mod admin;
pub(crate) mod certs;
pub(crate) mod client;
pub(crate) mod container;
pub(crate) mod daemon;
pub(crate) mod dice;
pub(crate) mod disk;
pub(crate) mod documents;
pub(crate) mod hop;
pub(crate) mod letters;
pub(crate) mod load;
pub(crate) mod name_server;
pub(crate) mod need;
pub(crate) mod network;
pub(crate) mod pop;
pub(crate) mod postfix;
pub(crate) mod relay;
pub(crate) mod rootfs;
pub(crate) mod samples;
pub(crate) mod script;
pub(crate) mod sink;
pub(crate) mod spool;
pub(crate) mod strace;
pub(crate) mod unbound;
pub(crate) mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails; generous, since several test runs may share the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `probe` until it answers, for at most `limit`.
///
/// For conditions of other processes that nothing announces (a file appears, a port opens).
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "not seen within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that was free a moment ago, for peer programs that cannot bind port 0 themselves.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// `127.0.0.1:port`.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The top directory of the package.
pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory with the programs that this test run has built.
pub(crate) fn built() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_emailrelay")).parent().unwrap().to_owned()
}

/// True when the test runs as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
