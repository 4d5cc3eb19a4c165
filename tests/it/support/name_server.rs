//! A name server that says what a test wants, and mostly rubbish.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A question as it came.
pub(crate) struct Question {
    bytes: Vec<u8>,
    /// The name that is asked for, without the last dot.
    pub(crate) name: String,
}

/// A datagram that goes back.
pub(crate) struct Datagram {
    pub(crate) bytes: Vec<u8>,
    /// It comes from a port of which nothing was asked.
    pub(crate) from_elsewhere: bool,
}

impl From<Vec<u8>> for Datagram {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, from_elsewhere: false }
    }
}

/// Bytes of the header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;

impl Question {
    fn read(bytes: &[u8]) -> Self {
        let (mut name, mut at) = (String::new(), HEADER);
        while bytes[at] > 0 {
            let label = &bytes[at + 1..][..usize::from(bytes[at])];
            name =
                format!("{name}{}{}", if name.is_empty() { "" } else { "." }, String::from_utf8_lossy(label));
            at += 1 + label.len();
        }
        // Without what stands behind the question itself (EDNS).
        let mut bytes = bytes[..at + 5].to_vec();
        bytes[6..HEADER].fill(0);
        Self { bytes, name }
    }

    /// A response as it should be, with this record of class IN, whatever its type and contents.
    pub(crate) fn answer(&self, kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = self.response(1);
        bytes.extend([0xc0, 0x0c]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
        bytes
    }

    /// Header and question of a response that says it has so many records.
    pub(crate) fn response(&self, records: u16) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[2..4].copy_from_slice(&[0x81, 0x80]);
        bytes[6..8].copy_from_slice(&records.to_be_bytes());
        bytes
    }

    /// The question itself.
    pub(crate) fn echo(&self) -> Vec<u8> {
        self.bytes.clone()
    }
}

/// A running server on a loopback port, over UDP alone; stopped when dropped.
pub(crate) struct NameServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// A server that sends what `answer` makes of each question.
    pub(crate) fn start(answer: impl Fn(&Question) -> Vec<Datagram> + Send + 'static) -> Self {
        let [own, elsewhere] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let address = own.local_addr().unwrap();
        let (asked, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        own.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (count, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, peer)) = own.recv_from(&mut buffer) else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                for datagram in answer(&Question::read(&buffer[..length])) {
                    let socket = if datagram.from_elsewhere { &elsewhere } else { &own };
                    // The one who asked may have gone.
                    let _ = socket.send_to(&datagram.bytes, peer);
                }
            }
        });
        Self { address, asked, stop, thread: Some(thread) }
    }

    /// Its address.
    pub(crate) fn arg(&self) -> String {
        self.address.to_string()
    }

    /// How many questions have come.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
