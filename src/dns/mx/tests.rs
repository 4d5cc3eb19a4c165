//! Routes out of the records of a test zone.

use std::time::Duration;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;

use super::*;
use crate::dns::resolver::Limits;
use crate::dns::stub::{Say, Stub, a, cname, mx};

const MX: RecordType = RecordType::MX;
const A: RecordType = RecordType::A;
const AAAA: RecordType = RecordType::AAAA;

fn records(records: &[hickory_resolver::proto::rr::RData]) -> Say {
    Say::Records(records.to_vec())
}

async fn routed(zone: &[(&str, RecordType, Say)], domain: &str) -> Result<Route, MxError> {
    let stub = Stub::start(zone).await;
    let limits = Limits { timeout: Duration::from_millis(400), ..Limits::default() };
    let resolver = Arc::new(Resolver::new(&[stub.address], limits));
    route(&resolver, domain, 25).await
}

fn to(addresses: &[&str]) -> Result<Route, MxError> {
    Ok(Route::Addresses(addresses.iter().map(|address| address.parse().unwrap()).collect()))
}

#[tokio::test]
async fn all_hosts_are_used_in_the_order_of_preference() {
    let zone = [
        ("d.test", MX, records(&[mx(20, "second.test"), mx(10, "first.test"), mx(30, "gone.test")])),
        ("first.test", A, records(&[a("192.0.2.1"), a("192.0.2.2")])),
        ("first.test", AAAA, records(&[a("2001:db8::1")])),
        ("second.test", A, records(&[a("192.0.2.3")])),
    ];
    let expected = ["[2001:db8::1]:25", "192.0.2.1:25", "192.0.2.2:25", "192.0.2.3:25"];
    assert_eq!(routed(&zone, "d.test").await, to(&expected));
}

#[tokio::test]
async fn equals_take_turns() {
    let zone = [
        ("d.test", MX, records(&[mx(10, "one.test"), mx(10, "two.test")])),
        ("one.test", A, records(&[a("192.0.2.1")])),
        ("one.test", AAAA, records(&[a("2001:db8::1")])),
        ("two.test", A, records(&[a("192.0.2.2")])),
        ("two.test", AAAA, records(&[a("2001:db8::2")])),
    ];
    let stub = Stub::start(&zone).await;
    let resolver = Arc::new(Resolver::new(&[stub.address], Limits::default()));
    let mut seen = std::collections::HashSet::new();
    for _ in 0..64 {
        let Ok(Route::Addresses(addresses)) = route(&resolver, "d.test", 25).await else {
            panic!("no route")
        };
        assert_eq!(addresses.len(), 4);
        seen.insert(addresses);
    }
    assert_eq!(seen.len(), 2, "both orders come up");
    assert!(stub.asked() <= 5, "the answers are cached: {}", stub.asked());
}

#[tokio::test]
async fn a_domain_without_mail_exchanger_is_its_own() {
    let zone = [("d.test", A, records(&[a("192.0.2.7")])), ("d.test", AAAA, records(&[a("2001:db8::7")]))];
    assert_eq!(routed(&zone, "d.test").await, to(&["[2001:db8::7]:25", "192.0.2.7:25"]));
}

#[tokio::test]
async fn aliases_are_followed() {
    let zone = [
        ("alias.test", MX, records(&[cname("d.test")])),
        ("d.test", MX, records(&[mx(10, "host.test")])),
        ("host.test", A, records(&[a("192.0.2.1")])),
    ];
    assert_eq!(routed(&zone, "alias.test").await, to(&["192.0.2.1:25"]));
}

#[tokio::test]
async fn only_what_will_never_work_is_permanent() {
    let zone = [
        ("null.test", MX, records(&[mx(0, ".")])),
        ("fail.test", MX, Say::Code(ResponseCode::ServFail)),
        ("refused.test", MX, Say::Code(ResponseCode::Refused)),
        ("silent.test", MX, Say::Nothing),
        ("rubbish.test", MX, Say::Bytes(b"rubbish".to_vec())),
        ("nowhere.test", MX, records(&[mx(10, "gone.test")])),
        ("half.test", MX, records(&[mx(10, "broken.test")])),
        ("broken.test", A, Say::Code(ResponseCode::ServFail)),
    ];
    for (domain, code) in [("null.test", 556), ("nosuch.test", 550), ("a..b", 550), ("[::1]", 550)] {
        let error = routed(&zone, domain).await.unwrap_err();
        assert_eq!(error.permanent_code(), Some(code), "{domain}: {error}");
    }
    for domain in ["fail.test", "refused.test", "silent.test", "rubbish.test", "nowhere.test", "half.test"] {
        let error = routed(&zone, domain).await.unwrap_err();
        assert_eq!(error.permanent_code(), None, "{domain}: {error}");
    }
    let text = |error: MxError| error.to_string();
    assert_eq!(text(routed(&zone, "nosuch.test").await.unwrap_err()), "mx: nxdomain");
    assert_eq!(text(routed(&zone, "null.test").await.unwrap_err()), "mx: domain does not accept mail");
    assert_eq!(text(routed(&zone, "fail.test").await.unwrap_err()), "mx: rcode 2");
}

#[tokio::test]
async fn the_unspecified_address_means_the_default_next_hop() {
    let zone = [("d.test", A, records(&[a("0.0.0.0")])), ("e.test", AAAA, records(&[a("::")]))];
    assert_eq!(routed(&zone, "d.test").await, Ok(Route::Default));
    assert!(matches!(routed(&zone, "e.test").await, Err(MxError::Temporary(_))));
}

#[tokio::test]
async fn hosts_and_addresses_have_a_limit() {
    let hosts: Vec<_> = (0..40).map(|n| mx(n, &format!("h{n}.test"))).collect();
    let names: Vec<String> = (0..40).map(|n| format!("h{n}.test")).collect();
    let mut zone = vec![("d.test", MX, Say::OnlyByTcp(hosts))];
    let two = [a("192.0.2.1"), a("192.0.2.2")];
    zone.extend(names.iter().map(|name| (name.as_str(), A, records(&two))));
    let stub = Stub::start(&zone).await;
    let resolver = Arc::new(Resolver::new(&[stub.address], Limits::default()));
    let Ok(Route::Addresses(addresses)) = route(&resolver, "d.test", 25).await else { panic!("no route") };
    assert_eq!(addresses.len(), MAX_ADDRESSES);
    assert!(stub.asked() < 50, "{}", stub.asked());
}

#[test]
fn forward_to_is_read_as_documented() {
    let domain = |name: &str, port| Target::Domain { name: name.to_owned(), port };
    let literal = |text: &str| Target::Literal(text.parse().unwrap());
    for (text, expected) in [
        ("", Target::None),
        (":25", Target::None),
        ("example.com", domain("example.com", 25)),
        ("example.com:26", domain("example.com", 26)),
        ("user@example.com:26", domain("example.com", 26)),
        ("[1.2.3.4]", literal("1.2.3.4:25")),
        ("[1.2.3.4]:26", literal("1.2.3.4:26")),
        ("[iPv6:::1]:26", literal("[::1]:26")),
        ("[IPv6:::1]", literal("[::1]:25")),
        ("[::1]", domain("[::1]", 25)),
        ("1.2.3.4", domain("1.2.3.4", 25)),
        ("host:", domain("host:", 25)),
        ("host:99999", domain("host:99999", 25)),
        ("bücher.example", domain("xn--bcher-kva.example", 25)),
    ] {
        assert_eq!(Target::parse(text), expected, "{text:?}");
    }
}
