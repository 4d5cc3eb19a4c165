//! The filter `mx:` with a real name server: where each message goes, and what becomes of those that go nowhere.

use std::net::{SocketAddr, UdpSocket};

use crate::routes::{Routing, recipients, route};
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, forward as run};
use crate::support::hop::{Script, ScriptedHop, loopback_host};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::unbound::Unbound;
use crate::support::{PATIENCE, free_port, wait_for};

const ZONES: [&str; 6] = ["one.test", "two.test", "null.test", "nosuch.test", "default.test", "nowhere.test"];

/// `two.test` has no MX record, the better exchanger of `one.test` is not there, and that of `nowhere.test` has no address.
const RECORDS: [&str; 8] = [
    "one.test. 300 IN MX 10 dead.one.test.",
    "one.test. 300 IN MX 20 live.one.test.",
    "dead.one.test. 300 IN A 127.0.0.9",
    "live.one.test. 300 IN A 127.0.0.1",
    "two.test. 300 IN A 127.0.0.1",
    "null.test. 300 IN MX 0 .",
    "default.test. 300 IN A 0.0.0.0",
    "nowhere.test. 300 IN MX 10 gone.nowhere.test.",
];

/// One message for two domains, split when it comes in and routed when it goes out, each part to the exchanger of its domain.
#[test]
fn a_split_message_reaches_the_exchanger_of_each_domain() {
    require!(need::program("unbound"));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Both exchangers are on one port, as those of the world are, on two addresses of this host.
    let (one, port) = {
        let hop = ScriptedHop::start_on(SocketAddr::new(loopback_host(11).into(), 0), Script::well());
        let port = hop.address().port();
        (hop, port)
    };
    let two = ScriptedHop::start_on(SocketAddr::new(loopback_host(12).into(), port), Script::well());
    let records = [
        "one.test. 300 IN MX 10 mx.one.test.",
        "mx.one.test. 300 IN A 127.0.0.11",
        "two.test. 300 IN MX 10 mx.two.test.",
        "mx.two.test. 300 IN A 127.0.0.12",
    ];
    let unbound = Unbound::start(&["one.test", "two.test"], &records, &silent);
    let (spool, usual) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let (split, mx) = (format!("split:{port}"), format!("mx:{}", unbound.arg()));
    let options =
        ["--forward-to", &usual.arg(), "--filter", &split, "--client-filter", &mx, "--filter", "exit:103"];
    let relay = Daemon::server(&spool, &options);
    let recipients = ["a@one.test", "b@two.test", "c@one.test", "d@two.test"];
    SmtpClient::connect(relay.address()).send("x@example.com", &recipients, b"Subject: both\r\n\r\n");
    for (hop, expected) in
        [(&one, ["<a@one.test>", "<c@one.test>"]), (&two, ["<b@two.test>", "<d@two.test>"])]
    {
        let delivery = hop.wait_accepted(1).remove(0);
        assert_eq!(delivery.rcpt, expected);
        assert!(delivery.content.ends_with(b"Subject: both\r\n\r\n"));
    }
    wait_for("empty spool", PATIENCE, || spool.files().is_empty().then_some(()));
    assert_eq!(usual.connections(), 0);
    relay.line("routing-filter [mx:] looking up [one.test]");
}

fn port(hop: &ScriptedHop) -> String {
    hop.arg().rsplit_once(':').unwrap().1.to_owned()
}

#[test]
fn each_domain_has_its_next_hop_and_only_what_is_certain_fails_a_message() {
    require!(need::program("unbound"));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let unbound = Unbound::start(&ZONES, &RECORDS, &silent);
    let [one, two, default] = [0; 3].map(|_| ScriptedHop::start(Script::well()));
    let spool = TempSpool::new();
    for (id, forward_to) in [
        ("one", format!("one.test:{}", port(&one))),
        ("two", format!("somebody@two.test:{}", port(&two))),
        ("literal", format!("[127.0.0.1]:{}", port(&two))),
        ("default", "default.test".to_owned()),
        ("null", "null.test".to_owned()),
        ("nosuch", "nosuch.test".to_owned()),
        ("silent", format!("silent.test:{}", free_port())),
        ("refused", "refused.test".to_owned()),
        ("nowhere", "nowhere.test".to_owned()),
    ] {
        route(&spool, id, &Routing { forward_to: &forward_to, ..Routing::default() });
    }
    let filter = format!("mx:{}", unbound.arg());
    let (code, lines) = run(&spool, &default.arg(), &["--client-filter", &filter, "--filter-timeout", "2"]);
    assert_eq!(code, 75, "{lines:#?}");
    assert_eq!(recipients(&one), ["<one@example.com>"]);
    assert_eq!(recipients(&two), ["<literal@example.com>", "<two@example.com>"]);
    assert_eq!(recipients(&default), ["<default@example.com>"]);

    assert_eq!(spool.bad(), ["nosuch.envelope.bad", "null.envelope.bad"]);
    for (id, reason) in [("nosuch", "mx: nxdomain"), ("null", "mx: domain does not accept mail")] {
        let envelope = spool.envelope(&format!("{id}.envelope.bad"));
        assert_eq!(envelope.first("Reason"), reason, "{id}");
    }
    assert_eq!(spool.ready(), ["nowhere.envelope", "refused.envelope", "silent.envelope"]);
    for (id, word) in [("refused", "rcode 5"), ("nowhere", ""), ("silent", "")] {
        let reason = spool.envelope(&format!("{id}.envelope")).first("Reason").to_owned();
        assert!(reason.starts_with("mx: ") && reason.contains(word), "{id}: {reason}");
    }
}
