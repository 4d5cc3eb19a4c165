//! Clients judged by DNS block lists, which a real name server serves.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use crate::support::daemon::{Daemon, Program};
use crate::support::need::{self, require};
use crate::support::network::{REMOTE, REMOTE_V6, alone};
use crate::support::spool::TempSpool;
use crate::support::unbound::Unbound;
use crate::support::{PATIENCE, free_port};

const ZONES: [&str; 4] = ["deny.test", "deny2.test", "ok.test", "quota.test"];
const RECORDS: [&str; 4] = [
    "5.113.0.203.deny.test. 60 A 127.0.0.2",
    "5.113.0.203.deny2.test. 60 A 127.0.0.4",
    "5.113.0.203.quota.test. 60 A 127.255.255.254",
    "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.deny.test. 60 A 127.0.0.2",
];

/// A server that asks these lists, by way of a name server with the zones above.
struct Judged {
    daemon: Daemon,
    spool: TempSpool,
    _unbound: Unbound,
    _silent: UdpSocket,
}

impl Judged {
    fn start(config: &str, more: &[&str]) -> Self {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let unbound = Unbound::start(&ZONES, &RECORDS, &silent);
        let (spool, dnsbl) = (TempSpool::new(), format!("{config},{}", unbound.arg()));
        let interfaces = format!("{REMOTE},{REMOTE_V6}");
        let daemon = Daemon::server(
            &spool,
            &[&["--remote-clients", "--interface", &interfaces, "--dnsbl", &dnsbl], more].concat(),
        );
        Self { daemon, spool, _unbound: unbound, _silent: silent }
    }

    /// What a client reads that comes from this address.
    fn greeting(&self, address: &str, ipv6: bool) -> String {
        let shown = if ipv6 { format!("{address}.") } else { format!("{address}:") };
        let line = self.daemon.line(&format!("smtp server on {shown}"));
        let port: u16 = line.rsplit(['.', ':']).next().unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(SocketAddr::new(address.parse().unwrap(), port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(b"QUIT\r\n");
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read);
        String::from_utf8(read).unwrap()
    }

    fn remote(&self) -> String {
        self.greeting(REMOTE, false)
    }

    fn local(&self) -> String {
        self.greeting("127.0.0.1", false)
    }
}

fn missing() -> [Option<String>; 3] {
    [need::root(), need::program("unbound"), need::program("ip")]
}

#[test]
fn a_listed_client_is_cut_off_and_others_are_not_kept_waiting() {
    require!(missing().into_iter().flatten().next());
    alone(|| {
        let judged = Judged::start("deny.test,ok.test,deny2.test,2,2s", &[]);
        assert_eq!(judged.remote(), "");
        judged.daemon.line("dnsbl: client address [203.0.113.5] blocked by [deny.test] [deny2.test]");
        judged.daemon.line("dnsbl: address [203.0.113.5] denied by [deny.test]: 127.0.0.2");
        judged.daemon.line("dnsbl: address [203.0.113.5] allowed by [ok.test]");
        judged.daemon.line(&format!("smtp connection closed: {REMOTE}:"));
        assert!(judged.local().starts_with("220 "));
        judged.daemon.line("dnsbl: not checking local address [127.0.0.1]");
        // Only one of the lists has the IPv6 address.
        assert!(judged.greeting(REMOTE_V6, true).starts_with("220 "));
        // An administrator has stopped the questions.
        std::fs::write(judged.spool.path().join("dnsbl.stop"), "99999999999\n").unwrap();
        assert!(judged.remote().starts_with("220 "));
        std::fs::write(judged.spool.path().join("dnsbl.stop"), "1\n").unwrap();
        assert_eq!(judged.remote(), "");
    });
}

#[test]
fn a_client_may_be_told_why() {
    require!(missing().into_iter().flatten().next());
    alone(|| {
        let judged = Judged::start("deny.test,1,2s", &["--server-smtp-config", "dnsblreply"]);
        assert_eq!(judged.remote(), "554 blocked using deny.test\r\n");
        assert_eq!(judged.greeting(REMOTE_V6, true), "554 blocked using deny.test\r\n");
    });
}

#[test]
fn silence_and_errors_of_lists_let_clients_in_unless_told_otherwise() {
    require!(missing().into_iter().flatten().next());
    alone(|| {
        let lenient = Judged::start("silent.test,1,300", &[]);
        assert!(lenient.remote().starts_with("220 "));
        lenient.daemon.line("dnsbl: client address [203.0.113.5]: timeout: no answer from [silent.test]");
        let quota = Judged::start("quota.test,1,300", &[]);
        assert!(quota.remote().starts_with("220 "));
        quota.daemon.line("dnsbl: address [203.0.113.5] not checked by [quota.test]: error 127.255.255.254");
        let strict = Judged::start("silent.test,1,-300", &[]);
        assert_eq!(strict.remote(), "");
        strict
            .daemon
            .line("dnsbl: client address [203.0.113.5] blocked: timeout: no answer from [silent.test]");
        let watching = Judged::start("deny.test,0,2s", &[]);
        assert!(watching.remote().starts_with("220 "));
        watching.daemon.line("dnsbl: address [203.0.113.5] denied by [deny.test]: 127.0.0.2");
    });
}

#[test]
fn a_service_without_network_says_what_it_needs() {
    require!(need::root());
    alone(|| {
        // In this network there is no way to such an address.
        let (spool, port) = (TempSpool::new(), free_port().to_string());
        let mut service = Daemon::spawn(
            Program::Smtp,
            &["--spool-dir", spool.arg(), "--interface", "127.0.0.1", "--port", &port, "--remote-clients"]
                .into_iter()
                .chain(["--dnsbl", "deny.test,1,2s,198.51.100.1:53"])
                .collect::<Vec<_>>(),
        );
        service.line("--dnsbl needs the network, which the service does not have (network is unreachable)");
        service.line("examples/systemd/network.conf");
        assert_eq!(service.wait().code(), Some(1));
    });
}
