//! One of our programs, running.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::spool::TempSpool;
use super::{PATIENCE, is_root, wait_for};

/// The programs of the package.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    Emailrelay,
    Smtp,
    Forward,
    Pop,
    Admin,
    Submit,
    Passwd,
    Notify,
    Resubmit,
    Queue,
    Poke,
    FilterCopy,
    Multicast,
}

impl Program {
    /// The path of the built program.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Emailrelay => env!("CARGO_BIN_EXE_emailrelay"),
            Self::Smtp => env!("CARGO_BIN_EXE_emailrelay-smtp"),
            Self::Forward => env!("CARGO_BIN_EXE_emailrelay-forward"),
            Self::Pop => env!("CARGO_BIN_EXE_emailrelay-pop"),
            Self::Admin => env!("CARGO_BIN_EXE_emailrelay-admin"),
            Self::Submit => env!("CARGO_BIN_EXE_emailrelay-submit"),
            Self::Passwd => env!("CARGO_BIN_EXE_emailrelay-passwd"),
            Self::Notify => env!("CARGO_BIN_EXE_emailrelay-notify"),
            Self::Resubmit => env!("CARGO_BIN_EXE_emailrelay-resubmit"),
            Self::Queue => env!("CARGO_BIN_EXE_emailrelay-queue"),
            Self::Poke => env!("CARGO_BIN_EXE_emailrelay-poke"),
            Self::FilterCopy => env!("CARGO_BIN_EXE_emailrelay-filter-copy"),
            Self::Multicast => env!("CARGO_BIN_EXE_emailrelay-multicast"),
        }
    }

    /// Runs it to its end: exit code, standard output, standard error.
    pub(crate) fn run(self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command().args(args).stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// A command without any variable of a surrounding service manager.
    pub(crate) fn command(self) -> Command {
        Self::command_of(self.path())
    }

    /// The same for a program elsewhere.
    pub(crate) fn command_of(path: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(path);
        for name in
            ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"]
        {
            command.env_remove(name);
        }
        command.env_remove("JOURNAL_STREAM").env_remove("CREDENTIALS_DIRECTORY");
        command
    }
}

/// A program in the foreground with its log on stderr; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    news: Condvar,
}

impl Daemon {
    /// Starts a program with exactly these arguments.
    pub(crate) fn spawn(program: Program, args: &[&str]) -> Self {
        let mut command = program.command();
        command.args(args);
        Self::start(command)
    }

    /// Starts a prepared command (environment, current directory); its standard streams are set here.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// The same with this as its standard input.
    pub(crate) fn start_with(mut command: Command, stdin: Stdio) -> Self {
        let mut child = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, sink) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || sink.collect(BufReader::new(stderr)));
        Self { child, log }
    }

    /// `emailrelay` serving SMTP on a port of the kernel's choice, with these further arguments, ready.
    pub(crate) fn server(spool: &TempSpool, args: &[&str]) -> Self {
        Self::quiet_server(spool, &[&["--verbose"], args].concat())
    }

    /// The same without a trace of every line in its log: for a load that would drown in it.
    pub(crate) fn quiet_server(spool: &TempSpool, args: &[&str]) -> Self {
        let all = ["--interface", "127.0.0.1", "--port", "0", "--spool-dir", spool.arg()];
        Self::foreground(Program::Emailrelay.command(), &[&all, args].concat())
    }

    /// `emailrelay` by this command, with these arguments and its log on stderr, ready to serve SMTP.
    pub(crate) fn foreground(mut command: Command, args: &[&str]) -> Self {
        command.args(["--no-daemon", "--log", "--no-syslog"]);
        if is_root() {
            // The temporary directory belongs to root.
            command.args(["--user", "root"]);
        }
        command.args(args);
        let daemon = Self::start(command);
        daemon.address();
        daemon
    }

    /// Where it serves SMTP, from its log.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener("smtp server on ")
    }

    /// Where it serves POP, from its log.
    pub(crate) fn pop_address(&self) -> SocketAddr {
        self.listener("pop server on ")
    }

    fn listener(&self, text: &str) -> SocketAddr {
        let line = self.line(text);
        let address = line.rsplit(' ').next().unwrap();
        address.parse().unwrap_or_else(|_| panic!("no address in {line:?}"))
    }

    /// The first log line that contains the text, waiting for it.
    pub(crate) fn line(&self, text: &str) -> String {
        self.log.wait(text, PATIENCE)
    }

    /// All log lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lines.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the program to end by itself, and for the last of its log lines.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = wait_for("end of the program", PATIENCE, || child.try_wait().unwrap());
        let log = &self.log;
        wait_for("end of its log", PATIENCE, || log.lines.lock().unwrap().1.then_some(()));
        status
    }

    /// SIGTERM, then the exit status.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// SIGKILL, as a crash.
    pub(crate) fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// One run of the one-shot forwarder with a trace of every line; its exit code and log. As one that somebody starts by hand:
/// what an earlier run has noted about destinations does not count.
pub(crate) fn forward(spool: &TempSpool, hop: &str, more: &[&str]) -> (i32, Vec<String>) {
    let mut args = vec!["--spool-dir", spool.arg(), "--forward-to", hop, "--verbose", "--forward"];
    args.extend(more);
    let mut forward = Daemon::spawn(Program::Forward, &args);
    let status = forward.wait();
    (status.code().unwrap_or_else(|| panic!("{status:?} {:#?}", forward.lines())), forward.lines())
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for line in self.lines() {
                eprintln!("| {line}");
            }
        }
    }
}

impl Log {
    fn collect(&self, reader: BufReader<std::process::ChildStderr>) {
        for line in reader.split(b'\n').map_while(Result::ok) {
            self.lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .0
                .push(String::from_utf8_lossy(&line).into_owned());
            self.news.notify_all();
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.news.notify_all();
    }

    fn wait(&self, text: &str, limit: Duration) -> String {
        let end = Instant::now() + limit;
        let mut state = self.lines.lock().unwrap();
        loop {
            if let Some(line) = state.0.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(!state.1, "the program ended without {text:?}: {:#?}", state.0);
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not logged within {limit:?}: {text:?}: {:#?}", state.0);
            state = self.news.wait_timeout(state, left).unwrap().0;
        }
    }
}
