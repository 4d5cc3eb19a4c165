//! Several instances by prefix, and `--instance`.

use super::files::directory;
use super::*;

fn names(invocation: &Invocation) -> Vec<(&str, u16)> {
    invocation.instances.iter().map(|one| (one.name.as_str(), one.smtp.port)).collect()
}

#[test]
fn a_prefixed_spool_directory_makes_an_instance() {
    let two = good("--in-spool-dir=/a --out-spool-dir=/b --out-port=587 --port=26 --Out_3-spool-dir /c");
    assert_eq!(names(&two), [("in", 26), ("out", 587), ("Out_3", 25)]);
    assert_eq!(two.instances[1].spool_dir, PathBuf::from("/b"));
    let nameless = good("--out-port=587 --spool-dir=/a --out-spool-dir=/b");
    assert_eq!(names(&nameless), [("", 25), ("out", 587)]);
}

#[test]
fn prefixes_are_checked_like_anything_else() {
    for (line, text) in [
        ("--in-spool-dir=/a --foo-port=25", "error: invalid option: \"--foo-port\""),
        ("--in-spool-dir=/a --in-port=1 --port=2", "error: duplicate use of \"--port\""),
        ("--in-spool-dir=/a --in-spool-dir=/b", "error: duplicate use of \"--in-spool-dir\""),
        (
            "--in-spool-dir=/a --out-spool-dir=/b --out-forward",
            "usage error: --forward requires --forward-to",
        ),
        ("--in-foo=1 --in-spool-dir=/a", "error: invalid option: \"--in-foo\""),
    ] {
        assert_eq!(bad(line), text, "{line}");
    }
    assert_eq!(names(&good("--in-spool-dir=/a --in-spool-dir=/a")), [("in", 25)]);
}

#[test]
fn options_of_the_process_come_from_the_first_instance() {
    let both = good("--in-spool-dir=/a --out-spool-dir=/b --in-log --out-verbose --out-pid-file=/x");
    assert!(both.process.log.enabled && both.process.pid_file.is_none());
    assert_eq!(
        both.warnings,
        [
            "--out-verbose is for the whole process: ignored on this instance",
            "--out-pid-file is for the whole process: ignored on this instance",
        ]
    );
    let second = good("--in-spool-dir=/a --out-spool-dir=/b --out-as-client=h:25");
    assert!(second.process.daemon && !second.process.log.enabled);
    assert!(second.instances[1].ends_after_first_run() && second.instances[0].smtp.enabled);
}

#[test]
fn one_spool_directory_for_two_instances_is_suspicious() {
    let (dir, env) = directory(&[]);
    std::fs::create_dir(dir.path().join("a")).unwrap();
    let both = run_in(Program::Relay, "-t --in-spool-dir=a --out-spool-dir=./a/../a", &env).unwrap();
    assert_eq!(both.warnings, ["more than one instance uses the spool directory ./a/../a"]);
}

#[test]
fn one_instance_can_be_chosen() {
    let conf = b"in-spool-dir /a\nout-spool-dir /b\nin-port 26\nout-port 587\nsize 5\nlog-time\nout-forward-to h:25\n";
    let (_dir, env) = directory(&[("conf", conf)]);
    let out = run_in(Program::Smtp, "--instance out --domain=x conf", &env).unwrap();
    assert_eq!(names(&out), [("out", 587)]);
    assert_eq!(out.instances[0].domain.as_deref(), Some("x"));
    assert_eq!(out.instances[0].smtp.max_size, None, "what has no prefix in the file is for the first");
    assert!(out.process.log.format.time);
    let own = run_in(Program::Smtp, "--instance out --spool-dir=/c conf", &env).unwrap();
    assert_eq!(own.instances[0].spool_dir, PathBuf::from("/c"));
    let all = run_in(Program::Smtp, "conf", &env).unwrap();
    assert_eq!(names(&all), [("in", 26), ("out", 587)]);
    let forward = run_in(Program::Forward, "conf", &env).unwrap();
    assert_eq!(forward.instances.iter().filter(|one| one.has_work()).count(), 1);
    let none = run_in(Program::Smtp, "--instance=x conf", &env).unwrap_err();
    assert_eq!(
        none.stderr,
        "emailrelay-smtp: usage error: no such instance: \"x\": there is no x-spool-dir\n"
    );
    assert_eq!(names(&good("--instance=x --spool-dir=/x --port=99")), [("x", 99)]);
}

#[test]
fn sending_on_at_once_is_a_matter_of_the_instance() {
    let conf = b"in-spool-dir /a\nout-spool-dir /b\nin-immediate\nin-forward-to h:25\nin-client-auth /in\nout-forward-to h:26\n\
        out-client-auth /out\n";
    let (_dir, env) = directory(&[("conf", conf)]);
    let both = run_in(Program::Smtp, "conf", &env).unwrap();
    let sends: Vec<_> =
        both.instances.iter().map(|one| (one.forward.to.is_some(), one.forward.auth.is_some())).collect();
    assert_eq!(sends, [(true, true), (false, false)]);
    for (instance, sends) in [("in", true), ("out", false)] {
        let one = run_in(Program::Smtp, &format!("--instance {instance} conf"), &env).unwrap();
        assert_eq!(one.instances[0].forward.to.is_some(), sends, "{instance}");
    }
}
