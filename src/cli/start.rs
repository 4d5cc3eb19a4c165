//! Bringing a process up, in the order that keeps rights and reports right:
//!
//! 1. sockets that systemd passed are taken, options are read (nothing is opened yet);
//! 2. listening sockets are bound, with the rights of the starting user;
//! 3. into the background, if asked for; the starting process waits for the outcome;
//! 4. pid file, then root is given up for good;
//! 5. log, runtime, spool, roles; ready.

use std::io::Write;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Environment, Exit, Invocation, Program};
use crate::config::interface::{Item, Place, Server};
use crate::config::{ProcessSettings, Settings};
use crate::forward::RunReport;
use crate::log::{self, Context, JournalText, LogHandle, ProcessEvent, StartEvent};
use crate::os::activation::{self, Inherited};
use crate::os::daemon::{self, Daemonised, ReadyPipe};
use crate::os::identity::User;
use crate::os::journal::{self, Priority};
use crate::os::pidfile::PidFile;
use crate::os::{credentials, identity, limits, notify};
use crate::role::bind::{self, BindError, Sockets};
use crate::role::instance::{Handle, Instance};
use crate::role::settings;
use crate::role::supervise::{self, Ended, Process, Signals};
use crate::spool::Spool;

/// Exit code of everything that is wrong with options, files or rights.
const CODE_ERROR: u8 = 1;

/// Exit code when a listening address cannot be bound.
const CODE_BIND: u8 = 2;

/// Exit code of `--strict-exit` when messages have failed.
const CODE_FAILED: u8 = 3;

/// Exit code of the forwarder when messages wait for another attempt (sysexits: temporary failure).
const CODE_WAITING: u8 = 75;

/// Threads that run sessions. A disk is slower than so many of them, and each costs memory.
const MAX_WORKERS: usize = 4;

/// Threads that work on files at the same time. More only wait for each other and for the disk.
const FILE_THREADS: usize = 32;

/// The user that never gives up root.
const ROOT: &str = "root";

/// The whole life of `emailrelay`, `emailrelay-smtp` and `emailrelay-forward`. Returns the exit code.
pub fn main(program: Program) -> u8 {
    let inherited = activation::take();
    let mut invocation = match parse(program) {
        Ok(invocation) => invocation,
        Err(exit) => return leave(&exit),
    };
    for warning in &invocation.warnings {
        warn(&format!("{}: warning: {warning}", invocation.process.name));
    }
    let name = invocation.process.name.clone();
    match prepare(program, &mut invocation, inherited) {
        Ok(Start::Nothing(text)) => {
            say(&format!("{name}: {text}"));
            0
        }
        Ok(Start::Go(sockets)) => background(program, invocation, sockets),
        Err(error) => {
            fail(&format!("{name}: error: {error:#}"));
            if error.downcast_ref::<BindError>().is_some_and(|error| matches!(error, BindError::Bind { .. }))
            {
                CODE_BIND
            } else {
                CODE_ERROR
            }
        }
    }
}

enum Start {
    /// There is nothing to do; what to say.
    Nothing(&'static str),
    /// The listening sockets of each instance.
    Go(Vec<Sockets>),
}

fn prepare(
    program: Program,
    invocation: &mut Invocation,
    mut inherited: Vec<Inherited>,
) -> anyhow::Result<Start> {
    daemon::private_umask();
    if !invocation.instances.iter().any(Settings::has_work) {
        return Ok(Start::Nothing("nothing to do"));
    }
    if goes_to_background(&invocation.process) {
        leave_terminal(&invocation.instances, &inherited)?;
    }
    let mut sockets = Vec::new();
    for settings in &invocation.instances {
        let smtp = &settings.smtp;
        sockets.push(if smtp.enabled {
            bind::sockets(&smtp.interfaces, Server::Smtp, smtp.port, &mut inherited)?
        } else {
            Sockets::default()
        });
    }
    let only_forwards =
        program == Program::Relay && invocation.instances.iter().all(Settings::ends_after_first_run);
    if only_forwards && invocation.instances.iter().all(|settings| !Spool::has_waiting(&settings.spool_dir)) {
        return Ok(Start::Nothing("no messages to send"));
    }
    Ok(Start::Go(sockets))
}

/// Under a service manager nothing goes to the background, whatever the options.
fn goes_to_background(process: &ProcessSettings) -> bool {
    process.daemon && !notify::is_under_systemd()
}

/// Lets go of what the starting program had open; standard error stays until `--close-stderr`. With `fd#N` among the
/// listening addresses every descriptor may be meant for us.
fn leave_terminal(instances: &[Settings], inherited: &[Inherited]) -> anyhow::Result<()> {
    let by_number = |item: &Item| matches!(item.place, Place::Fd(_));
    if instances.iter().any(|settings| settings.smtp.interfaces.iter().any(by_number)) {
        return Ok(());
    }
    daemon::null_stdin_stdout().context("cannot open the null device")?;
    daemon::close_inherited(&inherited.iter().map(|socket| socket.number).collect::<Vec<_>>());
    Ok(())
}

/// Reads the options of this process.
fn parse(program: Program) -> Result<Invocation, Exit> {
    let executable = std::env::current_exe().unwrap_or_default();
    let environment = Environment {
        app_dir: executable.parent().map(Path::to_owned).unwrap_or_default(),
        cwd: std::env::current_dir().unwrap_or_default(),
        credentials_dir: credentials::directory(),
        columns: std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()),
    };
    super::parse(program, &std::env::args_os().collect::<Vec<_>>(), &environment)
}

/// Who to become; the role programs, started by a service manager as who they are to be, have no such option. The account
/// must exist even if nothing is going to change.
fn unprivileged(name: &str) -> anyhow::Result<Option<User>> {
    if name.is_empty() {
        return Ok(None);
    }
    let user = identity::lookup(name)?;
    Ok((name != ROOT).then_some(user))
}

/// Goes to the background if asked for; in the foreground the same steps report to nobody.
fn background(program: Program, invocation: Invocation, sockets: Vec<Sockets>) -> u8 {
    let name = invocation.process.name.clone();
    let mut pipe = None;
    if goes_to_background(&invocation.process) {
        match daemon::daemonise() {
            Ok(Daemonised::Parent(code)) => return code,
            Ok(Daemonised::Daemon(ready)) => pipe = Some(ready),
            Err(error) => {
                fail(&format!("{name}: error: {error}"));
                return CODE_ERROR;
            }
        }
    }
    match serve(program, invocation, sockets, &mut pipe) {
        Ok(code) => code,
        Err(error) => {
            fail(&format!("{name}: error: {error:#}"));
            if let Some(pipe) = pipe {
                pipe.failed(CODE_ERROR);
            }
            CODE_ERROR
        }
    }
}

fn serve(
    program: Program,
    invocation: Invocation,
    sockets: Vec<Sockets>,
    pipe: &mut Option<ReadyPipe>,
) -> anyhow::Result<u8> {
    let Invocation { instances, process, log_warnings, .. } = invocation;
    let process = Arc::new(process);
    let user = unprivileged(&process.user)?;
    let _pid_file = match &process.pid_file {
        Some(path) => Some(PidFile::create(path, user.as_ref())?),
        None => None,
    };
    let descriptors = limits::raise_nofile();
    if let Some(user) = &user {
        identity::drop_to(user)?;
    }
    identity::protect_memory();
    // Log watchers know the lines of `emailrelay`; the journal of the role programs has all of a line in fields.
    let text = if program == Program::Relay { JournalText::Line } else { JournalText::Plain };
    let mut logs = log::init(&settings::log(&process, program.as_str(), user.as_ref(), text))?;
    logs.start_writer().context("cannot start the log")?;
    for text in &log_warnings {
        log::emit(&Context::default(), &StartEvent::Configuration { text: text.clone() }.into());
    }
    let runtime = runtime(&instances).context("cannot start the runtime")?;
    let result = runtime.block_on(run(program, instances, process, sockets, descriptors, logs, pipe));
    runtime.shutdown_background();
    result
}

/// The runtime. Half of the processors run the sessions: the other half is busy with files, for as long as sessions have
/// anything to do.
fn runtime(instances: &[Settings]) -> std::io::Result<Runtime> {
    let processors = available_parallelism().map_or(1, NonZero::get);
    // A lookup of a next hop may hold its thread for as long as the resolver is patient.
    let lookups: usize = instances.iter().map(settings::connections).sum();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((processors / 2).clamp(1, MAX_WORKERS))
        .max_blocking_threads(FILE_THREADS + lookups)
        .enable_all()
        .build()
}

/// All instances, and the process around them.
struct Relay {
    handles: Vec<Handle>,
    program: Program,
}

impl Process for Relay {
    fn status(&self) -> String {
        self.handles.iter().map(Handle::status).collect::<Vec<_>>().join("; ")
    }

    fn log_status(&self) {
        self.handles.iter().for_each(Handle::log_status);
    }

    fn reload(&self) -> Result<(), String> {
        let invocation = parse(self.program).map_err(|exit| reason(&exit).to_owned())?;
        for handle in &self.handles {
            let new = invocation.instances.iter().find(|settings| settings.name == handle.name());
            handle.reload(new.ok_or_else(|| format!("instance \"{}\" is gone", handle.name()))?);
        }
        Ok(())
    }
}

async fn run(
    program: Program,
    settings: Vec<Settings>,
    process: Arc<ProcessSettings>,
    sockets: Vec<Sockets>,
    descriptors: u64,
    logs: LogHandle,
    pipe: &mut Option<ReadyPipe>,
) -> anyhow::Result<u8> {
    let stop = CancellationToken::new();
    let split = program != Program::Relay;
    let mut instances = Vec::new();
    for (settings, sockets) in settings.into_iter().zip(sockets) {
        instances.push(Instance::new(settings, sockets, &process, descriptors, split, &stop)?);
    }
    let relay = Arc::new(Relay { handles: instances.iter().map(Instance::handle).collect(), program });
    let signals = Signals::catch().context("cannot catch signals")?;
    instances.iter().for_each(Instance::announce);
    if let Some(pipe) = pipe.take() {
        pipe.ready();
    }
    if process.log.close_stderr {
        logs.close_stderr().context("cannot close the standard error stream")?;
    }
    let mut reports = Ok(Vec::new());
    let work = async { reports = run_all(instances, Arc::clone(&process)).await };
    let context = Context::default();
    let ended = supervise::run(signals, relay, &context, &logs, &stop, work).await;
    log::emit(&context, &ProcessEvent::ShutdownComplete.into());
    match ended {
        Ended::AtOnce(code) => Ok(code),
        Ended::Orderly => exit_code(program, &process, &reports?),
    }
}

async fn run_all(instances: Vec<Instance>, process: Arc<ProcessSettings>) -> anyhow::Result<Vec<RunReport>> {
    let mut running = JoinSet::new();
    for instance in instances {
        let process = Arc::clone(&process);
        running.spawn(async move { instance.run(&process).await });
    }
    let mut reports = Vec::new();
    while let Some(done) = running.join_next().await {
        reports.extend(done.context("an instance has ended by a bug")??);
    }
    Ok(reports)
}

/// What the end of a process that only forwards says about its messages.
fn exit_code(program: Program, process: &ProcessSettings, reports: &[RunReport]) -> anyhow::Result<u8> {
    if let Some(error) = reports.iter().find_map(|report| report.local_error.clone()) {
        anyhow::bail!(error);
    }
    let waiting = reports.iter().any(|report| report.waiting > 0);
    if program == Program::Forward {
        return Ok(if waiting { CODE_WAITING } else { 0 });
    }
    if let Some(fault) = reports.iter().find_map(|report| report.fault.clone()) {
        anyhow::bail!(fault);
    }
    let (failed, taken) = reports.iter().fold((0, 0), |(f, t), report| (f + report.failed, t + report.taken));
    if failed > 0 {
        warn(&format!("{}: warning: {failed} of {taken} messages failed", process.name));
    }
    Ok(if failed > 0 && process.strict_exit { CODE_FAILED } else { 0 })
}

/// Ends with what the options said.
fn leave(exit: &Exit) -> u8 {
    // Standard output may be a closed pipe; the exit code is then all there is.
    let _ = std::io::stdout().write_all(exit.stdout.as_bytes());
    if exit.code == 0 {
        let _ = std::io::stderr().write_all(exit.stderr.as_bytes());
    } else {
        fail(exit.stderr.trim_end());
    }
    exit.code
}

/// What is wrong, without the program's name and the advice for who sits at a terminal.
fn reason(exit: &Exit) -> &str {
    let line = exit.stderr.lines().next().unwrap_or_default();
    line.split_once("error: ").map_or(line, |(_, reason)| reason)
}

/// Tells why the program ends: whoever started it, and `systemctl status`.
fn fail(text: &str) {
    say_with(Priority::Error, text);
    notify::status(text.lines().next().unwrap_or_default());
}

fn warn(text: &str) {
    say_with(Priority::Warning, text);
}

/// What is said before there is a log, or beside it, keeps its importance when it goes to the journal.
fn say_with(priority: Priority, text: &str) {
    for line in text.lines() {
        if journal::stderr_is_journal() {
            say(&format!("{}{line}", priority.prefix()));
        } else {
            say(line);
        }
    }
}

/// A line for whoever started the program.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
