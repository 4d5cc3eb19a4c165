//! Messages to send, as files for the clients of other projects, and those clients.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{need, samples};

/// Message files in a directory of their own, which goes away with the value.
pub(crate) struct Letters {
    dir: TempDir,
    names: Vec<String>,
}

/// Odd messages of our own: name and bytes.
const ODD: [(&str, &[u8]); 21] = [
    ("empty", b""),
    ("one empty line", b"\r\n"),
    ("no body", b"Subject: x\r\n"),
    ("empty body", b"Subject: x\r\n\r\n"),
    ("no header", b"just text\r\n"),
    ("no final line end", b"Subject: x\r\n\r\nlast line"),
    ("cr at the very end", b"Subject: x\r\n\r\nlast line\r"),
    ("eight bit", b"Subject: \xe4\xf6\r\n\r\n\xff\xfe\x80 text\r\n\xc3\xa4\r\n"),
    ("nul", b"Subject: x\r\n\r\nbefore\0after\r\n\0\r\n\0.\r\n"),
    ("controls", b"Subject: x\r\n\r\n\x01\x02\x07\x08\x0b\x0c\x1b[0m\x7f\r\n"),
    ("leading dots", b"Subject: x\r\n\r\n.one\r\n..two\r\n...three\r\n. blank\r\n"),
    ("only dots", b".\r\n..\r\n...\r\n.\r\n.\r\n"),
    ("dot at the end", b"Subject: x\r\n\r\ntext\r\n."),
    ("unix lines", b"Subject: x\n\nunix\n.dot\n..\n lines\n"),
    ("bare lf", b"Subject: x\r\n\r\none\ntwo\n\nthree\r\n"),
    ("bare cr", b"Subject: x\r\n\r\none\rtwo\r\rthree\r\n"),
    ("lf cr", b"Subject: x\r\n\r\none\n\rtwo\r\r\nthree\r\n"),
    ("bare lf and stuffed dots", b"Subject: x\r\n\r\none\n.two\r\n.three\rfour\r.five\r\n"),
    ("a dot between bare line ends", b"Subject: x\r\n\r\none\n.\ntwo\r\n"),
    ("a dot before bare cr", b"Subject: x\r\n\r\none\r\n.\rtwo\r\n"),
    ("folded and from", b"From me Mon Jan  1\r\nSubject: x\r\n\tfolded\r\n\r\nFrom you\r\n>From us\r\n"),
];

impl Letters {
    /// The samples of other projects and our own odd ones.
    pub(crate) fn all() -> Self {
        let dir = tempfile::Builder::new().prefix("emailrelay-letters.").tempdir().unwrap();
        let odd = ODD.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).into_iter();
        let long = |length: usize| {
            (format!("line of {length}"), [b"Subject: x\r\n\r\n", &b"x".repeat(length)[..], b"\r\n"].concat())
        };
        let found = samples::all().into_iter().map(|sample| (sample.name, sample.bytes));
        let big: Vec<u8> = (0..20_000).flat_map(|n| format!(".line {n}\r\n").into_bytes()).collect();
        let made = [long(998), long(999), long(2048), long(100_000), ("big".to_owned(), big)];
        let mut letters = Self { dir, names: Vec::new() };
        for (name, bytes) in found.chain(odd).chain(made) {
            fs::write(letters.path(letters.names.len()), bytes).unwrap();
            letters.names.push(name);
        }
        letters
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, number: usize) -> &str {
        &self.names[number]
    }

    pub(crate) fn bytes(&self, number: usize) -> Vec<u8> {
        fs::read(self.path(number)).unwrap()
    }

    /// For the standard input of a program.
    pub(crate) fn open(&self, number: usize) -> File {
        File::open(self.path(number)).unwrap()
    }

    fn path(&self, number: usize) -> PathBuf {
        self.dir.path().join(number.to_string())
    }

    fn directory(&self) -> &Path {
        self.dir.path()
    }
}

/// Programs of others that send mail by SMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Swaks,
    Curl,
    Msmtp,
    /// Python's smtplib.
    Smtplib,
}

impl Client {
    pub(crate) const ALL: [Self; 4] = [Self::Swaks, Self::Curl, Self::Msmtp, Self::Smtplib];

    /// For `require!`: the program if it is missing.
    pub(crate) fn missing(self) -> Option<String> {
        need::program(self.program())
    }

    fn program(self) -> &'static str {
        match self {
            Self::Swaks => "swaks",
            Self::Curl => "curl",
            Self::Msmtp => "msmtp",
            Self::Smtplib => "python3",
        }
    }

    /// Sends every letter, number `n` from `n@DOMAIN`; what the server refuses is left at that.
    ///
    /// Returns the numbers of the letters that this client reports as sent.
    pub(crate) fn send(self, letters: &Letters, domain: &str, to: SocketAddr) -> BTreeSet<usize> {
        match self {
            Self::Swaks => each(letters, |number, _| swaks(&letters.path(number), number, domain, to)),
            Self::Msmtp => each(letters, |number, file| msmtp(file, number, domain, to)),
            Self::Curl => curl(letters, domain, to),
            Self::Smtplib => smtplib(letters, domain, to),
        }
    }
}

/// One run of a program for each letter.
fn each(letters: &Letters, command: impl Fn(usize, File) -> Command) -> BTreeSet<usize> {
    let sent = |number: &usize| {
        let file = letters.open(*number);
        command(*number, file).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    (0..letters.len()).filter(sent).collect()
}

fn swaks(letter: &Path, number: usize, domain: &str, to: SocketAddr) -> Command {
    let mut command = Command::new(need::path("swaks"));
    command.args(["--server", &to.to_string(), "--helo", "client.test", "--no-strip-from", "--silent", "3"]);
    command.args(["--from", &format!("{number}@{domain}"), "--to", "to@example.com"]);
    command.args(["--data", &format!("@{}", letter.display())]).stdin(Stdio::null());
    command
}

fn msmtp(letter: File, number: usize, domain: &str, to: SocketAddr) -> Command {
    let mut command = Command::new(need::path("msmtp"));
    let (host, port) = (to.ip().to_string(), to.port().to_string());
    command.args(["--file=/dev/null", "--host", &host, "--port", &port, "--remove-bcc-headers=off"]);
    command.args(["--set-date-header=off", "--set-msgid-header=off", "--set-from-header=off"]);
    command.args([&format!("--from={number}@{domain}"), "to@example.com"]).stdin(letter);
    command
}

/// All in one run; the codes of the single transfers come on standard output.
fn curl(letters: &Letters, domain: &str, to: SocketAddr) -> BTreeSet<usize> {
    let mut config = String::new();
    for number in 0..letters.len() {
        let letter = letters.path(number);
        writeln!(config, "url = \"smtp://{to}/client.test\"\nmail-from = \"{number}@{domain}\"").unwrap();
        writeln!(config, "mail-rcpt = \"to@example.com\"\nupload-file = \"{}\"", letter.display()).unwrap();
        writeln!(config, "write-out = \"{number} %{{exitcode}}\\n\"\nsilent\nnext").unwrap();
    }
    let file = letters.directory().join(format!("{domain}.curl"));
    fs::write(&file, config.strip_suffix("next\n").unwrap()).unwrap();
    let mut command = Command::new(need::path("curl"));
    reported(command.arg("-K").arg(file))
}

fn smtplib(letters: &Letters, domain: &str, to: SocketAddr) -> BTreeSet<usize> {
    let mut command = Command::new(need::path("python3"));
    let (host, port) = (to.ip().to_string(), to.port().to_string());
    command.args(["-c", SMTPLIB, &host, &port, domain, &letters.len().to_string()]);
    reported(command.arg(letters.directory()))
}

/// The numbers that the program reports with a code of zero.
fn reported(command: &mut Command) -> BTreeSet<usize> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter(|(_, code)| *code == "0").map(|(number, _)| number.parse().unwrap()).collect()
}

const SMTPLIB: &str = r#"
import smtplib, sys
host, port, domain, count, directory = sys.argv[1:]
server = smtplib.SMTP(host, int(port), local_hostname="client.test")
for number in range(int(count)):
    with open(f"{directory}/{number}", "rb") as file:
        letter = file.read()
    try:
        server.sendmail(f"{number}@{domain}", ["to@example.com"], letter)
        print(number, 0)
    except smtplib.SMTPDataError as error:
        print(number, error.smtp_code)
server.quit()
"#;
