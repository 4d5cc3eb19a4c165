//! kill -9 of either role at random moments under load: nothing acknowledged is lost, nothing stays locked, nothing is
//! delivered by halves.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use emailrelay::spool::{Spool, SpoolConfig, SweepMode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::{Broken, SmtpClient};
use crate::support::daemon::Program;
use crate::support::dice::Dice;
use crate::support::hop::{Delivery, Script, ScriptedHop};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, loopback, wait_for};

/// Of each role.
const KILLS: usize = 50;
const SUBMITTERS: u64 = 6;
const SEED: u64 = 20_261_120;
/// Time between two kills, in milliseconds: long enough for a process to be in the middle of its work.
const BETWEEN: (u64, u64) = (20, 180);

/// A forwarder gets so many messages through before its end, however slow the machine is: with which message in hand process after
/// process dies is set aside as a poison, and rightly so.
const FORWARDED_BETWEEN: usize = 8;

/// So many messages are acknowledged before something ends, however slow the machine is.
const TAKEN_BETWEEN: u64 = 5;

/// Lets the roles run for a while, and longer if they have not got `enough` done.
fn run_for_a_while(dice: &mut Dice, roles: &mut [&mut Role], enough: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_millis(dice.between(BETWEEN.0, BETWEEN.1));
    while Instant::now() < until || (!enough() && Instant::now() < until + PATIENCE) {
        std::thread::sleep(Duration::from_millis(dice.between(1, 5)));
        roles.iter_mut().for_each(|role| role.keep_running());
    }
}

/// A role that is started again whenever it ends, as a service manager does.
struct Role {
    start: Box<dyn Fn() -> Child>,
    child: Child,
}

impl Role {
    fn new(start: impl Fn() -> Child + 'static) -> Self {
        let child = start();
        Self { start: Box::new(start), child }
    }

    fn keep_running(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            self.child = (self.start)();
        }
    }

    /// False if it has just ended by itself.
    fn crash(&mut self) -> bool {
        let alive = self.child.try_wait().unwrap().is_none();
        if alive {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        self.child = (self.start)();
        alive
    }

    /// An orderly stop, and a new start.
    fn restart(&mut self) {
        self.stop();
        self.child = (self.start)();
    }

    fn stop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        }
        wait_for("the end of a role", PATIENCE, || self.child.try_wait().unwrap());
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `emailrelay-smtp` on a socket that outlives it.
fn smtp(spool: &TempSpool, socket: TcpListener, more: &[&str]) -> Role {
    let spool = spool.arg().to_owned();
    let more: Vec<String> = more.iter().map(|arg| (*arg).to_owned()).collect();
    Role::new(move || {
        let mut command = Command::new("sh");
        let pass =
            "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_FDNAMES=smtp LISTEN_PID=$$; exec \"$0\" \"$@\"";
        command.args(["-c", pass, Program::Smtp.path(), "--anonymous=content", "--spool-dir", &spool]);
        command.args(&more);
        command.stdin(OwnedFd::from(socket.try_clone().unwrap())).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    })
}

fn forward_command(spool: &TempSpool, hop: &ScriptedHop) -> Command {
    let mut command = Program::Forward.command();
    command.args(["--spool-dir", spool.arg(), "--forward-to", &hop.arg(), "--retry-first", "1"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn forward(spool: &TempSpool, hop: &ScriptedHop) -> Role {
    let (spool, hop) = (spool.arg().to_owned(), hop.arg());
    Role::new(move || {
        let mut command = Program::Forward.command();
        command.args(["--spool-dir", &spool, "--forward-to", &hop, "--linger", "60", "--retry-first", "1"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    })
}

/// The whole content of a message, from its number alone: with an end that shows that it is all there.
fn content(number: u64) -> Vec<u8> {
    // Most fit into one write, some are written while they come.
    let lines = if number.is_multiple_of(16) { 4000 } else { number % 40 };
    let mut text = format!("Subject: {number}\r\n\r\n");
    (0..lines).for_each(|line| text.push_str(&format!(".{number} {line} abcdefghijklmnopqrstuvwxyz\r\n")));
    text.push_str(&format!("END {number}\r\n"));
    text.into_bytes()
}

/// Sends message after message; returns those that were acknowledged.
fn submit(address: SocketAddr, number: &AtomicU64, taken: &AtomicU64, stop: &AtomicBool) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut session = || -> Result<(), Broken> {
            let mut client = SmtpClient::try_connect(address)?;
            client.try_command("EHLO client.test")?;
            for _ in 0..20 {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let reply = client.try_send("a@example.com", &["b@example.com"], &content(number))?;
                if reply.code == 250 {
                    acknowledged.push(number);
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        };
        // The end of a session in the middle is what this is about.
        let _ = session();
    }
    acknowledged
}

/// Clients that send message after message.
struct Load {
    number: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    submitters: Vec<JoinHandle<Vec<u64>>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (number, taken, stop) =
            (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let submitter = |_| {
            let (number, taken, stop) = (Arc::clone(&number), Arc::clone(&taken), Arc::clone(&stop));
            std::thread::spawn(move || submit(address, &number, &taken, &stop))
        };
        let submitters = (0..SUBMITTERS).map(submitter).collect();
        Self { number, taken, stop, submitters }
    }

    /// How many messages have been acknowledged so far.
    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many messages have been begun, and which were acknowledged.
    fn end(mut self) -> (u64, HashSet<u64>) {
        self.stop.store(true, Ordering::Relaxed);
        let acknowledged =
            self.submitters.drain(..).flat_map(|submitter| submitter.join().unwrap()).collect();
        (self.number.load(Ordering::Relaxed), acknowledged)
    }
}

/// Clients of a test that has failed must not go on for ever.
impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The number of a message, which must be complete.
fn number_of(delivery: &Delivery) -> u64 {
    let text = String::from_utf8_lossy(&delivery.content);
    let number =
        text.lines().next().and_then(|line| line.strip_prefix("Subject: ")).and_then(|n| n.parse().ok());
    let number = number.unwrap_or_else(|| panic!("no whole message: {text:.200}"));
    assert!(delivery.content == content(number), "message {number} is not whole");
    number
}

/// How many messages came twice. That is right only when the dot was the last that the next hop heard on the connection:
/// the forwarder died before it had removed the message.
fn doubles(deliveries: &[Delivery]) -> usize {
    let last_of: HashMap<usize, usize> =
        deliveries.iter().enumerate().map(|(index, delivery)| (delivery.connection, index)).collect();
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let mut doubles = 0;
    for (index, delivery) in deliveries.iter().enumerate() {
        if let Some(earlier) = seen.insert(number_of(delivery), index) {
            doubles += 1;
            let connection = deliveries[earlier].connection;
            assert_eq!(last_of[&connection], earlier, "sent again although its connection had gone on");
        }
    }
    doubles
}

#[test]
fn a_hundred_kills_lose_nothing() {
    let began = Instant::now();
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let socket = TcpListener::bind(loopback(0)).unwrap();
    let address = socket.local_addr().unwrap();
    let mut roles = [smtp(&spool, socket, &[]), forward(&spool, &hop)];
    let done = |load: &Load| (load.taken(), hop.delivered());
    let load = Load::start(address);
    let mut dice = Dice::new(SEED);
    let mut kills = [0, 0];
    while kills != [KILLS, KILLS] {
        let (taken, sent) = done(&load);
        run_for_a_while(&mut dice, &mut roles.each_mut(), || {
            let (now_taken, now_sent) = done(&load);
            now_taken >= taken + TAKEN_BETWEEN && now_sent >= sent + FORWARDED_BETWEEN / 2
        });
        let victim = usize::try_from(dice.between(0, 1)).unwrap();
        let victim = if kills[victim] < KILLS { victim } else { 1 - victim };
        kills[victim] += usize::from(roles[victim].crash());
    }
    let killing = began.elapsed();
    let (begun, acknowledged) = load.end();
    roles.iter_mut().for_each(Role::stop);
    // What was in hand at several deaths in a row waits a little.
    wait_for("the rest to be due and sent", PATIENCE, || {
        (forward_command(&spool, &hop).status().unwrap().code() == Some(0)).then_some(())
    });
    let deliveries = hop.deliveries();
    let delivered: HashSet<u64> = deliveries.iter().map(number_of).collect();
    let doubles = doubles(&deliveries);
    let orphans = sweep(&spool);
    eprintln!(
        "seed {SEED}: {} kills in {killing:.1?}; {} messages begun, {} acknowledged, {} delivered (of these {} never \
         acknowledged), {doubles} twice; {orphans} left-over files swept",
        2 * KILLS,
        begun,
        acknowledged.len(),
        delivered.len(),
        delivered.difference(&acknowledged).count(),
    );
    let lost: Vec<&u64> = acknowledged.difference(&delivered).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(acknowledged.len() > 10 * KILLS, "hardly any load: {}", acknowledged.len());
    // A forwarder has four connections.
    assert!(doubles <= 4 * KILLS, "{doubles}");
}

/// As an administrator, a crash and a service manager do it by turns.
#[test]
fn a_forwarder_stopped_killed_and_started_a_hundred_times_loses_nothing() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let socket = TcpListener::bind(loopback(0)).unwrap();
    let load = Load::start(socket.local_addr().unwrap());
    let mut receiver = smtp(&spool, socket, &[]);
    let mut forwarder = forward(&spool, &hop);
    let mut dice = Dice::new(SEED + 1);
    let (mut stops, mut kills) = (0, 0);
    while stops + kills < 2 * KILLS {
        let enough = hop.delivered() + FORWARDED_BETWEEN;
        run_for_a_while(&mut dice, &mut [&mut receiver, &mut forwarder], || hop.delivered() >= enough);
        if dice.between(0, 1) == 0 {
            forwarder.restart();
            stops += 1;
        } else {
            kills += usize::from(forwarder.crash());
        }
    }
    let (begun, acknowledged) = load.end();
    receiver.stop();
    forwarder.stop();
    wait_for("the rest to be due and sent", PATIENCE, || {
        (forward_command(&spool, &hop).status().unwrap().code() == Some(0)).then_some(())
    });
    let deliveries = hop.deliveries();
    let delivered: HashSet<u64> = deliveries.iter().map(number_of).collect();
    let doubles = doubles(&deliveries);
    eprintln!(
        "seed {SEED}: {stops} stops, {kills} kills; {begun} begun, {} acknowledged, {} delivered, {doubles} twice; {} left-over \
         files swept",
        acknowledged.len(),
        delivered.len(),
        sweep(&spool),
    );
    let lost: Vec<&u64> = acknowledged.difference(&delivered).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(acknowledged.len() > 10 * KILLS, "hardly any load: {}", acknowledged.len());
    assert!(doubles <= 4 * kills, "{doubles} after {kills} kills: an orderly stop doubles nothing");
}

/// With `--immediate` a kill may fall between the next hop's answer and ours: such a message, which nobody was told is taken, may
/// come twice, and no other.
#[test]
fn kills_of_a_server_that_sends_on_at_once_lose_nothing() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let socket = TcpListener::bind(loopback(0)).unwrap();
    let address = socket.local_addr().unwrap();
    let mut role = smtp(&spool, socket, &["--immediate", "--forward-to", &hop.arg()]);
    let load = Load::start(address);
    let mut dice = Dice::new(SEED);
    let mut kills = 0;
    while kills < KILLS {
        let enough = load.taken() + TAKEN_BETWEEN;
        run_for_a_while(&mut dice, &mut [&mut role], || load.taken() >= enough);
        kills += usize::from(role.crash());
    }
    let (begun, acknowledged) = load.end();
    role.stop();
    // What was in hand is in the spool, whole, for whoever forwards next.
    assert_eq!(forward_command(&spool, &hop).status().unwrap().code(), Some(0));
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for delivery in hop.deliveries() {
        *counts.entry(number_of(&delivery)).or_default() += 1;
    }
    let twice: Vec<u64> = counts.iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect();
    eprintln!(
        "seed {SEED}: {kills} kills; {} begun, {} acknowledged, {} delivered, {} of them twice; {} left-over files swept",
        begun,
        acknowledged.len(),
        counts.len(),
        twice.len(),
        sweep(&spool),
    );
    assert!(acknowledged.len() > KILLS, "hardly any load: {}", acknowledged.len());
    let lost: Vec<&u64> = acknowledged.iter().filter(|number| !counts.contains_key(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let doubled: Vec<&u64> = twice.iter().filter(|number| acknowledged.contains(number)).collect();
    assert!(doubled.is_empty(), "acknowledged and sent again: {doubled:?}");
    assert!(counts.values().all(|count| *count <= 2), "{counts:?}");
}

/// After the last run only files without a message may be left; the sweep takes them all.
pub(crate) fn sweep(spool: &TempSpool) -> usize {
    let left = spool.files();
    let envelopes = [spool.ready(), spool.busy(), spool.bad()].concat();
    assert!(envelopes.is_empty(), "{envelopes:?}");
    let library = Spool::open(spool.path(), SpoolConfig::default()).unwrap();
    library.take_forward_request().unwrap();
    let swept = library.sweep(Duration::ZERO, SweepMode::Remove).unwrap().len();
    assert_eq!(spool.files(), Vec::<String>::new(), "of {left:?}");
    swept
}
