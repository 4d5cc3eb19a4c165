//! What comes out of answers, and of their absence.

use hickory_resolver::proto::op::ResponseCode;

use super::*;
use crate::dns::stub::{Say, Stub, a, cname};

fn resolver(stub: &Stub) -> Resolver {
    Resolver::new(&[stub.address], Limits { timeout: Duration::from_millis(400), cache: 16 })
}

#[tokio::test]
async fn absence_and_trouble_are_told_apart() {
    let zone = [
        ("there.test", RecordType::A, Say::Records(vec![a("192.0.2.1")])),
        ("six.test", RecordType::AAAA, Say::Records(vec![a("2001:db8::1")])),
        ("fail.test", RecordType::A, Say::Code(ResponseCode::ServFail)),
        ("refused.test", RecordType::A, Say::Code(ResponseCode::Refused)),
        ("silent.test", RecordType::A, Say::Nothing),
        ("short.test", RecordType::A, Say::Bytes(vec![1])),
        ("empty.test", RecordType::A, Say::Bytes(vec![])),
        ("unasked.test", RecordType::A, Say::Bytes(vec![0; 12])),
    ];
    let stub = Stub::start(&zone).await;
    let resolver = resolver(&stub);
    assert_eq!(resolver.ipv4("there.test").await, Ok(vec![Ipv4Addr::new(192, 0, 2, 1)]));
    assert_eq!(resolver.ipv4("THERE.test.").await, Ok(vec![Ipv4Addr::new(192, 0, 2, 1)]));
    assert_eq!(resolver.ipv4("nosuch.test").await, Err(Error::NoSuchName));
    assert_eq!(resolver.ipv4("six.test").await, Err(Error::NoRecord));
    assert_eq!(resolver.ipv4("a..b").await, Err(Error::BadName));
    for name in ["fail.test", "refused.test", "silent.test", "short.test", "empty.test", "unasked.test"] {
        let answer = resolver.ipv4(name).await;
        assert!(matches!(answer, Err(Error::Temporary(_))), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn truncated_answers_are_asked_for_again_by_tcp() {
    let many: Vec<_> = (1..=60).map(|host| a(&format!("192.0.2.{host}"))).collect();
    let stub = Stub::start(&[("many.test", RecordType::A, Say::OnlyByTcp(many))]).await;
    assert_eq!(resolver(&stub).ipv4("many.test").await.map(|found| found.len()), Ok(60));
}

#[tokio::test]
async fn answers_are_cached() {
    let stub = Stub::start(&[("there.test", RecordType::A, Say::Records(vec![a("192.0.2.1")]))]).await;
    let resolver = resolver(&stub);
    for _ in 0..3 {
        assert!(resolver.ipv4("there.test").await.is_ok());
    }
    assert_eq!(stub.asked(), 1);
}

#[tokio::test]
async fn a_loop_of_aliases_ends() {
    let zone = [
        ("a.test", RecordType::A, Say::Records(vec![cname("b.test")])),
        ("b.test", RecordType::A, Say::Records(vec![cname("a.test")])),
    ];
    let stub = Stub::start(&zone).await;
    assert!(resolver(&stub).ipv4("a.test").await.is_err());
    assert!(stub.asked() < 50, "{}", stub.asked());
}

#[tokio::test]
async fn a_dead_server_is_passed_over() {
    let stub = Stub::start(&[("there.test", RecordType::A, Say::Records(vec![a("192.0.2.1")]))]).await;
    let dead = Stub::start(&[]).await.address;
    let limits = Limits { timeout: Duration::from_secs(4), cache: 0 };
    let resolver = Resolver::new(&[dead, stub.address], limits);
    assert_eq!(resolver.ipv4("there.test").await, Ok(vec![Ipv4Addr::new(192, 0, 2, 1)]));
}

#[tokio::test]
async fn both_families_are_found() {
    let zone = [
        ("both.test", RecordType::A, Say::Records(vec![a("192.0.2.1"), a("192.0.2.2")])),
        ("both.test", RecordType::AAAA, Say::Records(vec![a("2001:db8::1")])),
        ("half.test", RecordType::A, Say::Records(vec![a("192.0.2.1")])),
        ("half.test", RecordType::AAAA, Say::Code(ResponseCode::ServFail)),
        ("trouble.test", RecordType::AAAA, Say::Code(ResponseCode::ServFail)),
    ];
    let stub = Stub::start(&zone).await;
    let resolver = resolver(&stub);
    let shown = |found: Vec<IpAddr>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
    let both = resolver.addresses("both.test").await.map(shown);
    assert_eq!(both.unwrap(), ["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
    assert_eq!(resolver.addresses("half.test").await.map(shown).unwrap(), ["192.0.2.1"]);
    assert!(matches!(resolver.addresses("trouble.test").await, Err(Error::Temporary(_))));
    assert_eq!(resolver.addresses("nosuch.test").await, Err(Error::NoSuchName));
}
