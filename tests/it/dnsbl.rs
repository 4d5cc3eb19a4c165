//! Clients judged by DNS block lists, which a real name server serves, and one that answers rubbish.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program};
use crate::support::name_server::{Datagram, NameServer, Question};
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
    _unbound: Option<(Unbound, UdpSocket)>,
}

impl Judged {
    fn start(config: &str, more: &[&str]) -> Self {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let unbound = Unbound::start(&ZONES, &RECORDS, &silent);
        let judged = Self::asking(&unbound.arg(), config, more);
        Self { _unbound: Some((unbound, silent)), ..judged }
    }

    /// The same by way of another name server.
    fn asking(server: &str, config: &str, more: &[&str]) -> Self {
        let (spool, dnsbl) = (TempSpool::new(), format!("{config},{server}"));
        let interfaces = format!("{REMOTE},{REMOTE_V6}");
        let daemon = Daemon::server(
            &spool,
            &[&["--remote-clients", "--interface", &interfaces, "--dnsbl", &dnsbl], more].concat(),
        );
        Self { daemon, spool, _unbound: None }
    }

    /// Where it listens on this address; a client that connects there comes from it, too.
    fn address(&self, address: &str, ipv6: bool) -> SocketAddr {
        let shown = if ipv6 { format!("{address}.") } else { format!("{address}:") };
        let line = self.daemon.line(&format!("smtp server on {shown}"));
        let port: u16 = line.rsplit(['.', ':']).next().unwrap().parse().unwrap();
        SocketAddr::new(address.parse().unwrap(), port)
    }

    /// What a client reads that comes from this address.
    fn greeting(&self, address: &str, ipv6: bool) -> String {
        let mut stream = TcpStream::connect(self.address(address, ipv6)).unwrap();
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
fn a_client_may_log_in_before_it_is_judged() {
    require!(missing().into_iter().flatten().next());
    alone(|| {
        let accounts = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&accounts, "server plain bob pass2\nserver none 127.0.0.1 home\n").unwrap();
        let secrets = accounts.path().to_str().unwrap();
        let more = ["--server-smtp-config", "dnsbldefer,dnsblreply", "--server-auth", secrets];
        let judged = Judged::start("deny.test,ok.test,1,2s", &more);
        let mut client = SmtpClient::connect(judged.address(REMOTE, false));
        let refused = client.command("MAIL FROM:<a@example.com>");
        assert_eq!((refused.code, refused.lines[0].as_str()), (554, "blocked using deny.test"));
        judged.daemon.line("dnsbl: client address [203.0.113.5] blocked by [deny.test]");
        assert_eq!(client.command("AUTH PLAIN AGJvYgBwYXNzMg==").code, 235);
        client.send("a@example.com", &["b@example.com"], b"hi\r\n");
        assert_eq!(judged.spool.ready().len(), 1);
        // A trusted one, which was never asked about.
        let mut local = SmtpClient::connect(judged.address("127.0.0.1", false));
        local.send("a@example.com", &["b@example.com"], b"hi\r\n");
        assert!(!judged.daemon.lines().iter().any(|line| line.contains("not checking local address")));
        // Two clients that only look in.
        assert!(judged.remote().starts_with("220 ") && judged.greeting(REMOTE_V6, true).starts_with("220 "));
        let asked = |line: &&String| line.contains("dnsbl: address [");
        let lines = judged.daemon.lines();
        assert_eq!(lines.iter().filter(asked).count(), 2, "{lines:#?}");
    });
}

/// Lists that say all sorts of things that are no listing, each by its first label.
fn rubbish(question: &Question) -> Vec<Vec<u8>> {
    let (listing, list) = (question.answer(1, &[127, 0, 0, 2]), question.name.split('.').nth(4).unwrap());
    let changed = |at: usize, value: u8| {
        let mut bytes = listing.clone();
        bytes[at] = value;
        bytes
    };
    match list {
        "short" => vec![vec![], vec![1], listing[..2].to_vec(), listing[..11].to_vec()],
        "header" => vec![listing[..12].to_vec()],
        "cut" => (13..listing.len()).map(|length| listing[..length].to_vec()).collect(),
        "noise" => (0..100).map(|seed: u8| (0..=255).map(|n| seed.wrapping_mul(89) ^ n).collect()).collect(),
        "echo" => vec![question.echo()],
        // Not the id of the question, its name, its type, its class.
        "wrong" => {
            let end = listing.len() - 16;
            vec![changed(0, !listing[0]), changed(13, b'9'), changed(end - 3, 16), changed(end - 1, 3)]
        }
        // A name that leads to itself, or out of the message.
        "loop" => vec![changed(listing.len() - 15, u8::try_from(listing.len() - 16).unwrap())],
        "beyond" => vec![changed(listing.len() - 16, 0xff)],
        "counts" => vec![[question.response(u16::MAX), listing[listing.len() - 16..].to_vec()].concat()],
        "long" => vec![[question.response(1), vec![0xc0; 60_000]].concat()],
        "length" => vec![question.answer(1, &[127, 0, 0]), question.answer(1, &[127, 0, 0, 2, 2])],
        "deny" => vec![listing],
        _ => vec![],
    }
}

#[test]
fn rubbish_lists_nobody_and_hides_no_listing() {
    require!([need::root(), need::program("ip")].into_iter().flatten().next());
    alone(|| {
        let server = NameServer::start(|question| match question.name.split('.').nth(4) {
            // The listing comes from somebody who was not asked.
            Some("stranger") => {
                let bytes = question.answer(1, &[127, 0, 0, 2]);
                vec![Datagram { bytes, from_elsewhere: true }]
            }
            // Behind what answers no question of ours comes the answer.
            Some("late") => {
                let answer = question.answer(1, &[127, 0, 0, 2]);
                let mut others =
                    [vec![1, 2], b"rubbish, and much of it".to_vec(), answer.clone(), answer.clone()];
                others[1][0] = !answer[0];
                others[2][0] = !answer[0];
                others[3][13] = b'9';
                others.into_iter().chain([answer]).map(Datagram::from).collect()
            }
            _ => rubbish(question).into_iter().map(Datagram::from).collect(),
        });
        let lists = "short.test,header.test,cut.test,noise.test,echo.test,wrong.test,loop.test,beyond.test,\
            counts.test,long.test,length.test,stranger.test";
        let lenient = Judged::asking(&server.arg(), &format!("{lists},1,1s"), &[]);
        assert!(lenient.remote().starts_with("220 "));
        let line = lenient.daemon.line("dnsbl: client address [203.0.113.5]: timeout: no answer from [");
        for list in lists.split(',') {
            assert!(line.contains(&format!("[{list}]")), "{list}: {line}");
        }
        // The log goes on, and so does the service.
        assert!(lenient.local().starts_with("220 "));
        lenient.daemon.line("dnsbl: not checking local address [127.0.0.1]");
        assert!(server.asked() >= 12);
        let strict = Judged::asking(&server.arg(), &format!("{lists},1,-1s"), &[]);
        assert_eq!(strict.remote(), "");
        for list in ["late.test", "deny.test"] {
            let blocking = Judged::asking(&server.arg(), &format!("{list},1,20s"), &[]);
            assert_eq!(blocking.remote(), "", "{list}");
            blocking.daemon.line(&format!("dnsbl: client address [203.0.113.5] blocked by [{list}]"));
        }
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
