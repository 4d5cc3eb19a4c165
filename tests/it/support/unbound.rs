//! A real name server with the zones of a test.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{free_port, need, wait_for};

/// unbound on a loopback port, without access to any other name server; stopped when dropped.
pub(crate) struct Unbound {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Unbound {
    /// Serves these records, in the form of zone files. Other names below the zones do not exist; questions about `refused.test` are
    /// refused, and those about names below `silent.test` are asked of a server that never answers.
    pub(crate) fn start(zones: &[&str], records: &[&str], silent: &UdpSocket) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut text = format!(
            "server:\n interface: 127.0.0.1\n port: {port}\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n \
             use-syslog: no\n pidfile: \"\"\n directory: \"{}\"\n do-not-query-localhost: no\n module-config: \"iterator\"\n",
            dir.path().display()
        );
        // Unbound knows by itself that there is nothing below `test.` (RFC 6761), if it is not told to forget that.
        text.push_str(" local-zone: \"test.\" nodefault\n");
        text.push_str(" local-zone: \"refused.test.\" always_refuse\n");
        for zone in zones {
            let _ = writeln!(text, " local-zone: \"{zone}.\" static");
        }
        for record in records {
            let _ = writeln!(text, " local-data: '{record}'");
        }
        let silent = silent.local_addr().unwrap().port();
        let _ = write!(text, "forward-zone:\n name: \"silent.test.\"\n forward-addr: 127.0.0.1@{silent}\n");
        let _ = write!(text, "remote-control:\n control-enable: no\n");
        let file = dir.path().join("unbound.conf");
        std::fs::write(&file, text).unwrap();
        let child = Command::new(need::path("unbound"))
            .args(["-d", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port, _dir: dir };
        wait_for("unbound", super::PATIENCE, || server.answers().then_some(()));
        server
    }

    /// Its address.
    pub(crate) fn arg(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn answers(&self) -> bool {
        const QUESTION: &[u8] = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x09localhost\0\0\x01\0\x01";
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let asked = socket.send_to(QUESTION, ("127.0.0.1", self.port));
        asked.and_then(|_| socket.recv(&mut [0; 512])).is_ok()
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
