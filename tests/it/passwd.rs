//! `emailrelay-passwd`, the real program, from pipes and on a terminal.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::support::daemon::Program;
use crate::support::need::{self, require};

/// The masked forms of `secret`, from the specification of the secrets file.
const MD5: &str = "qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=\n";
const DOTTED: &str =
    "4059553961.2316091643.3282746241.1444639637.3735501773.3404060330.2760590371.1201092398\n";
const SHA1: &str = "Q3Lhrmvp8z2xD/Ckw5CktjQgnZJMDx4Jfie1bDm2vuIxCA2mza3ItQ==\n";
const SHA256: &str =
    "MU+AcmgBQrCi3tMEopHp9AaJHBuUFRa+dPsCsrPOyK8qB4RaItI3q605sXVkJan3vnT2x5l955idaG8fRVLgKQ==\n";

/// Exit code, standard output and standard error.
fn run(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Program::Passwd.command();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its options reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn passwords_get_the_forms_of_the_secrets_file() {
    let long = "x".repeat(70);
    for (args, input, output) in [
        (&[][..], "secret\n", MD5),
        (&["-H", "md5"], " secret \r\n", MD5),
        (&["-d"], "secret", DOTTED),
        (&["--hash=SHA1"], "secret\n", SHA1),
        (&["--hash", "sha256"], "secret\nmore\n", SHA256),
        (&["--hash=none"], "a b+c=\n", "a+20b+2Bc+3D\n"),
        (&["--hash=none", "--raw"], " a \n", "+20a+20\n"),
        (&["-b"], "c2VjcmV0\n", MD5),
        (&["-p", "secret", "-t", "--tls-config=x"], "", MD5),
        (&[], &long, "6+cWPf90Aa+1qhbU7c+fH4EDuzoqS5apypzOTv7MjSI=\n"),
    ] {
        assert_eq!(run(args, input), (Some(0), output.to_owned(), String::new()), "{args:?}");
    }
    let (code, sha512, _) = run(&["-H", "SHA512"], "secret\n");
    assert_eq!((code, sha512.len()), (Some(0), 173));
    // Another salt each time, and good for the same password.
    let scram = || run(&["-H", "scram-sha-256"], "secret\n").1;
    let (one, other) = (scram(), scram());
    assert_ne!(one, other);
    let slow = |function| run(&["--hash", function], "secret\n").1;
    let (argon2, scrypt) = (slow("argon2id"), slow("scrypt"));
    assert_ne!(argon2, slow("argon2id"));
    assert!(scrypt.starts_with("$scrypt$ln+3D16,r+3D8,p+3D2$"), "{scrypt}");
    assert!(argon2.starts_with("$argon2id$v+3D19$m+3D65536,t+3D3,p+3D4$"), "{argon2}");
    // Made by Python, at a cost that a build without optimisation can pay.
    let cheap = "$scrypt$ln=4,r=1,p=1$c2VjcmV0c2FsdA$Vcflbaso7MqcPtyxUZuVJShR3hLWSJp3wiFl6F95JF0".to_owned();
    let all = [("sha512", &sha512), ("scram-sha-256", &one), ("argon2id", &argon2), ("scrypt", &cheap)];
    let all = all.map(|(kind, secret)| (kind, secret.as_str()));
    for (kind, secret) in [("md5", MD5), ("md5", DOTTED)].into_iter().chain(all) {
        let line = format!("server {kind} alice {secret}");
        assert_eq!(run(&["--check", &line], "secret\n"), (Some(0), String::new(), String::new()), "{line}");
        let wrong = run(&["--check", &line], "Secret\n");
        assert_eq!(wrong, (Some(1), String::new(), "emailrelay-passwd: wrong password\n".to_owned()));
    }
}

#[test]
fn what_is_wrong_has_the_old_words() {
    let too_many = "too many command-line arguments (the password is read from the standard input)";
    for (args, input, error) in [
        (&[][..], "", "invalid password"),
        (&[], " \t\n", "invalid password"),
        (&["-p", ""], "", "invalid password"),
        (&["--foo"], "x\n", "error: invalid option: \"--foo\""),
        (&["-H", "md4"], "x\n", "exception: invalid hash function"),
        (&["-d", "-H", "sha1"], "x\n", "exception: --dotted only works for md5"),
        (&["-b"], "!!\n", "exception: base64 encoding error"),
        (&["secret"], "x\n", too_many),
    ] {
        let (code, stdout, stderr) = run(args, input);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{args:?}");
        assert_eq!(stderr.lines().next(), Some(&*format!("emailrelay-passwd: {error}")), "{args:?}");
    }
    let (code, help, _) = run(&["--help"], "");
    assert!(code == Some(0) && help.contains("-H, --hash=<function>") && !help.contains("--tls"), "{help}");
}

/// Types lines on a terminal, each when it is asked for, and returns all that the terminal showed.
fn typed(args: &str, answers: &[(&str, &str)]) -> String {
    let mut script = Command::new(need::path("script"));
    script.args(["-qec", &format!("{} {args}; echo exit $?", Program::Passwd.path()), "/dev/null"]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = String::new();
    let mut byte = [0];
    for (prompt, keys_typed) in answers {
        while !shown.ends_with(prompt) {
            assert_eq!(screen.read(&mut byte).unwrap(), 1, "no {prompt:?} in {shown:?}");
            shown.push(char::from(byte[0]));
        }
        keys.write_all(keys_typed.as_bytes()).unwrap();
    }
    screen.read_to_string(&mut shown).unwrap();
    child.wait().unwrap();
    shown
}

#[test]
fn a_terminal_is_asked_twice_and_shows_nothing() {
    require!(need::program("script"));
    let twice = [("Password: ", "secret\n"), ("Again: ", "sex\x7fcret\n")];
    assert_eq!(typed("", &twice), format!("Password: \r\nAgain: \r\n{}\r\nexit 0\r\n", MD5.trim_end()));
    let different = [("Password: ", "secret\n"), ("Again: ", "Secret\n")];
    let shown = typed("", &different);
    assert!(shown.ends_with("emailrelay-passwd: the passwords differ\r\nexit 1\r\n"), "{shown:?}");
    let interrupted = typed("", &[("Password: ", "sec\x03")]);
    assert!(interrupted.ends_with("emailrelay-passwd: interrupted\r\nexit 1\r\n"), "{interrupted:?}");
    let checked = typed("--check 'server plain a secret'", &[("Password: ", "secret\n")]);
    assert_eq!(checked, "Password: \r\nexit 0\r\n");
}
