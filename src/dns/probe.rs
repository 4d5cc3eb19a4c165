//! Whether this process may send questions at all.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// A question for the addresses of `localhost` (RFC 1035 section 4.1), which any name server answers from its own knowledge,
/// if it is not too busy (RFC 6761 section 6.3).
const QUESTION: &[u8] = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x09localhost\0\0\x01\0\x01";

/// Whether a question to one of these servers gets out of this process: a sandbox without network forbids it, in one of
/// several ways. The answer is not waited for.
///
/// # Errors
/// Why the last server cannot be asked.
pub fn network(servers: &[SocketAddr]) -> io::Result<()> {
    let mut last = Err(io::ErrorKind::AddrNotAvailable.into());
    for server in servers {
        last = send(*server);
        if last.is_ok() {
            break;
        }
    }
    last
}

fn send(server: SocketAddr) -> io::Result<()> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.send(QUESTION).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_question_gets_out() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        network(&[server.local_addr().unwrap()]).unwrap();
        let mut buffer = [0; 100];
        let (length, _) = server.recv_from(&mut buffer).unwrap();
        let question = hickory_resolver::proto::op::Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(question.queries[0].name().to_ascii(), "localhost.");
    }

    #[test]
    fn without_a_server_there_is_no_way() {
        assert!(network(&[]).is_err());
    }
}
