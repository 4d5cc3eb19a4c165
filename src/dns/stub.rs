//! A name server for unit tests: answers over UDP and TCP what the test has put in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// What is said to a question.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// These records; none is "no such record".
    Records(Vec<RData>),
    /// An error code.
    Code(ResponseCode),
    /// Nothing.
    Nothing,
    /// Some bytes that are no answer.
    Bytes(Vec<u8>),
    /// Nothing over UDP but that there is more, and these records over TCP.
    OnlyByTcp(Vec<RData>),
}

/// A running server; gone when dropped. Names that it does not know do not exist.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

type Zone = HashMap<(Name, RecordType), Say>;

impl Stub {
    pub(crate) async fn start(zone: &[(&str, RecordType, Say)]) -> Self {
        let zone: Arc<Zone> =
            Arc::new(zone.iter().map(|(name, kind, say)| ((fqdn(name), *kind), say.clone())).collect());
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let (for_udp, count) = (Arc::clone(&zone), Arc::clone(&asked));
        tasks.spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(reply) = reply(&for_udp, &buffer[..length], false) {
                    udp.send_to(&reply, peer).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                while let Ok(length) = stream.read_u16().await {
                    let mut question = vec![0; usize::from(length)];
                    stream.read_exact(&mut question).await.unwrap();
                    let Some(reply) = reply(&zone, &question, true) else { break };
                    stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
                    stream.write_all(&reply).await.unwrap();
                }
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    /// Questions that came over UDP.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn reply(zone: &Zone, question: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let mut reply = Message::response(question.id, question.op_code);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.recursion_desired = true;
    reply.metadata.recursion_available = true;
    reply.add_query(query.clone());
    let known = zone.keys().any(|(name, _)| name == query.name());
    let say = zone.get(&(query.name().clone(), query.query_type()));
    match say {
        Some(Say::Nothing) => return None,
        Some(Say::Bytes(bytes)) => return Some(bytes.clone()),
        Some(Say::Code(code)) => reply.metadata.response_code = *code,
        Some(Say::OnlyByTcp(_)) if !by_tcp => reply.metadata.truncation = true,
        Some(Say::Records(records) | Say::OnlyByTcp(records)) => {
            for data in records {
                reply.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
            }
        }
        None if known => {}
        None => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    Some(reply.to_vec().unwrap())
}

pub(crate) fn fqdn(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}

/// An address record.
pub(crate) fn a(address: &str) -> RData {
    match address.parse().unwrap() {
        std::net::IpAddr::V4(address) => RData::A(A(address)),
        std::net::IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

/// A mail exchanger.
pub(crate) fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, fqdn(host)))
}

/// Another name.
pub(crate) fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(fqdn(target)))
}
