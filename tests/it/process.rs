//! The process around the roles: background, pid file, identity, signals, log files, reload.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, free_port, loopback, wait_for};

/// A daemon in the background, found again by its pid file; ended when dropped.
struct Background {
    pid: Pid,
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
    }
}

fn run(args: &[&str]) -> Output {
    let mut command = Program::Emailrelay.command();
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn pid_in(file: &Path) -> Option<Pid> {
    fs::read_to_string(file).ok()?.trim().parse().ok().map(Pid::from_raw)
}

fn alive(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

/// The ids in a line of `/proc/PID/task/*/status`, one list per thread.
fn ids_of_threads(pid: Pid, line: &str) -> Vec<Vec<u32>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let ids = |status: String| {
        let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_default().to_owned();
        line.split_whitespace().filter_map(|id| id.parse().ok()).collect()
    };
    tasks.flatten().map(|task| ids(fs::read_to_string(task.path().join("status")).unwrap())).collect()
}

#[test]
fn the_background_daemon_is_ready_when_its_parent_ends() {
    let (spool, run_dir) = (TempSpool::new(), tempfile::tempdir().unwrap());
    let (port, pid_file) = (free_port().to_string(), run_dir.path().join("sub/relay.pid"));
    let log = run_dir.path().join("logs/relay-%d");
    let args = ["--as-server", "--no-syslog", "--user", "root", "--interface", "127.0.0.1", "--port", &port];
    let more = [
        "--spool-dir",
        spool.arg(),
        "--pid-file",
        pid_file.to_str().unwrap(),
        "--log-file",
        log.to_str().unwrap(),
    ];
    let output = run(&[&args[..], &more[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let daemon = Background { pid: pid_in(&pid_file).unwrap() };
    assert_eq!(fs::metadata(&pid_file).unwrap().permissions().mode() & 0o777, 0o644);
    SmtpClient::connect(loopback(port.parse().unwrap())).send("a@b.c", &["d@e.f"], b"x\r\n");
    assert_eq!(spool.ready().len(), 1);

    let second = run(&[&args[..6], &["--port", "0"], &more[..]].concat());
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains(&format!("already running: pid {}", daemon.pid)), "{}", stderr(&second));
    let taken = run(&[&args[..], &["--spool-dir", spool.arg()]].concat());
    assert_eq!(taken.status.code(), Some(2), "{}", stderr(&taken));
    assert!(stderr(&taken).contains("address already in use"), "{}", stderr(&taken));

    kill(daemon.pid, Signal::SIGTERM).unwrap();
    wait_for("the end of the daemon", PATIENCE, || (!alive(daemon.pid)).then_some(()));
    assert!(!pid_file.exists());
    let logs: Vec<_> = fs::read_dir(run_dir.path().join("logs")).unwrap().flatten().collect();
    assert_eq!(logs.len(), 1);
    let text = fs::read_to_string(logs[0].path()).unwrap();
    assert!(text.contains("emailrelay: info: message stored [emailrelay."), "{text}");
    assert!(text.ends_with("emailrelay: info: shutdown complete\n"), "{text}");
}

#[test]
fn faults_of_the_daemon_are_the_exit_code_of_its_parent() {
    let missing = run(&[
        "--as-server",
        "--no-syslog",
        "--user",
        "root",
        "--port",
        "0",
        "--spool-dir",
        "/nonexistent/spool",
    ]);
    assert_eq!(missing.status.code(), Some(1));
    let text = stderr(&missing);
    assert!(
        text.contains(
            "emailrelay: error: invalid spool directory: /nonexistent/spool: no such file or directory"
        ),
        "{text}"
    );
    let nobody =
        run(&["--as-server", "--no-syslog", "--user", "nosuchuser", "--port", "0", "--spool-dir", "/tmp"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("emailrelay: error: no such user: nosuchuser"), "{}", stderr(&nobody));
    let idle = run(&["--dont-serve", "--no-daemon", "--spool-dir", "/tmp"]);
    assert_eq!((idle.status.code(), stderr(&idle).as_str()), (Some(0), "emailrelay: nothing to do\n"));
}

#[test]
fn root_is_given_up_for_good() {
    require!(need::root());
    let spool = TempSpool::new();
    let nobody = Command::new("id").args(["-u", "nobody"]).output().unwrap();
    let uid: u32 = String::from_utf8(nobody.stdout).unwrap().trim().parse().unwrap();
    std::os::unix::fs::chown(spool.path(), Some(uid), None).unwrap();
    // A privileged port, so that it was bound with the rights of root.
    let server = {
        let mut command = Program::Emailrelay.command();
        command.args(["--no-daemon", "--log", "--no-syslog", "--user", "nobody", "--port", "825"]);
        command.args(["--interface", "127.0.0.1", "--spool-dir", spool.arg()]);
        Daemon::start(command)
    };
    let address = server.address();
    SmtpClient::connect(address).send("a@b.c", &["d@e.f"], b"x\r\n");
    let pid = Pid::from_raw(server.pid().try_into().unwrap());
    for line in ["Uid:", "Gid:"] {
        let threads = ids_of_threads(pid, line);
        assert!(
            threads.len() > 1 && threads.iter().all(|ids| ids.len() == 4 && !ids.contains(&0)),
            "{line} {threads:?}"
        );
    }
    assert!(ids_of_threads(pid, "Groups:").iter().all(Vec::is_empty));
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
        }
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    let file = spool.path().join(&spool.ready()[0]);
    let meta = fs::metadata(file).unwrap();
    assert_eq!((meta.uid(), meta.permissions().mode() & 0o777), (uid, 0o660));
    assert!(server.stop().success());
}

#[test]
fn reload_changes_the_next_session_and_keeps_the_present_one() {
    let (spool, dir) = (TempSpool::new(), tempfile::tempdir().unwrap());
    let conf = dir.path().join("relay.conf");
    fs::write(&conf, "size 1000\n").unwrap();
    let server = Daemon::server(&spool, &[conf.to_str().unwrap()]);
    let mut old = SmtpClient::connect(server.address());
    assert!(old.command("EHLO x").lines.contains(&"SIZE 1000".to_owned()));
    fs::write(&conf, "size 2000\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.line("configuration reloaded");
    assert!(SmtpClient::connect(server.address()).command("EHLO x").lines.contains(&"SIZE 2000".to_owned()));
    old.send("a@b.c", &["d@e.f"], b"x\r\n");
    fs::write(&conf, "size 3000\nnonsense\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.line("reload failed: ");
    assert!(SmtpClient::connect(server.address()).command("EHLO x").lines.contains(&"SIZE 2000".to_owned()));
    assert!(server.stop().success());
}

#[test]
fn a_reload_in_the_background_reads_relative_paths_as_the_start_did() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("spool")).unwrap();
    let configuration = |size: &str| {
        let text = format!("size {size}\nserver-auth secrets\n");
        fs::write(dir.path().join("relay.conf"), text).unwrap();
    };
    configuration("1000");
    fs::write(dir.path().join("secrets"), "server plain alice secret\n").unwrap();
    fs::set_permissions(dir.path().join("secrets"), fs::Permissions::from_mode(0o600)).unwrap();
    let port = free_port();
    let mut command = Program::Emailrelay.command();
    command.args(["--as-server", "--no-syslog", "--user", "root", "--interface", "127.0.0.1", "--port"]);
    command.args([&port.to_string(), "--spool-dir", "spool", "--pid-file", "pid", "--log-file", "log"]);
    let output = command.arg("relay.conf").current_dir(&dir).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let daemon = Background { pid: pid_in(&dir.path().join("pid")).unwrap() };
    configuration("2000");
    kill(daemon.pid, Signal::SIGHUP).unwrap();
    let log = || fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    let ended = wait_for("the reload", PATIENCE, || {
        let log = log();
        (log.contains("configuration reloaded") || log.contains("reload failed")).then_some(log)
    });
    assert!(ended.contains("configuration reloaded"), "{ended}");
    assert!(!ended.contains("needs a restart"), "{ended}");
    assert!(SmtpClient::connect(loopback(port)).command("EHLO x").lines.contains(&"SIZE 2000".to_owned()));
}

#[test]
fn signals_reopen_the_log_and_tell_the_status() {
    let (spool, dir) = (TempSpool::new(), tempfile::tempdir().unwrap());
    let log = dir.path().join("relay.log");
    let port = free_port();
    let mut command = Program::Emailrelay.command();
    command.args(["--no-daemon", "--log", "--no-syslog", "--user", "root", "--interface", "127.0.0.1"]);
    command.args([
        "--port",
        &port.to_string(),
        "--spool-dir",
        spool.arg(),
        "--log-file",
        log.to_str().unwrap(),
    ]);
    let mut server = Daemon::start(command);
    let has =
        |file: &Path, text: &str| fs::read_to_string(file).is_ok_and(|log| log.contains(text)).then_some(());
    wait_for("the listening line", PATIENCE, || has(&log, "smtp server on"));
    let rotated = dir.path().join("relay.log.1");
    fs::rename(&log, &rotated).unwrap();
    server.signal(Signal::SIGUSR1);
    server.signal(Signal::SIGUSR2);
    wait_for("the status line in the new file", PATIENCE, || has(&log, "status: "));
    assert!(has(&log, "0 waiting, 0 busy, 0 bad").is_some());
    server.signal(Signal::SIGQUIT);
    assert_eq!(server.wait().code(), Some(131));
}

#[test]
fn two_instances_share_a_process() {
    let (one, two) = (TempSpool::new(), TempSpool::new());
    let mut command = Program::Emailrelay.command();
    command.args(["--no-daemon", "--log", "--no-syslog", "--user", "root"]);
    command.args(["--in-spool-dir", one.arg(), "--in-port", "0", "--in-interface", "127.0.0.1"]);
    command.args(["--out-spool-dir", two.arg(), "--out-port", "0", "--out-interface", "127.0.0.1"]);
    let server = Daemon::start(command);
    for (name, spool) in [("in", &one), ("out", &two)] {
        let line = server.line(&format!("[{name}] smtp server on "));
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        SmtpClient::connect(address).send("a@b.c", &["d@e.f"], b"x\r\n");
        assert_eq!(spool.ready().len(), 1, "{name}");
    }
    assert!(server.stop().success());
}
