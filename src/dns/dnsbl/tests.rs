//! Verdicts out of the answers of test lists.

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::*;
use crate::dns::stub::{Say, Stub, a};

const CLIENT: &str = "5.113.0.203";

fn client() -> IpAddr {
    "203.0.113.5".parse().unwrap()
}

fn answers(records: &[RData]) -> Say {
    Say::Records(records.to_vec())
}

/// Lists of every temper: two that have the client, one that has not, one that does not answer, and odd ones.
async fn lists() -> Stub {
    let name = |list: &str| format!("{CLIENT}.{list}");
    let zone = [
        (name("deny.test"), answers(&[a("127.0.0.2"), a("127.0.0.4")])),
        (name("deny2.test"), answers(&[a("127.0.0.3")])),
        (name("silent.test"), Say::Nothing),
        (name("broken.test"), Say::Code(ResponseCode::ServFail)),
        (name("rubbish.test"), Say::Bytes(vec![0xff; 40])),
        (name("short.test"), Say::Bytes(vec![1, 2])),
        (name("quota.test"), answers(&[a("127.255.255.254")])),
        (name("wild.test"), answers(&[a("198.51.100.1")])),
    ];
    let zone: Vec<_> = zone.iter().map(|(name, say)| (name.as_str(), RecordType::A, say.clone())).collect();
    Stub::start(&zone).await
}

async fn judged(config: &str) -> Verdict {
    let stub = lists().await;
    dnsbl(&stub, config).judge(client()).await
}

fn dnsbl(stub: &Stub, config: &str) -> Dnsbl {
    let settings = Settings { server: Some(stub.address), ..Settings::parse(config).unwrap() };
    Dnsbl::new(settings)
}

fn names(lists: &[&str]) -> Vec<String> {
    lists.iter().map(|list| (*list).to_owned()).collect()
}

#[tokio::test]
async fn the_threshold_decides() {
    let blocked = |lists: &[&str]| Decision::Block(names(lists));
    assert_eq!(judged("deny.test").await.decision, blocked(&["deny.test"]));
    assert_eq!(judged("ok.test").await.decision, Decision::Pass);
    assert_eq!(judged("deny.test,ok.test,2").await.decision, Decision::Pass);
    let both = judged("deny.test,ok.test,deny2.test,2").await;
    assert_eq!(both.decision, blocked(&["deny.test", "deny2.test"]));
    let listed = Finding::Listed(vec![Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 4)]);
    assert_eq!(both.findings[0], ("deny.test".to_owned(), listed));
    assert_eq!(judged("deny.test,deny2.test,0").await.decision, Decision::Pass);
    assert_eq!(judged("deny.test,deny2.test,3").await.decision, Decision::Pass);
}

#[tokio::test]
async fn silence_is_waited_for_only_where_it_matters() {
    let began = Instant::now();
    assert!(judged("silent.test,deny.test,1,60s").await.decision.against().is_some());
    assert_eq!(judged("silent.test,ok.test,2,60s").await.decision, Decision::Pass);
    assert!(began.elapsed() < Duration::from_secs(30), "neither waits for the silent list");
    let silent = names(&["silent.test"]);
    assert_eq!(judged("silent.test,ok.test,1,200").await.decision, Decision::PassUndecided(silent.clone()));
    assert_eq!(judged("silent.test,ok.test,1,-200").await.decision, Decision::BlockUndecided(silent.clone()));
    assert_eq!(judged("silent.test,ok.test,0,-200").await.decision, Decision::PassUndecided(silent));
}

#[tokio::test]
async fn trouble_and_nonsense_never_list_a_client() {
    for list in ["broken.test", "rubbish.test", "short.test", "quota.test"] {
        let verdict = judged(&format!("{list},1,400")).await;
        assert_eq!(verdict.decision, Decision::PassUndecided(names(&[list])), "{verdict:?}");
    }
    assert_eq!(judged("wild.test").await.decision, Decision::Pass);
    let quota = judged("quota.test,1,400").await;
    assert_eq!(quota.findings[0].1, Finding::ListError(vec![Ipv4Addr::new(127, 255, 255, 254)]));
}

#[tokio::test]
async fn verdicts_are_remembered() {
    let stub = lists().await;
    let dnsbl = dnsbl(&stub, "deny.test,ok.test,2");
    for _ in 0..3 {
        assert_eq!(dnsbl.judge(client()).await.decision, Decision::Pass);
    }
    assert!(stub.asked() <= 2, "{}", stub.asked());
    // The same client behind a dual-stack socket.
    dnsbl.judge("::ffff:203.0.113.5".parse().unwrap()).await;
    assert!(stub.asked() <= 2);
}

#[tokio::test]
async fn the_memory_of_verdicts_is_bounded() {
    let stub = Stub::start(&[]).await;
    let dnsbl = dnsbl(&stub, "ok.test");
    for number in 0..u32::try_from(MAX_REMEMBERED).unwrap() + 10 {
        dnsbl.remember(Ipv4Addr::from(number).into(), 0, &Finding::Unlisted);
    }
    assert!(dnsbl.remembered.lock().unwrap().len() <= MAX_REMEMBERED);
}

#[test]
fn addresses_are_asked_for_backwards() {
    assert_eq!(question(client(), "x.org"), "5.113.0.203.x.org");
    let v6 = question("2001:db8:1:2:3:4:567:89ab".parse().unwrap(), "x.org");
    assert_eq!(v6, "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.x.org");
}
