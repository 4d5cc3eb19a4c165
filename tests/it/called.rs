//! `emailrelay` under other names: links to it are the tools.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::daemon::Program;
use crate::support::{package, spool};

/// A directory with `emailrelay` in `sbin`, and a place for links to it.
struct Installed {
    root: TempDir,
}

impl Installed {
    fn new() -> Self {
        // Where the program is, so that it need not be copied.
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir(root.path().join("sbin")).unwrap();
        fs::create_dir(root.path().join("bin")).unwrap();
        let program = root.path().join("sbin/emailrelay");
        fs::hard_link(Program::Emailrelay.path(), &program)
            .or_else(|_| fs::copy(Program::Emailrelay.path(), &program).map(drop))
            .unwrap();
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A link to the program, ready to be run.
    fn link(&self, name: &str) -> Command {
        let link = self.path("bin").join(name);
        symlink("../sbin/emailrelay", &link).unwrap();
        Command::new(link)
    }
}

/// Exit code, standard output, standard error.
fn run(mut command: Command, args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn stored(spool: &Path, suffix: &str) -> Vec<String> {
    spool::list(spool).into_iter().filter(|name| name.ends_with(suffix)).collect()
}

#[test]
fn a_link_is_the_program_of_its_name() {
    let installed = Installed::new();
    for program in [
        Program::Submit,
        Program::Passwd,
        Program::Notify,
        Program::Resubmit,
        Program::Queue,
        Program::Poke,
        Program::FilterCopy,
        Program::Multicast,
    ] {
        let name = Path::new(program.path()).file_name().unwrap().to_str().unwrap();
        let args: &[&str] = &["--help", "--verbose"];
        let own = program.run(args);
        assert!(format!("{}{}", own.1, own.2).contains(name), "{name}: {own:?}");
        assert_eq!(run(installed.link(name), args, ""), own, "{name}");
    }
}

/// The links of the package for routers.
#[test]
fn every_link_of_openwrt_is_a_tool() {
    let installed = Installed::new();
    let makefile = fs::read_to_string(package().join("packaging/openwrt/Makefile")).unwrap();
    let readme = fs::read_to_string(package().join("packaging/openwrt/README.md")).unwrap();
    let tools = makefile.lines().find_map(|line| line.strip_prefix("TOOLS:=")).unwrap();
    for tool in tools.split_whitespace() {
        let (_, stdout, stderr) = run(installed.link(tool), &["--help"], "");
        let usage = format!("{stdout}{stderr}");
        assert!(usage.contains(&format!("usage: {tool} ")), "{tool}: {usage}");
        assert!(readme.contains(&format!("`{tool}`")), "{tool}");
    }
}

#[test]
fn a_link_passes_its_arguments_and_input() {
    let installed = Installed::new();
    let masked = "qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=\n";
    let passwd = run(installed.link("emailrelay-passwd"), &["-H", "md5"], "secret\n");
    assert_eq!(passwd, (Some(0), masked.to_owned(), String::new()));
    let (code, _, stderr) = run(installed.link("emailrelay-submit"), &["--foo"], "");
    assert_eq!((code, stderr.as_str()), (Some(64), "emailrelay-submit: error: invalid option: \"--foo\"\n"));
    let (code, _, stderr) = run(installed.link("emailrelay-resubmit.sh"), &["/nonexistent"], "");
    assert_eq!((code, stderr.as_str()), (Some(1), "emailrelay-resubmit.sh: invalid spool directory\n"));
}

/// As when the link `sendmail` is `/usr/sbin/sendmail` and the program somewhere else.
#[test]
fn app_is_the_directory_of_the_program_behind_the_link() {
    let installed = Installed::new();
    let spool = installed.path("sbin/spool");
    fs::create_dir(&spool).unwrap();
    let args = ["--spool-dir", "@app/spool", "--from", "a@example.com", "b@example.net"];
    let submitted = run(installed.link("emailrelay-submit-2"), &args, "Subject: x\n\nHello\n");
    assert_eq!(submitted, (Some(0), String::new(), String::new()));
    assert_eq!(stored(&spool, ".envelope").len(), 1);
}

#[test]
fn mailq_and_newaliases_are_links_too() {
    let installed = Installed::new();
    let (code, _, stderr) = run(installed.link("emailrelay-sendmail.pl"), &["-bd"], "");
    assert_eq!(code, Some(64), "{stderr}");
    assert!(stderr.starts_with("emailrelay-sendmail.pl: "), "{stderr}");
    assert_eq!(run(installed.link("newaliases"), &[], ""), (Some(0), String::new(), String::new()));
    let (code, stdout, stderr) = run(installed.link("mailq"), &["--foo"], "");
    assert_eq!((code, stdout.as_str()), (Some(64), ""), "{stderr}");
    assert!(stderr.starts_with("mailq: "), "{stderr}");
    let (code, stdout, stderr) = run(installed.link("sendmail"), &["-bd"], "");
    assert_eq!((code, stdout.as_str()), (Some(64), ""), "{stderr}");
    assert!(stderr.starts_with("sendmail: "), "{stderr}");
}

/// Servers have been told apart in the log by such names.
#[test]
fn other_names_are_the_relay() {
    let installed = Installed::new();
    for name in ["emailrelay-2", "emailrelay-smtp", "relay"] {
        let (code, stdout, stderr) = run(installed.link(name), &["--as-server", "--foo"], "");
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        let line = format!("{name}: error: invalid option: \"--foo\"\n");
        assert!(stderr.starts_with(&line), "{stderr}");
    }
}
