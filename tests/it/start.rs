//! Bringing the process up: what is opened with which rights, and who is told when it fails.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::support::daemon::{Daemon, Program};
use crate::support::need::{self, require};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

fn run(args: &[&str]) -> Output {
    Program::Emailrelay.command().args(args).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_unix_socket_is_still_there_in_the_background() {
    let (spool, dir) = (TempSpool::new(), tempfile::tempdir().unwrap());
    let (socket, pid_file) = (dir.path().join("smtp.s"), dir.path().join("relay.pid"));
    let args = ["--as-server", "--no-syslog", "--user", "root", "--spool-dir", spool.arg(), "--interface"];
    let started =
        run(&[&args[..], &[socket.to_str().unwrap(), "--pid-file", pid_file.to_str().unwrap()]].concat());
    assert!(started.status.success(), "{}", stderr(&started));
    let pid = Pid::from_raw(fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap());
    let connected = UnixStream::connect(&socket);
    kill(pid, Signal::SIGQUIT).unwrap();
    connected.unwrap();
    wait_for("the end of socket and pid file", PATIENCE, || {
        (!socket.exists() && !pid_file.exists()).then_some(())
    });
}

#[test]
fn what_root_opens_is_for_the_user_it_becomes() {
    require!(need::root());
    let (spool, dir) = (TempSpool::new(), tempfile::tempdir().unwrap());
    let nobody = User::from_name("nobody").unwrap().unwrap();
    chown(spool.path(), Some(nobody.uid.as_raw()), None).unwrap();
    // Directories of root, as /var/log and /run.
    let (log, socket) = (dir.path().join("relay.log"), dir.path().join("smtp.s"));
    let mut command = Program::Emailrelay.command();
    command.args(["--no-daemon", "--log", "--no-syslog", "--user", "nobody", "--spool-dir", spool.arg()]);
    command.args(["--interface", socket.to_str().unwrap(), "--log-file", log.to_str().unwrap()]);
    let daemon = Daemon::start(command);
    wait_for("the listening line", PATIENCE, || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("smtp server on")).then_some(())
    });
    let (log, socket) = (fs::metadata(&log).unwrap(), fs::metadata(&socket).unwrap());
    assert_eq!((log.uid(), log.permissions().mode() & 0o777), (nobody.uid.as_raw(), 0o660));
    assert_eq!((socket.gid(), socket.permissions().mode() & 0o777), (nobody.gid.as_raw(), 0o770));
    assert!(daemon.stop().success());
}

#[test]
fn a_fatal_error_is_in_the_log_file_and_once_on_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("relay.log");
    let args = ["--no-daemon", "--log", "--no-syslog", "--user", "root", "--port", "0", "--spool-dir"];
    for (more, line) in [
        (
            &["/nonexistent", "--interface", "127.0.0.1"],
            "emailrelay: error: invalid spool directory: /nonexistent: no such file or directory\n",
        ),
        (
            &["/tmp", "--interface", "192.0.2.1"],
            "emailrelay: error: socket bind error: 192.0.2.1: cannot assign requested address\n",
        ),
    ] {
        let output = run(&[&args[..], more, &["--log-file", log.to_str().unwrap()]].concat());
        assert_eq!(stderr(&output), line);
        assert!(fs::read_to_string(&log).unwrap().ends_with(line));
        // With the log on stderr there is one line all the same.
        let output = run(&[&args[..], more].concat());
        assert_eq!(stderr(&output).matches(line).count(), 1, "{}", stderr(&output));
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let spool = TempSpool::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", Program::Emailrelay.path()]);
    command.args(["--no-daemon", "--log", "--no-syslog", "--user", "root", "--interface", "127.0.0.1"]);
    command.args(["--port", "0", "--spool-dir", spool.arg()]);
    command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
    let server = Daemon::start(command);
    server.address();
    server.signal(Signal::SIGHUP);
    server.signal(Signal::SIGUSR2);
    server.line("0 waiting, 0 busy, 0 bad");
    assert!(!server.lines().iter().any(|line| line.contains("reloaded")), "{:?}", server.lines());
    assert!(server.stop().success());
}

#[test]
fn a_mistyped_next_hop_is_told_while_clients_are_served() {
    let spool = TempSpool::new();
    let server = Daemon::server(&spool, &["--forward-to", "mistyped.invalid:25"]);
    server.line("emailrelay: warning: dns lookup of forward-to address failed: dns error: no such host");
    assert!(server.stop().success());
}

#[test]
fn a_reload_changes_how_much_is_logged_and_tells_what_stays() {
    let (spool, dir) = (TempSpool::new(), tempfile::tempdir().unwrap());
    let conf = dir.path().join("relay.conf");
    fs::write(&conf, "stop-timeout 20\n").unwrap();
    let server = Daemon::quiet_server(&spool, &[conf.to_str().unwrap()]);
    fs::write(&conf, "stop-timeout 10\nverbose\nverbose\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.line("reload: change of --stop-timeout needs a restart");
    server.line("configuration reloaded");
    server.signal(Signal::SIGUSR1);
    server.line("log files reopened");
    assert!(server.stop().success());
}

#[test]
fn check_looks_at_accounts_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let log = format!("{}/relay.log/x", dir.path().display());
    fs::write(dir.path().join("relay.log"), "").unwrap();
    let output = run(&["--check", "--user", "nosuchuser", "--spool-dir", "/tmp", "--log-file", &log]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        format!(
            "emailrelay: error: no such user: nosuchuser\nemailrelay: error: cannot open log file: {log}: not a directory\n"
        )
    );
}
