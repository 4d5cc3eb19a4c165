//! A next hop that does what the test says, and remembers every byte.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{PATIENCE, loopback};

/// What the hop does at one point of the dialogue.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Replies with these lines, for example `250 ok`.
    Reply(String),
    /// Replies and closes, as with 421.
    ReplyClose(String),
    /// Closes without a word.
    Close,
    /// Reads on for ever and never answers.
    Silent,
    /// Does the step when the test opens the gate.
    Held(Gate, Box<Step>),
}

impl Step {
    fn accepts(&self) -> bool {
        match self {
            Self::Reply(text) => text.starts_with('2'),
            Self::Held(_, step) => step.accepts(),
            Self::ReplyClose(_) | Self::Close | Self::Silent => false,
        }
    }
}

/// What a hop waits for, as long as the test has patience.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A step behind the gate.
    pub(crate) fn before(&self, text: &str) -> Step {
        Step::Held(self.clone(), Box::new(reply(text)))
    }

    /// Lets everybody through who waits, or comes later.
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Whether it was opened; if not, nobody is through it.
    pub(crate) fn is_open(&self) -> bool {
        *self.0.0.lock().unwrap()
    }

    fn wait(&self) {
        let closed = |open: &mut bool| !*open;
        drop(self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), PATIENCE, closed).unwrap());
    }
}

/// What the hop does at every point; it can be changed while the hop runs.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) greeting: Step,
    pub(crate) ehlo: Step,
    /// For AUTH commands that contain the text; others are accepted.
    pub(crate) auth_for: Vec<(String, Step)>,
    pub(crate) mail: Step,
    /// For every recipient that has no entry in `rcpt_for`.
    pub(crate) rcpt: Step,
    /// For the recipients that contain the text.
    pub(crate) rcpt_for: Vec<(String, Step)>,
    pub(crate) data: Step,
    /// After each BDAT chunk that is not the last.
    pub(crate) chunk: Step,
    /// After the final dot or the last chunk.
    pub(crate) dot: Step,
}

impl Script {
    /// Everything is accepted.
    pub(crate) fn well() -> Self {
        let ok = reply("250 2.0.0 ok");
        Self {
            greeting: reply("220 hop.test ESMTP"),
            ehlo: reply("250-hop.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME"),
            auth_for: Vec::new(),
            mail: ok.clone(),
            rcpt: ok.clone(),
            rcpt_for: Vec::new(),
            data: reply("354 go on"),
            chunk: ok.clone(),
            dot: ok,
        }
    }
}

/// A reply step.
pub(crate) fn reply(text: &str) -> Step {
    Step::Reply(text.to_owned())
}

/// A message whose content arrived complete; accepted or not.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The argument of MAIL with its parameters.
    pub(crate) mail: String,
    /// The arguments of the accepted RCPT commands.
    pub(crate) rcpt: Vec<String>,
    /// The content with dot-stuffing undone, all line ends as they came; only CRLF ends a line.
    pub(crate) content: Vec<u8>,
    /// The bytes between the reply to DATA and the final dot, or of all chunks, as they came.
    pub(crate) wire: Vec<u8>,
    /// True if the reply after the dot was 2xx.
    pub(crate) accepted: bool,
    /// Which connection it came by, from 0.
    pub(crate) connection: usize,
}

/// The hop: a listener and a thread per connection, all gone when dropped.
pub(crate) struct ScriptedHop {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

struct State {
    script: Script,
    deliveries: Vec<Delivery>,
    /// Per connection: every command line.
    commands: Vec<Vec<String>>,
    streams: Vec<TcpStream>,
    /// Connections that are open, and the most that were so at the same time.
    open: (usize, usize),
    stopping: bool,
}

impl ScriptedHop {
    /// On a free port of the loopback address.
    pub(crate) fn start(script: Script) -> Self {
        Self::start_on(loopback(0), script)
    }

    /// On this address, in the network of the calling thread.
    pub(crate) fn start_on(address: SocketAddr, script: Script) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            script,
            deliveries: vec![],
            commands: vec![],
            streams: vec![],
            open: (0, 0),
            stopping: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), news: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || accept(&listener, &for_thread));
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as an option value.
    pub(crate) fn arg(&self) -> String {
        self.address.to_string()
    }

    /// Changes what happens from now on, in open connections too.
    pub(crate) fn set(&self, script: Script) {
        self.shared.state.lock().unwrap().script = script;
    }

    /// How many messages' content arrived.
    pub(crate) fn delivered(&self) -> usize {
        self.shared.state.lock().unwrap().deliveries.len()
    }

    /// Everything whose content arrived, in order.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.shared.state.lock().unwrap().deliveries.clone()
    }

    /// What was accepted, in order.
    pub(crate) fn accepted(&self) -> Vec<Delivery> {
        self.deliveries().into_iter().filter(|delivery| delivery.accepted).collect()
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().commands.len()
    }

    /// How many connections are open now.
    pub(crate) fn open(&self) -> usize {
        self.shared.state.lock().unwrap().open.0
    }

    /// How many connections have been open at the same time at most.
    pub(crate) fn most_open(&self) -> usize {
        self.shared.state.lock().unwrap().open.1
    }

    /// The command lines of one connection.
    pub(crate) fn commands(&self, connection: usize) -> Vec<String> {
        self.shared.state.lock().unwrap().commands[connection].clone()
    }

    /// Waits until this many messages have been accepted.
    pub(crate) fn wait_accepted(&self, count: usize) -> Vec<Delivery> {
        self.wait_until("accepted messages", |state| {
            state.deliveries.iter().filter(|delivery| delivery.accepted).count() >= count
        });
        self.accepted()
    }

    /// Waits until this many connections have been made.
    pub(crate) fn wait_connections(&self, count: usize) {
        self.wait_until("connections", |state| state.commands.len() >= count);
    }

    /// Waits until some command that begins with this text has come.
    pub(crate) fn wait_command(&self, start: &str) {
        self.wait_until(start, |state| state.commands.iter().flatten().any(|line| line.starts_with(start)));
    }

    fn wait_until(&self, what: &str, reached: impl Fn(&State) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut state = self.shared.state.lock().unwrap();
        while !reached(&state) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "hop: not seen: {what}; so far {:?}", state.commands);
            state = self.shared.news.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for ScriptedHop {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.state.lock() {
            state.stopping = true;
            for stream in &state.streams {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        // The acceptor looks at `stopping` at least this often.
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    listener.set_nonblocking(true).unwrap();
    loop {
        if shared.state.lock().unwrap().stopping {
            return;
        }
        let Ok((stream, _)) = listener.accept() else {
            poll(listener);
            continue;
        };
        let mut state = shared.state.lock().unwrap();
        let number = state.commands.len();
        state.commands.push(Vec::new());
        state.streams.push(stream.try_clone().unwrap());
        state.open.0 += 1;
        state.open.1 = state.open.1.max(state.open.0);
        drop(state);
        shared.news.notify_all();
        let shared = Arc::clone(shared);
        // An end of the connection at any point is the peer's right.
        std::thread::spawn(move || {
            Connection::new(stream, number, Arc::clone(&shared)).serve();
            shared.state.lock().unwrap().open.0 -= 1;
        });
    }
}

/// Waits for a connection, 50 ms at most.
fn poll(listener: &TcpListener) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd as _;
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, PollTimeout::from(50_u8));
}

struct Connection {
    stream: BufReader<TcpStream>,
    number: usize,
    shared: Arc<Shared>,
    mail: String,
    rcpt: Vec<String>,
    /// The chunks of the transaction so far.
    chunks: Vec<u8>,
}

/// The connection has ended.
struct Ended;

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Connection {
    fn new(stream: TcpStream, number: usize, shared: Arc<Shared>) -> Self {
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = BufReader::new(stream);
        Self { stream, number, shared, mail: String::new(), rcpt: Vec::new(), chunks: Vec::new() }
    }

    fn serve(mut self) {
        // Whichever way it ends.
        let _ = self.dialogue();
    }

    fn dialogue(&mut self) -> Result<(), Ended> {
        self.act(|script| script.greeting.clone())?;
        loop {
            let line = self.command()?;
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            let argument = argument.split_once(':').map_or("", |(_, path)| path).trim().to_owned();
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => drop(self.act(|script| script.ehlo.clone())?),
                "AUTH" => {
                    self.act(|script| {
                        let special = script.auth_for.iter().find(|(text, _)| line.contains(text.as_str()));
                        special.map_or_else(|| reply("235 2.7.0 welcome"), |(_, step)| step.clone())
                    })?;
                }
                "MAIL" => {
                    self.rcpt.clear();
                    self.chunks.clear();
                    self.act(|script| script.mail.clone())?;
                    self.mail = argument;
                }
                "RCPT" => self.recipient(argument)?,
                "DATA" => self.data()?,
                "BDAT" => self.chunk(&line)?,
                "QUIT" => return self.perform(Step::ReplyClose("221 2.0.0 bye".to_owned())).map(drop),
                "RSET" => {
                    self.rcpt.clear();
                    self.perform(reply("250 2.0.0 ok"))?;
                }
                _ => drop(self.perform(reply("250 2.0.0 ok"))?),
            }
        }
    }

    fn recipient(&mut self, argument: String) -> Result<(), Ended> {
        let accepted = self.act(|script| {
            let special = script.rcpt_for.iter().find(|(text, _)| argument.contains(text.as_str()));
            special.map_or_else(|| script.rcpt.clone(), |(_, step)| step.clone())
        })?;
        if accepted {
            self.rcpt.push(argument);
        }
        Ok(())
    }

    fn data(&mut self) -> Result<(), Ended> {
        if self.rcpt.is_empty() {
            return self.perform(reply("554 5.5.1 no valid recipients")).map(drop);
        }
        if !self.act(|script| script.data.clone())? {
            return Ok(());
        }
        let (content, wire) = self.content()?;
        self.deliver(content, wire)
    }

    /// BDAT: its bytes, and the reply to them.
    fn chunk(&mut self, command: &str) -> Result<(), Ended> {
        let mut words = command.split(' ').skip(1);
        let mut bytes = vec![0; words.next().and_then(|size| size.parse().ok()).expect("a chunk size")];
        self.stream.read_exact(&mut bytes)?;
        self.chunks.extend_from_slice(&bytes);
        if words.next() != Some("LAST") {
            return self.act(|script| script.chunk.clone()).map(drop);
        }
        let content = std::mem::take(&mut self.chunks);
        self.deliver(content.clone(), content)
    }

    fn deliver(&mut self, content: Vec<u8>, wire: Vec<u8>) -> Result<(), Ended> {
        let step = self.shared.state.lock().unwrap().script.dot.clone();
        let accepted = step.accepts();
        let (mail, rcpt) = (self.mail.clone(), std::mem::take(&mut self.rcpt));
        let delivery = Delivery { mail, rcpt, content, wire, accepted, connection: self.number };
        self.shared.state.lock().unwrap().deliveries.push(delivery);
        self.shared.news.notify_all();
        self.perform(step).map(drop)
    }

    /// Content with the stuffed dots taken out, and as it came.
    fn content(&mut self) -> Result<(Vec<u8>, Vec<u8>), Ended> {
        let (mut content, mut wire) = (Vec::new(), Vec::new());
        loop {
            let mut line = Vec::new();
            if self.stream.read_until(b'\n', &mut line)? == 0 {
                return Err(Ended);
            }
            let fresh = wire.is_empty() || wire.ends_with(b"\r\n");
            if fresh && line == b".\r\n" {
                return Ok((content, wire));
            }
            let text = line.strip_prefix(b".").filter(|_| fresh);
            content.extend_from_slice(text.unwrap_or(&line));
            wire.extend_from_slice(&line);
        }
    }

    fn command(&mut self) -> Result<String, Ended> {
        let mut raw = Vec::new();
        if self.stream.read_until(b'\n', &mut raw)? == 0 {
            return Err(Ended);
        }
        let line = String::from_utf8_lossy(&raw).trim_end().to_owned();
        self.shared.state.lock().unwrap().commands[self.number].push(line.clone());
        self.shared.news.notify_all();
        Ok(line)
    }

    /// Does what the script says now; true if that was a positive reply.
    fn act(&mut self, choose: impl FnOnce(&Script) -> Step) -> Result<bool, Ended> {
        let step = choose(&self.shared.state.lock().unwrap().script);
        self.perform(step)
    }

    fn perform(&mut self, step: Step) -> Result<bool, Ended> {
        match step {
            Step::Reply(text) => {
                self.stream.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
                Ok(text.starts_with(['2', '3']))
            }
            Step::ReplyClose(text) => {
                self.stream.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
                self.close()
            }
            Step::Close => self.close(),
            Step::Held(gate, step) => {
                gate.wait();
                self.perform(*step)
            }
            Step::Silent => {
                let _ = self.stream.get_mut().set_read_timeout(None::<Duration>);
                let _ = std::io::copy(&mut self.stream.by_ref(), &mut std::io::sink());
                Err(Ended)
            }
        }
    }

    fn close(&mut self) -> Result<bool, Ended> {
        self.stream.get_mut().shutdown(Shutdown::Both)?;
        Err(Ended)
    }
}

/// Any address of the loopback network, for tests that want several hops on one port.
pub(crate) fn loopback_host(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}
