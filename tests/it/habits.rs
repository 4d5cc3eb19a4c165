//! What init systems other than systemd rely on: the background, files of the process, signals, exit codes.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};

use crate::forward::fill;
use crate::support::client::SmtpClient;
use crate::support::daemon::{Daemon, Program};
use crate::support::hop::{Script, ScriptedHop, reply};
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

/// Runs `emailrelay` in a directory.
fn run_in(dir: &Path, args: &[&str]) -> Output {
    let mut command = Program::Emailrelay.command();
    command.current_dir(dir).args(args).stdin(Stdio::null()).output().unwrap()
}

/// A process in the background, ended when dropped.
struct Background(Pid);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

fn link(pid: Pid, what: &str) -> String {
    fs::read_link(format!("/proc/{pid}/{what}")).unwrap().display().to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_background_process_lets_go_of_where_it_was_started() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("spool")).unwrap();
    let args =
        ["--as-server", "--no-syslog", "--user", "root", "--spool-dir", "spool", "--pid-file", "run/pid"];
    let more = ["--log-file", "log", "--interface", &format!("{}/smtp.s", dir.path().display())];
    let started = run_in(dir.path(), &[&args[..], &more[..]].concat());
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let pid_file = dir.path().join("run/pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    let daemon = Background(Pid::from_raw(text.trim_end().parse().unwrap()));
    assert_eq!(text, format!("{}\n", daemon.0));
    // A session of its own, but not its leader: no terminal can become its own.
    assert_ne!(getsid(Some(daemon.0)).unwrap(), getsid(None).unwrap());
    assert_ne!(getsid(Some(daemon.0)).unwrap(), daemon.0);
    assert_eq!(link(daemon.0, "cwd"), "/");
    wait_for("standard error to be closed", PATIENCE, || {
        (link(daemon.0, "fd/2") == "/dev/null").then_some(())
    });
    assert_eq!([link(daemon.0, "fd/0"), link(daemon.0, "fd/1")], ["/dev/null", "/dev/null"]);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.0)).unwrap();
    assert!(status.contains("Umask:\t0077"), "{status}");
    // Relative paths are those of the start. With --user root everybody may use the socket.
    let (log, socket) = (dir.path().join("log"), dir.path().join("smtp.s"));
    assert_eq!([mode(&log), mode(&pid_file), mode(&socket)], [0o660, 0o644, 0o777]);
    UnixStream::connect(&socket).unwrap();
    kill(daemon.0, Signal::SIGTERM).unwrap();
    wait_for("the end of pid file and socket", PATIENCE, || {
        (!pid_file.exists() && !socket.exists()).then_some(())
    });
    wait_for("the last line", PATIENCE, || {
        fs::read_to_string(&log).unwrap().ends_with("emailrelay: info: shutdown complete\n").then_some(())
    });
}

#[test]
fn what_a_crash_has_left_is_replaced() {
    let (spool, dir) = (TempSpool::new(), tempfile::tempdir().unwrap());
    let (pid_file, socket) = (dir.path().join("pid"), dir.path().join("smtp.s"));
    let args =
        ["--no-daemon", "--log", "--no-syslog", "--user", "root", "--spool-dir", spool.arg(), "--pid-file"];
    let more = [pid_file.to_str().unwrap(), "--interface", socket.to_str().unwrap()];
    let start = || {
        let mut command = Program::Emailrelay.command();
        command.args(args).args(more);
        let daemon = Daemon::start(command);
        daemon.line("smtp server on ");
        daemon
    };
    start().crash();
    let left = fs::read_to_string(&pid_file).unwrap();
    assert!(socket.exists());
    let again = start();
    assert_ne!(fs::read_to_string(&pid_file).unwrap(), left);
    UnixStream::connect(&socket).unwrap();
    // One that lives is left alone.
    let other = TempSpool::new();
    let taken = run_in(
        dir.path(),
        &[
            "--no-daemon",
            "--user",
            "root",
            "--spool-dir",
            other.arg(),
            "--interface",
            socket.to_str().unwrap(),
        ],
    );
    assert_eq!(taken.status.code(), Some(2), "{}", String::from_utf8_lossy(&taken.stderr));
    assert!(again.stop().success());
    assert!(!pid_file.exists() && !socket.exists());
}

#[test]
fn signals_have_their_exit_codes() {
    let code = |signals: &[Signal]| {
        let spool = TempSpool::new();
        let mut server = Daemon::server(&spool, &["--stop-timeout", "60"]);
        let mut client = SmtpClient::connect(server.address());
        // A message in its content: an orderly stop waits for it.
        for line in ["MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>", "DATA"] {
            client.command(line);
        }
        for signal in signals {
            server.signal(*signal);
            if *signal != Signal::SIGQUIT {
                server.line("shutting down: ");
            }
        }
        if signals.len() == 1 && signals != [Signal::SIGQUIT] {
            client.write(b"Subject: x\r\n.\r\n").unwrap();
            assert_eq!(client.reply().unwrap().code, 250);
            assert_eq!(spool.ready().len(), 1);
        }
        server.wait().code()
    };
    assert_eq!(code(&[Signal::SIGTERM]), Some(0));
    assert_eq!(code(&[Signal::SIGINT]), Some(0));
    assert_eq!(code(&[Signal::SIGINT, Signal::SIGINT]), Some(0));
    assert_eq!(code(&[Signal::SIGQUIT]), Some(131));
}

#[test]
fn exit_codes_tell_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let code = |args: &[&str]| {
        let output = run_in(dir.path(), args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (args, expected) in [
        (&["--help"][..], 0),
        (&["--version", "/nonexistent/file"], 0),
        (&["--dont-serve"], 0),
        (&["--nonsense"], 1),
        (&["/nonexistent/file"], 1),
        (&["--port=abc"], 1),
        (
            &["--no-daemon", "--user", "root", "--spool-dir", ".", "--port", "0", "--interface", "192.0.2.1"],
            2,
        ),
        (&["--user", "root", "--spool-dir", ".", "--port", "0", "--interface", "192.0.2.1"], 2),
    ] {
        let (code, said) = code(args);
        assert_eq!(code, Some(expected), "{args:?}: {said}");
    }
    let refusing = Script { rcpt: reply("550 no such user"), ..Script::well() };
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(refusing));
    fill(&spool, 1);
    let client = ["--user", "root", "--spool-dir", spool.arg(), "--as-client", &hop.arg()];
    let (plain, said) = code(&client);
    assert_eq!(plain, Some(0), "{said}");
    assert!(said.contains("\nemailrelay: warning: 1 of 1 messages failed\n"), "{said}");
    fill(&spool, 1);
    assert_eq!(code(&[&client[..], &["--strict-exit"]].concat()).0, Some(3));
}

#[test]
fn a_script_sees_the_name_that_it_used() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("myrelay.bin");
    std::os::unix::fs::symlink(Program::Emailrelay.path(), &name).unwrap();
    let output = Command::new(&name).arg("--nonsense").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.starts_with("myrelay: error: invalid option: \"--nonsense\"\n         try \"myrelay --help"),
        "{said}"
    );
    assert_eq!(fs::metadata(dir.path()).unwrap().nlink(), 2);
}
