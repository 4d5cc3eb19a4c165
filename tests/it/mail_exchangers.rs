//! The filter `mx:` with a real name server: where each message goes, and what becomes of those that go nowhere.

use std::net::UdpSocket;

use crate::routes::{Routing, recipients, route};
use crate::support::daemon::forward as run;
use crate::support::free_port;
use crate::support::hop::{Script, ScriptedHop};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::unbound::Unbound;

const ZONES: [&str; 5] = ["one.test", "two.test", "null.test", "nosuch.test", "default.test"];

/// `two.test` has no MX record, and the better exchanger of `one.test` is not there.
const RECORDS: [&str; 7] = [
    "one.test. 300 IN MX 10 dead.one.test.",
    "one.test. 300 IN MX 20 live.one.test.",
    "dead.one.test. 300 IN A 127.0.0.9",
    "live.one.test. 300 IN A 127.0.0.1",
    "two.test. 300 IN A 127.0.0.1",
    "null.test. 300 IN MX 0 .",
    "default.test. 300 IN A 0.0.0.0",
];

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
    assert_eq!(spool.ready(), ["silent.envelope"]);
}
