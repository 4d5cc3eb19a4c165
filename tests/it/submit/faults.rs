//! What `emailrelay-submit` says and returns when something is wrong; nothing is ever left in the spool.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use super::*;

/// The user and group that stand for "somebody else" when the tests run as root.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn every_error_has_its_text_and_exit_code() {
    let table: &[(&[&str], &str, i32, &str)] = &[
        (&["--foo"], "", 64, "error: invalid option: \"--foo\""),
        (&["--from"], "", 64, "error: no value supplied for \"--from\""),
        (&["-f"], "", 64, "error: no value supplied for -f"),
        (&["--size=1k"], "", 64, "usage error: invalid value for --size: \"1k\""),
        (&["-f", "@x", "a@x"], "", 65, "invalid sender address: [@x]"),
        (&["a@"], "", 65, "invalid recipient address: [a@]"),
        (
            &["a@x"],
            "Subject: s\nFrom: a b\n\n",
            65,
            "rfc-5322/6532 parsing error: invalid address-list: line 2",
        ),
        (&[], "To: a@x, (\n\n", 65, "rfc-5322/6532 parsing error: parsing error at position 6: line 1"),
        (&["-t"], "", 65, "content-to option used but no envelope-to addresses have been defined"),
        (&[], "Subject: s\n\n", 65, "no recipients"),
        (&["-C", "!", "-C", "!!", "a@x"], "", 65, "base64 encoding error"),
        (
            &["--size=9", "a@x"],
            "A: b\n\nx\n",
            65,
            "message size exceeds fixed maximum message size of 9 bytes",
        ),
        (&["-x", "/no/such/file", "a@x"], "", 66, "cannot open input file [/no/such/file]"),
        (&["-x", "/", "a@x"], "", 66, "cannot read input: is a directory"),
    ];
    for (arguments, input, code, text) in table {
        let spool = Spool::new();
        let stderr = format!("emailrelay-submit: {text}\n");
        let expected = Run { code: Some(*code), stdout: String::new(), stderr };
        assert_eq!(spool.submit(arguments, input), expected, "{arguments:?}");
        assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0, "{arguments:?}");
    }
}

#[test]
fn a_header_over_one_mebibyte_is_refused() {
    let spool = Spool::new();
    let result = spool.submit(&["a@x"], "x".repeat(1_100_000));
    assert_eq!(result.code, Some(65));
    assert_eq!(result.stderr, "emailrelay-submit: message header is bigger than 1048576 bytes\n");
    assert!(spool.files().is_empty());
}

#[test]
fn more_recipients_than_an_envelope_holds_are_refused() {
    let spool = Spool::new();
    let result = spool.submit(&[], format!("To: {}\n", "a@x,".repeat(100_000)));
    assert_eq!((result.code, result.stderr.as_str()), (Some(65), "emailrelay-submit: too many recipients\n"));
    assert!(spool.files().is_empty());
}

#[test]
fn more_split_messages_than_open_files_are_stored_or_refused() {
    let spool = Spool::new();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 64; exec \"$@\"", "sh", PROGRAM, "-s"]).arg(spool.path()).arg("-b");
    assert_eq!(run(command, format!("Bcc: {}\n\nbody\n", "a@x,".repeat(200))), done());
    assert_eq!(spool.ending(".content").len(), 200);
    let spool = Spool::new();
    let result = spool.submit(&["-b"], format!("Bcc: {}\n\nbody\n", "a@x,".repeat(10_001)));
    assert_eq!(result.stderr, "emailrelay-submit: too many bcc recipients to split: 10001\n");
    assert_eq!(result.code, Some(65));
    assert!(spool.files().is_empty());
}

#[test]
fn a_missing_spool_directory_is_temporary() {
    let mut command = Command::new(PROGRAM);
    command.args(["-s", "/no/such/dir", "a@x"]);
    let stderr =
        "emailrelay-submit: invalid spool directory: /no/such/dir: no such file or directory\n".to_owned();
    assert_eq!(run(command, ""), Run { code: Some(75), stdout: String::new(), stderr });
}

#[test]
fn app_is_the_directory_of_the_program() {
    let mut command = Command::new(PROGRAM);
    command.args(["-s", "@app/no-such-spool", "a@x"]);
    let directory = program_directory().join("no-such-spool");
    let stderr = format!(
        "emailrelay-submit: invalid spool directory: {}: no such file or directory\n",
        directory.display()
    );
    assert_eq!(run(command, ""), Run { code: Some(75), stdout: String::new(), stderr });
}

#[test]
fn a_write_that_fails_is_temporary_and_leaves_nothing() {
    // A limit on the size of files fails the write half way through, as a full disk does.
    let spool = Spool::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "sh", PROGRAM, "-s"]).arg(spool.path());
    command.args(["-b", "-f", "f@x"]);
    let body = "x".repeat(76) + "\n";
    let result = run(command, format!("To: a@x\nBcc: b@x, c@x\n\n{}", body.repeat(10_000)));
    assert_eq!(result.code, Some(75));
    let prefix = format!(
        "emailrelay-submit: message store error: cannot write content file {}/emailrelay.",
        spool.path().display()
    );
    assert!(result.stderr.starts_with(&prefix), "{}", result.stderr);
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_may_not_be_written_is_temporary() {
    let spool = Spool::new();
    fs::set_permissions(spool.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let arguments = ["--debug", "-N", "a@x"];
    let result = if is_root() {
        let Some(dir) = program_for_all() else { return };
        let mut command = Command::new(dir.path().join("emailrelay-submit"));
        command.arg("-s").arg(spool.path()).args(arguments).uid(NOBODY).gid(NOBODY);
        run(command, "")
    } else {
        spool.submit(&arguments, "")
    };
    assert_eq!(result.code, Some(75));
    let directory = spool.path().display();
    assert!(
        result.stderr.contains(&format!("warning: directory not writable: \"{directory}\"\n")),
        "{}",
        result.stderr
    );
    let text = format!("message store error: cannot write content file {directory}/emailrelay.");
    assert!(result.stderr.contains(&text), "{}", result.stderr);
}

#[test]
fn memory_is_bounded_however_long_the_body_is() {
    let spool = Spool::new();
    let mut command = Command::new("sh");
    let script = "yes 0123456789012345678901234567890123456789 | head -c 60000000 | \
                  (ulimit -v 50000; exec \"$@\")";
    command.args(["-c", script, "sh", PROGRAM, "-s"]).arg(spool.path()).args(["-B", "a@x"]);
    assert_eq!(run(command, ""), done());
    assert!(spool.content_bytes().len() > 60_000_000);
}

/// A copy of the program in a directory that everybody may enter.
fn program_for_all() -> Option<TempDir> {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("emailrelay-submit");
    // Copied by another process: a descriptor of ours could be inherited by children of other tests and keep the
    // program from being run.
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    let tried = Command::new(&program).arg("-V").stdout(Stdio::null()).uid(NOBODY).gid(NOBODY).status();
    if tried.is_ok_and(|status| status.success()) {
        return Some(dir);
    }
    skip("programs in the temporary directory cannot be run by others");
    None
}
