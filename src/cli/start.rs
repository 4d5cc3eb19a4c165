//! Bringing a process up, in the order that keeps rights and reports right:
//!
//! 1. sockets that systemd passed are taken, options are read (nothing is opened yet);
//! 2. the log is opened, keys and secrets are read and listening sockets are bound, with the rights of the starting user;
//! 3. into the background, if asked for; the starting process waits for the outcome;
//! 4. pid file, then root is given up for good;
//! 5. the log's thread, runtime, spool, roles; ready.

mod source;

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::source::Source;
use super::terminal::{fail, reason, say, warn};
use super::{Invocation, Program, rest};
use crate::config::interface::{self, Item, Place, Server};
use crate::config::{ProcessSettings, Settings};
use crate::forward::RunReport;
use crate::log::{self, Context, JournalText, Level, LogConfig, LogHandle, ProcessEvent, StartEvent};
use crate::os::activation::{self, Inherited};
use crate::os::daemon::{self, Daemonised, ReadyPipe};
use crate::os::identity::User;
use crate::os::pidfile::{PidFile, PidFileError};
use crate::os::{file, identity, limits, notify, title};
use crate::role::bind::{self, BindError, Ports, ServerSockets};
use crate::role::instance::{Forwards, Handle, Instance, Resources};
use crate::role::login::Accounts;
use crate::role::supervise::{self, Ended, Process, Signals};
use crate::role::tls::Tls;
use crate::role::{fixed, settings};
use crate::secrets::Files;
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
    title::hide(password);
    let source = Source::of(program);
    let mut invocation = match source.read() {
        Ok(invocation) => invocation,
        Err(exit) => return source.refused(&exit),
    };
    if rest::has_no_next_hop(program, &invocation) {
        warn_of(&invocation.process.name, &invocation.warnings);
        return rest::without_next_hop(&invocation);
    }
    // Once the log is open it may show them on the same stream.
    let by_log = shown_by_log(program, &mut invocation);
    warn_of(&invocation.process.name, &invocation.warnings);
    let mut logs = None;
    match prepare(program, &mut invocation, inherited, &mut logs) {
        Ok(Start::Nothing(text)) => {
            warn_of(&invocation.process.name, &by_log);
            say(&format!("{}: {text}", invocation.process.name));
            0
        }
        Ok(Start::Go { resources, user }) => background(source, invocation, resources, user.as_ref(), logs),
        Err(error) => {
            warn_of(&invocation.process.name, &by_log);
            fatal(&invocation.process.name, &error, logs.as_ref());
            let bind = |error: &BindError| matches!(error, BindError::Bind { .. });
            if error.downcast_ref().is_some_and(bind) { CODE_BIND } else { CODE_ERROR }
        }
    }
}

/// Takes out the warnings that the log will show on standard error, if the process gets that far.
fn shown_by_log(program: Program, invocation: &mut Invocation) -> Vec<String> {
    if !log_config(program, &invocation.process, None).warns_on_stderr() {
        return Vec::new();
    }
    let logged = &invocation.log_warnings;
    invocation.warnings.extract_if(.., |text| logged.contains(text)).collect()
}

fn warn_of(name: &str, warnings: &[String]) {
    for text in warnings {
        warn(&format!("{name}: warning: {text}"));
    }
}

enum Start {
    /// There is nothing to do; what to say.
    Nothing(&'static str),
    /// With what was opened for each instance.
    Go {
        resources: Vec<Resources>,
        /// Who to become.
        user: Option<User>,
    },
}

fn prepare(
    program: Program,
    invocation: &mut Invocation,
    mut inherited: Vec<Inherited>,
    logs: &mut Option<LogHandle>,
) -> anyhow::Result<Start> {
    daemon::private_umask();
    if !invocation.instances.iter().any(Settings::has_work) {
        return Ok(Start::Nothing("nothing to do"));
    }
    if goes_to_background(&invocation.process) {
        leave_terminal(&invocation.instances, &inherited)?;
    }
    let process = &invocation.process;
    let user = unprivileged(&process.user)?;
    *logs = Some(open_log(program, process, user.as_ref())?);
    let mut files = Files::default();
    let mut resources = Vec::new();
    for settings in &invocation.instances {
        let accounts = Accounts::open(settings, &mut files)?;
        let tls = Tls::open(settings)?;
        let ports = if program == Program::Relay { Ports::Own } else { Ports::Passed };
        let sockets = bind_servers(settings, &process.user, user.as_ref(), ports, &mut inherited)?;
        resources.push(Resources { sockets, accounts, tls });
    }
    let only_forwards =
        program == Program::Relay && invocation.instances.iter().all(Settings::ends_after_first_run);
    if only_forwards && invocation.instances.iter().all(|settings| !Spool::has_waiting(&settings.spool_dir)) {
        return Ok(Start::Nothing("no messages to send"));
    }
    Ok(Start::Go { resources, user })
}

/// Under a service manager nothing goes to the background, whatever the options.
fn goes_to_background(process: &ProcessSettings) -> bool {
    process.daemon && !notify::is_under_systemd()
}

/// Lets go of what the starting program had open; standard error stays until `--close-stderr`. With `fd#N` among the
/// listening addresses every descriptor may be meant for us.
fn leave_terminal(instances: &[Settings], inherited: &[Inherited]) -> anyhow::Result<()> {
    let by_number = |item: &Item| matches!(item.place, Place::Fd(_));
    if instances.iter().any(|settings| settings.interfaces.iter().any(by_number)) {
        return Ok(());
    }
    daemon::null_stdin_stdout().context("cannot open the null device")?;
    daemon::close_inherited(&inherited.iter().map(|socket| socket.number).collect::<Vec<_>>());
    Ok(())
}

/// Where in an argument a password begins: behind `plain:` of `--client-auth`.
fn password(argument: &[u8]) -> Option<usize> {
    const PLAIN: &[u8] = b"plain:";
    let given = [&b"plain:"[..], b"-Cplain:", b"--client-auth=plain:"]
        .iter()
        .any(|start| argument.starts_with(start))
        || argument.windows(b"-client-auth=plain:".len()).any(|part| part == b"-client-auth=plain:");
    let at = argument.windows(PLAIN.len()).position(|part| part == PLAIN).filter(|_| given)?;
    Some(at + PLAIN.len())
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

/// Log watchers know the lines of `emailrelay`; the journal of the role programs has all of a line in fields.
fn open_log(program: Program, process: &ProcessSettings, user: Option<&User>) -> anyhow::Result<LogHandle> {
    Ok(log::init(&log_config(program, process, user))?)
}

fn log_config(program: Program, process: &ProcessSettings, user: Option<&User>) -> LogConfig {
    let text = if program == Program::Relay { JournalText::Line } else { JournalText::Plain };
    settings::log(process, program.as_str(), user, text)
}

fn bind_servers(
    settings: &Settings,
    name: &str,
    user: Option<&User>,
    ports: Ports,
    inherited: &mut Vec<Inherited>,
) -> anyhow::Result<ServerSockets> {
    let mut sockets = ServerSockets::default();
    for (server, port) in settings.servers() {
        let bound = bind::sockets(&settings.interfaces, server, port, ports, inherited)?;
        bound.check_tls(settings.server_tls.is_some())?;
        share_unix_sockets(settings, server, name, user)?;
        match server {
            Server::Smtp => sockets.smtp = bound,
            Server::Admin => sockets.admin = bound,
            Server::Pop => sockets.pop = bound,
        }
    }
    Ok(sockets)
}

/// What root has bound is for the group of the user it becomes, or for everybody if it stays root.
fn share_unix_sockets(
    settings: &Settings,
    server: Server,
    name: &str,
    user: Option<&User>,
) -> anyhow::Result<()> {
    if name.is_empty() || !identity::is_root() {
        return Ok(());
    }
    for place in interface::places(&settings.interfaces, server) {
        if let Place::Unix(path) = place {
            file::share_socket(&path, user.map(|user| user.gid))
                .with_context(|| format!("cannot set the rights of {}", path.display()))?;
        }
    }
    Ok(())
}

/// Tells why the program ends, on stderr and in the log.
fn fatal(name: &str, error: &anyhow::Error, logs: Option<&LogHandle>) {
    let text = format!("{error:#}");
    let in_journal = logs.is_some_and(|logs| logs.fatal(&text));
    if in_journal {
        notify::status(&format!("{name}: error: {text}"));
    } else {
        fail(&format!("{name}: error: {text}"));
    }
}

/// Goes to the background if asked for; in the foreground the same steps report to nobody.
fn background(
    source: Source,
    invocation: Invocation,
    resources: Vec<Resources>,
    user: Option<&User>,
    logs: Option<LogHandle>,
) -> u8 {
    let name = invocation.process.name.clone();
    let mut pipe = None;
    if goes_to_background(&invocation.process) {
        match daemon::daemonise() {
            Ok(Daemonised::Parent(code)) => {
                // Dropping them would remove the files of unix sockets, which are the daemon's.
                std::mem::forget(resources);
                return code;
            }
            Ok(Daemonised::Daemon(ready)) => pipe = Some(ready),
            Err(error) => {
                fatal(&name, &error.into(), logs.as_ref());
                return CODE_ERROR;
            }
        }
    }
    let Some(mut logs) = logs else { return CODE_ERROR };
    match serve(source, invocation, resources, user, &mut logs, &mut pipe) {
        Ok(code) => code,
        Err(error) => {
            fatal(&name, &error, Some(&logs));
            if let Some(pipe) = pipe {
                pipe.failed(CODE_ERROR);
            }
            CODE_ERROR
        }
    }
}

fn serve(
    source: Source,
    invocation: Invocation,
    resources: Vec<Resources>,
    user: Option<&User>,
    logs: &mut LogHandle,
    pipe: &mut Option<ReadyPipe>,
) -> anyhow::Result<u8> {
    let Invocation { instances, process, mut log_warnings, .. } = invocation;
    let process = Arc::new(process);
    let _pid_file = match process.pid_file.as_ref().map(|path| PidFile::create(path, user)) {
        // A service manager knows its processes, and a unit of a user may not write where root did.
        Some(Err(error @ PidFileError::Create { .. })) if notify::is_under_systemd() => {
            log_warnings.push(error.to_string());
            None
        }
        created => created.transpose()?,
    };
    let descriptors = limits::raise_nofile();
    if let Some(user) = user {
        identity::drop_to(user)?;
    }
    identity::protect_memory();
    logs.start_writer().context("cannot start the log")?;
    log_panics();
    for text in &log_warnings {
        log::emit(&Context::default(), &StartEvent::Configuration { text: text.clone() }.into());
    }
    warn_about_rights(&process.user);
    let runtime = runtime(&instances).context("cannot start the runtime")?;
    let result = runtime.block_on(run(source, instances, process, resources, descriptors, logs, pipe));
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

/// More rights than a relay needs.
fn warn_about_rights(name: &str) {
    if identity::is_root() {
        if name == ROOT {
            log::emit(&Context::default(), &StartEvent::RunningAsRoot.into());
        }
        return;
    }
    let names = identity::held_capabilities().into_iter().filter(|name| name != "CAP_NET_BIND_SERVICE");
    let names: Vec<String> = names.collect();
    if !names.is_empty() {
        log::emit(&Context::default(), &StartEvent::Capabilities { names }.into());
    }
}

/// A panic of one task, which the others survive, is for the log; the standard error stream may be closed.
fn log_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if log::is_enabled(Level::Error) {
            let event = ProcessEvent::Bug { text: panic.to_string() };
            log::emit(&Context::default(), &event.into());
        } else {
            default(panic);
        }
    }));
}

/// All instances, and the process around them.
struct Relay {
    handles: Vec<Handle>,
    source: Source,
    process: Arc<ProcessSettings>,
}

impl Process for Relay {
    fn status(&self) -> String {
        self.handles.iter().map(Handle::status).collect::<Vec<_>>().join("; ")
    }

    fn log_status(&self) {
        self.handles.iter().for_each(Handle::log_status);
    }

    fn reload(&self, logs: &LogHandle) -> Result<(), String> {
        let invocation = self.source.read().map_err(|exit| reason(&exit).to_owned())?;
        // Before the roles, which ask whether a trace is wanted.
        logs.set_level(settings::log_level(&invocation.process.log));
        fixed::report(&Context::default(), &fixed::of_process(&self.process, &invocation.process));
        for handle in &self.handles {
            let new = invocation.instances.iter().find(|settings| settings.name == handle.name());
            handle.reload(new.ok_or_else(|| format!("instance \"{}\" is gone", handle.name()))?)?;
        }
        Ok(())
    }
}

async fn run(
    source: Source,
    settings: Vec<Settings>,
    process: Arc<ProcessSettings>,
    resources: Vec<Resources>,
    descriptors: u64,
    logs: &LogHandle,
    pipe: &mut Option<ReadyPipe>,
) -> anyhow::Result<u8> {
    let signals = Signals::install().context("cannot install signal handlers")?;
    let stop = CancellationToken::new();
    let program = source.program;
    let forwards = if program == Program::Relay { Forwards::Here } else { Forwards::Elsewhere };
    let mut instances = Vec::new();
    for (settings, resources) in settings.into_iter().zip(resources) {
        instances.push(Instance::new(settings, resources, &process, descriptors, forwards, &stop)?);
    }
    let relay = Arc::new(Relay {
        handles: instances.iter().map(Instance::handle).collect(),
        source,
        process: Arc::clone(&process),
    });
    instances.iter().for_each(Instance::announce);
    if let Some(pipe) = pipe.take() {
        pipe.ready();
    }
    if process.log.close_stderr {
        logs.close_stderr().context("cannot close the standard error stream")?;
    }
    let mut reports = Ok(Vec::new());
    let work = async { reports = run_all(instances, Arc::clone(&process), stop.clone()).await };
    let context = Context::default();
    let ended = supervise::run(relay, signals, &context, logs, &stop, work).await;
    log::emit(&context, &ProcessEvent::ShutdownComplete.into());
    match ended {
        Ended::AtOnce(code) => Ok(code),
        Ended::Orderly => exit_code(program, &process, &reports?),
    }
}

/// Runs all instances; the fault of one stops the others in good order.
async fn run_all(
    instances: Vec<Instance>,
    process: Arc<ProcessSettings>,
    stop: CancellationToken,
) -> anyhow::Result<Vec<RunReport>> {
    let mut running = JoinSet::new();
    for instance in instances {
        let process = Arc::clone(&process);
        running.spawn(async move { instance.run(&process).await });
    }
    let mut reports = Vec::new();
    let mut fault = None;
    while let Some(done) = running.join_next().await {
        match done.context("an instance has ended by a bug").flatten() {
            Ok(report) => reports.extend(report),
            Err(error) => {
                stop.cancel();
                fault.get_or_insert(error);
            }
        }
    }
    fault.map_or(Ok(reports), Err)
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
