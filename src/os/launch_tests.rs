//! What a program sees that we start.

use std::fs::File;
use std::io::Read;

use super::*;

fn shell(script: &str) -> Launch {
    Launch {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into(), "name".into(), "a b".into()],
        variables: Vec::new(),
    }
}

fn run(launched: &Launch) -> (String, u8) {
    let (mut process, output) = launch(launched).expect("start");
    let mut text = String::new();
    File::from(output).read_to_string(&mut text).expect("output");
    loop {
        if let Some(code) = process.reap() {
            return (text, code);
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_program_gets_nothing_of_ours() {
    let open = File::open("/dev/null").expect("open");
    // A descriptor that forgot to close itself.
    nix::fcntl::fcntl(&open, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).expect("flag");
    let (text, code) = run(&shell(
        "/usr/bin/env | sort; umask; readlink /proc/$$/fd/0 /proc/$$/fd/2; ls /proc/$$/fd | tr '\\n' ' '; \
         grep NoNewPrivs /proc/$$/status; ulimit -c; cut -d' ' -f5 /proc/$$/stat; echo $$; echo \"$1\"",
    ));
    let lines: Vec<&str> = text.lines().collect();
    assert!(text.contains("PATH=/usr/bin:/bin\n"), "{text}");
    let foreign =
        |line: &&&str| line.contains('=') && !line.starts_with("PATH=") && !line.starts_with("IFS=");
    // The shell adds PWD, OLDPWD and _ of its own.
    let added = ["PWD=", "OLDPWD=", "_=", "SHLVL="];
    assert!(
        !lines.iter().filter(foreign).any(|line| !added.iter().any(|own| line.starts_with(own))),
        "{text}"
    );
    assert!(text.contains("0077\n/dev/null\n/dev/null\n0 1 2 "), "{text}");
    assert!(text.contains("NoNewPrivs:\t1\n0\n"), "{text}");
    assert_eq!(lines[lines.len() - 3], lines[lines.len() - 2], "not in a group of its own: {text}");
    assert_eq!((lines[lines.len() - 1], code), ("a b", 0));
}

#[test]
fn the_environment_is_exactly_what_is_documented() {
    let launch = Launch {
        program: "/usr/bin/env".into(),
        arguments: vec!["-0".into()],
        variables: vec![("EMAILRELAY_ID", "x".into())],
    };
    let (text, _) = run(&launch);
    let mut variables: Vec<&str> = text.split_terminator('\0').collect();
    variables.sort_unstable();
    assert_eq!(variables, ["EMAILRELAY_ID=x", "IFS= \t\n", "PATH=/usr/bin:/bin"]);
}

#[test]
fn every_kind_of_end_has_a_code() {
    assert_eq!(run(&shell("exit 255")).1, 255);
    assert_eq!(run(&shell("kill -9 $$")).1, 137);
    let missing = Launch { program: "/no/such".into(), ..shell("") };
    let error = launch(&missing).expect_err("missing");
    assert_eq!(crate::os::reason(&error), "no such file or directory");
    assert!(!is_shortage(&error));
    let text = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(text.path(), "echo not a program\n").expect("write");
    nix::sys::stat::fchmod(&text, nix::sys::stat::Mode::S_IRWXU).expect("mode");
    // A file that is open for writing cannot be executed.
    let path = text.into_temp_path();
    let odd = Launch { program: path.to_path_buf(), ..shell("") };
    let reason = loop {
        let reason = crate::os::reason(&launch(&odd).expect_err("no shell is asked"));
        // A process that another test has just started may still have it open.
        if reason != "text file busy" {
            break reason;
        }
    };
    assert_eq!(reason, "exec format error");
    let directory = Launch { program: "/tmp".into(), ..shell("") };
    assert_eq!(crate::os::reason(&launch(&directory).expect_err("directory")), "permission denied");
}
