//! The sockets and connections of an instance, for the administrator who asks what is going on.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::admin::Notice;
use crate::config::address::Remote;
use crate::net::address::Endpoint;

/// Facts that may wait to be told. More at once are dropped: nobody reads that fast.
const WAITING: usize = 1024;

/// Something that this process has done, with its place among the changes of the spool directory.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What is told.
    pub notice: Notice,
    /// It follows upon changes of the directory that are to be told first.
    pub after_changes: bool,
}

/// Counts and names what is listened on, what has come in, and what goes out.
#[derive(Debug)]
pub struct Ledger {
    book: Mutex<Book>,
    facts: Sender<Fact>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    listen: Lines,
    incoming: Lines,
    outgoing: Lines,
}

#[derive(Debug, Default)]
struct Lines {
    /// What is open, by number.
    open: BTreeMap<u64, String>,
    started: u64,
}

/// What a line of the ledger is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Listen,
    In,
    Out,
}

impl Page {
    fn word(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// A socket or connection that exists until this value goes.
#[derive(Debug)]
pub struct Entry {
    ledger: Arc<Ledger>,
    page: Page,
    number: u64,
}

impl Ledger {
    /// An empty ledger, and the facts that it will tell.
    #[must_use]
    pub fn new() -> (Arc<Self>, Receiver<Fact>) {
        let (facts, told) = channel(WAITING);
        (Arc::new(Self { book: Mutex::default(), facts }), told)
    }

    /// A listening socket.
    #[must_use]
    pub fn listening(self: &Arc<Self>, address: &Endpoint) -> Entry {
        self.begin(Page::Listen, address.to_string())
    }

    /// An accepted connection.
    #[must_use]
    pub fn incoming(self: &Arc<Self>, local: &Endpoint, peer: &Endpoint) -> Entry {
        self.begin(Page::In, format!("{local} <- {peer}"))
    }

    /// A connection that is about to be made.
    #[must_use]
    pub fn outgoing(self: &Arc<Self>, target: &Remote) -> Entry {
        let (stage, name) = match target {
            Remote::Ip(address) => ("connecting", Endpoint::from(*address).to_string()),
            Remote::Host { host, port } => ("resolving", format!("{host}/{port}/ip")),
            other => ("connecting", other.to_string()),
        };
        let entry = self.begin(Page::Out, format!("- -> ({name})"));
        self.tell(Notice::classic(&["client", stage, &name]), false);
        entry
    }

    /// Tells a fact, after those that it follows from.
    pub fn tell(&self, notice: Notice, after_changes: bool) {
        let _ = self.facts.try_send(Fact { notice, after_changes });
    }

    /// Tells many things at once, and waits while more are waiting to be told than may. Blocks.
    pub fn tell_all(&self, notices: impl Iterator<Item = Notice>) {
        for notice in notices {
            // Who tells them has gone: the program stops.
            if self.facts.blocking_send(Fact { notice, after_changes: true }).is_err() {
                return;
            }
        }
    }

    /// The lines of `status`, as E-MailRelay 2.6 has them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let book = self.lock();
        let mut lines: Vec<String> =
            book.listen.open.values().map(|address| format!("LISTEN: {address}")).collect();
        for (Lines { open, started }, word) in [(&book.outgoing, "OUT"), (&book.incoming, "IN")] {
            lines.push(format!("{word} started: {started}"));
            lines.push(format!("{word} finished: {}", started - open.len() as u64));
            lines.extend(open.values().map(|text| format!("{word}: {text}")));
        }
        lines
    }

    fn begin(self: &Arc<Self>, page: Page, text: String) -> Entry {
        let mut book = self.lock();
        let number = book.next;
        book.next += 1;
        let lines = book.page(page);
        lines.started += 1;
        lines.open.insert(number, text);
        drop(book);
        self.tell(Notice::classic(&["network", page.word(), "start"]), false);
        Entry { ledger: Arc::clone(self), page, number }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn page(&mut self, page: Page) -> &mut Lines {
        match page {
            Page::Listen => &mut self.listen,
            Page::In => &mut self.incoming,
            Page::Out => &mut self.outgoing,
        }
    }
}

impl Entry {
    /// The connection is made.
    pub fn connected(&self, local: Option<impl Display>, peer: &impl Display) {
        let local = local.map_or_else(|| "-".to_owned(), |local| local.to_string());
        let text = format!("{local} -> {peer}");
        self.ledger.lock().page(self.page).open.insert(self.number, text);
        self.ledger.tell(Notice::classic(&["client", "connected", &peer.to_string()]), true);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.ledger.lock().page(self.page).open.remove(&self.number);
        let after = self.page == Page::Out;
        self.ledger.tell(Notice::classic(&["network", self.page.word(), "stop"]), after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_has_the_lines_of_2_6() {
        let (ledger, mut facts) = Ledger::new();
        let address = |text: &str| Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap());
        let _listening = [
            ledger.listening(&address("127.0.0.1:25")),
            ledger.listening(&Endpoint::Unix(Some("/run/a".into()))),
        ];
        drop(ledger.incoming(&address("[::1]:25"), &address("[::1]:1025")));
        let _in = ledger.incoming(&address("[::1]:25"), &address("[::1]:1026"));
        let out = ledger.outgoing(&Remote::parse("192.0.2.7:25", None).unwrap());
        let _resolving = ledger.outgoing(&Remote::parse("mx.example.com:25", None).unwrap());
        out.connected(Some(address("127.0.0.1:34370")), &address("192.0.2.7:25"));
        let expected = [
            "LISTEN: 127.0.0.1:25",
            "LISTEN: /run/a",
            "OUT started: 2",
            "OUT finished: 0",
            "OUT: 127.0.0.1:34370 -> 192.0.2.7:25",
            "OUT: - -> (mx.example.com/25/ip)",
            "IN started: 2",
            "IN finished: 1",
            "IN: ::1.25 <- ::1.1026",
        ];
        assert_eq!(ledger.lines(), expected);
        drop(out);
        assert_eq!(ledger.lines()[3], "OUT finished: 1");
        let told: Vec<String> =
            std::iter::from_fn(|| facts.try_recv().ok()).map(|fact| fact.notice.text()).collect();
        assert_eq!(
            told[5..9],
            [
                "network: out: start",
                "client: connecting: 192.0.2.7:25",
                "network: out: start",
                "client: resolving: mx.example.com/25/ip"
            ]
        );
        assert_eq!(told[9..], ["client: connected: 192.0.2.7:25", "network: out: stop"]);
    }
}
