//! Real and odd messages go in and are in the spool as they were, line ends aside.

use super::*;

/// Prints where CPython keeps the sample messages of its e-mail tests.
const FIND_SAMPLES: &str = "import os, sysconfig\n\
    print(os.path.join(sysconfig.get_path('stdlib'), 'test', 'test_email', 'data'))";
/// Where Debian puts the samples of spamassassin, and of its client.
const SPAM_SAMPLES: [&str; 2] = ["/usr/share/doc/spamassassin/examples", "/usr/share/doc/spamc"];

/// The content that an input makes: CRLF line ends, and an empty line at the end if there is none anywhere.
fn expected(input: &[u8]) -> Vec<u8> {
    let text = input.strip_suffix(b"\n").unwrap_or(input);
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    if input.is_empty() {
        lines.clear();
    }
    let lines: Vec<&[u8]> = lines.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    let mut content: Vec<u8> = lines.iter().flat_map(|line| [*line, b"\r\n"].concat()).collect();
    if !lines.iter().any(|line| line.is_empty()) {
        content.extend_from_slice(b"\r\n");
    }
    content
}

fn goes_through(name: &Path, input: &[u8]) {
    let spool = Spool::new();
    assert_eq!(spool.submit(&["-f", "f@x", "t@x"], input), done(), "{}", name.display());
    assert!(spool.content_bytes() == expected(input), "{}", name.display());
    // With addresses from whatever header it has it is either stored or refused.
    let spool = Spool::new();
    let result = spool.submit(&["--keep-bcc"], input);
    match result.code {
        Some(0) => assert!(spool.content_bytes() == expected(input), "{}", name.display()),
        Some(65) => assert!(spool.files().is_empty(), "{}", name.display()),
        _ => panic!("{}: {result:?}", name.display()),
    }
}

/// Tries all files of a directory that a filter lets through; tells how many these were.
fn try_all(directory: &Path, wanted: impl Fn(&str) -> bool) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths: Vec<PathBuf> =
        paths.filter(|path| path.is_file() && wanted(&path.display().to_string())).collect();
    for path in &paths {
        goes_through(path, &read(path));
    }
    paths.len()
}

fn read(path: &Path) -> Vec<u8> {
    if path.extension().is_some_and(|extension| extension == "gz") {
        return Command::new("gzip").arg("-dc").arg(path).output().unwrap().stdout;
    }
    fs::read(path).unwrap()
}

#[test]
fn messages_of_the_cpython_tests() {
    let found = Command::new("python3").args(["-c", FIND_SAMPLES]).output();
    let directory =
        found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let count = try_all(Path::new(&directory), |name| name.ends_with(".txt"));
    if count == 0 {
        skip("no e-mail test data of CPython on this machine");
    }
}

#[test]
fn messages_of_spamassassin() {
    let count: usize = SPAM_SAMPLES
        .map(|directory| try_all(Path::new(directory), |name| name.contains("/sample-")))
        .iter()
        .sum();
    if count == 0 {
        skip("no sample messages of spamassassin on this machine");
    }
}

#[test]
fn odd_messages() {
    let long_line = [b"Subject: s\n\n".as_slice(), &b"x".repeat(300_000), b"\n"].concat();
    let odd: &[&[u8]] = &[
        b"",
        b"\n",
        b"\r\n",
        b"\n\n\n",
        b"no header at all",
        b"From: a@b\r\n\r\nlast line without end",
        b"A: b\n\nbare \r inside\r\r\n\r",
        b"A: b\n\nNUL \x00 and \xff\xfe\n",
        b" continuation first\nA: b\n\n..\n.\n",
        b"From someone Thu Jan  1 00:00:00 1970\nTo: a@x\n\n",
        &long_line,
    ];
    for input in odd {
        goes_through(Path::new("odd message"), input);
    }
}
