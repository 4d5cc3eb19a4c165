//! The invariants of the architecture that a search can hold, and a few rules of the house.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::package;

/// A source file by its path below the package, with what is not code or is tests taken out.
struct Source {
    name: String,
    text: String,
    code: String,
}

#[test]
fn protocol_modules_are_pure() {
    let io = ["tokio", "std::net", "std::fs", "std::env", "std::process", "Instant::now", "SystemTime"];
    let others = [
        "crate::net",
        "crate::os",
        "crate::spool",
        "crate::role",
        "crate::config",
        "crate::cli",
        "crate::log",
    ];
    for source in sources("src/smtp").into_iter().chain(sources("src/admin")) {
        for word in io.iter().chain(&others) {
            source.refuse(word, "is not for a pure session: time, files and sockets come in as values");
        }
    }
    for source in sources("src/pop") {
        for word in
            io.iter().chain(&others).chain(&["crate::smtp::server", "crate::smtp::client", "crate::secrets"])
        {
            source.refuse(word, "is not for a pure session: accounts, messages and time come in as values");
        }
    }
    for source in sources("src/sasl") {
        for word in io.iter().chain(&others).chain(&["crate::smtp", "crate::secrets"]) {
            source.refuse(
                word,
                "is not for authentication itself: accounts, time and random come in as values",
            );
        }
    }
    for source in sources("src/message") {
        for word in io.iter().chain(&others) {
            source.refuse(word, "is not for messages as text: files and the time come in as values");
        }
    }
    for source in sources("src/smtp/server") {
        source.refuse("smtp::client", "is the other side");
    }
    for source in sources("src/smtp/client") {
        source.refuse("smtp::server", "is the other side");
    }
}

#[test]
fn only_os_knows_systemd_and_is_unsafe() {
    let words = [
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "CREDENTIALS_DIRECTORY",
        "JOURNAL_STREAM",
    ];
    let crates = [
        "sd_notify",
        "listenfd",
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "expect(unsafe_code",
        "allow(unsafe_code",
    ];
    for source in sources("src").iter().filter(|source| !source.is_below("src/os")) {
        for word in words.iter().chain(&crates) {
            source.refuse(word, "belongs in src/os");
        }
    }
}

#[test]
fn only_tls_and_streams_know_rustls() {
    let others = |source: &&Source| !source.is_below("src/tls") && !source.is_below("src/net/stream.rs");
    for source in sources("src").iter().filter(others) {
        for word in ["rustls::", "x509_parser", "with_custom_certificate_verifier"] {
            source.refuse(word, "belongs in src/tls");
        }
    }
    let judges = ["src/tls/checked.rs", "src/tls/unchecked.rs"];
    for source in sources("src/tls") {
        if source.name != "src/tls/verifier.rs" {
            source.refuse("CertVerifier for", "what rustls wants of a verifier is in verifier.rs");
        }
        if !judges.contains(&&*source.name) {
            source.refuse("JudgesClients for", "a judge of ours belongs in checked.rs or unchecked.rs");
            source.refuse("JudgesServers for", "a judge of ours belongs in checked.rs or unchecked.rs");
        }
    }
}

#[test]
fn only_spool_names_spool_files() {
    let words = [
        "\".envelope",
        "\".content",
        "\".busy\"",
        "\".bad\"",
        "forward.request",
        "smtp.disabled",
        "dnsbl.stop",
    ];
    // A manual page explains them.
    let others =
        |source: &&Source| !source.is_below("src/spool") && !source.is_below("src/cli/docs/files.rs");
    for source in sources("src").iter().filter(others) {
        for word in words {
            source.refuse(word, "belongs in src/spool");
        }
    }
}

#[test]
fn arrows_never_point_back() {
    let forbidden: [(&str, &[&str]); 12] = [
        (
            "src/secrets",
            &["crate::cli", "crate::role", "crate::net", "crate::forward", "crate::spool", "crate::smtp"],
        ),
        (
            "src/spool",
            &[
                "crate::cli",
                "crate::role",
                "crate::net",
                "crate::forward",
                "crate::smtp::client",
                "crate::smtp::server",
            ],
        ),
        ("src/net", &["crate::cli", "crate::role", "crate::forward"]),
        (
            "src/dns",
            &["crate::cli", "crate::role", "crate::net", "crate::forward", "crate::spool", "crate::smtp"],
        ),
        ("src/forward", &["crate::cli", "crate::role"]),
        ("src/filter", &["crate::cli", "crate::role", "crate::forward", "crate::smtp::server"]),
        ("src/program", &["crate::cli", "crate::role", "crate::forward", "crate::filter", "crate::spool"]),
        ("src/tls", &["crate::cli", "crate::role", "crate::forward", "crate::spool", "crate::smtp"]),
        (
            "src/os",
            &["crate::cli", "crate::role", "crate::net", "crate::forward", "crate::spool", "crate::smtp"],
        ),
        ("src/log", &["crate::cli", "crate::role", "crate::net", "crate::forward", "crate::spool"]),
        ("src/config", &["crate::role", "crate::net", "crate::forward", "crate::spool", "crate::os"]),
        ("src/role", &["crate::cli"]),
    ];
    for (dir, words) in forbidden {
        for source in sources(dir) {
            for word in words {
                source.refuse(word, "points back");
            }
        }
    }
}

#[test]
fn exit_codes_are_returned_from_main() {
    for source in sources("src").iter().filter(|source| !source.is_below("src/bin")) {
        source.refuse("process::exit", "skips destructors; return a code to main");
    }
    for source in sources("src") {
        source.refuse("env::set_var", "is not safe once threads may run");
        source.refuse("env::remove_var", "is not safe once threads may run");
    }
}

#[test]
fn nothing_is_left_half_done() {
    // Put together here, so that this file does not find itself.
    let marks = [["to", "do!("], ["unimplement", "ed!("], ["FIX", "ME"], ["XX", "X:"], ["dbg", "!("]]
        .map(|mark| mark.concat());
    for source in sources("src").into_iter().chain(sources("tests")) {
        for mark in &marks {
            assert!(!source.text.contains(mark.as_str()), "{}: {mark}", source.name);
        }
    }
}

#[test]
fn files_have_a_size_that_can_be_read() {
    for source in sources("src").into_iter().chain(sources("tests")) {
        let lines = source.text.lines().count();
        let tests = source.name.ends_with("tests.rs") || source.name.contains("/tests/");
        assert!(lines <= 600 || (tests && lines <= 1200), "{}: {lines} lines: split it", source.name);
    }
}

#[test]
fn every_file_says_what_it_is() {
    for source in sources("src").into_iter().chain(sources("tests")) {
        assert!(source.text.starts_with("//!"), "{}: no module comment", source.name);
    }
}

#[test]
fn readme_opens_with_the_two_commands_and_names_every_unit() {
    let readme = fs::read_to_string(package().join("README.md")).unwrap();
    let opening: Vec<_> = readme.lines().take(40).collect();
    for command in ["make run", "make check"] {
        assert!(
            opening.iter().any(|line| line.trim_start().starts_with(command)),
            "README.md: {command} is not shown early"
        );
    }
    for entry in fs::read_dir(package().join("systemd")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap().replace("@.", ".");
        let unit =
            [".service", ".socket", ".path", ".timer", ".target"].iter().any(|end| name.ends_with(end));
        assert!(!unit || readme.contains(&name), "README.md: {name} is not named");
    }
    assert!(readme.contains("docs/differences.md"));
}

#[test]
fn every_difference_says_what_brings_the_old_behaviour_back() {
    const NO: [&str; 6] =
        ["no (mail)", "no (doors)", "no (limits)", "no (faults)", "no (more)", "no (shape)"];
    let text = fs::read_to_string(package().join("docs/differences.md")).unwrap();
    let (tables, _) = text.split_once("## emailrelay-submit").unwrap();
    let rows: Vec<_> =
        tables.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| 2.6 ")).collect();
    assert!(rows.len() > 150);
    for row in rows {
        let last = row.trim_end_matches('|').rsplit(" | ").next().unwrap().trim();
        let decided = NO.contains(&last)
            || last.contains("--")
            || last.contains('`')
            || ["off by default", "TCP"].contains(&last);
        assert!(decided, "docs/differences.md: {last:?} in {row}");
    }
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(package()).unwrap().to_str().unwrap().to_owned();
        let test_file = name.ends_with("tests.rs") || name.contains("/tests/");
        let code = if test_file { String::new() } else { code_of(&text) };
        Self { name, text, code }
    }

    fn is_below(&self, dir: &str) -> bool {
        Path::new(&self.name).starts_with(dir)
    }

    fn refuse(&self, word: &str, reason: &str) {
        let found = self.code.lines().find(|line| line.contains(word));
        assert!(found.is_none(), "{}: {word} {reason}: {}", self.name, found.unwrap_or_default().trim());
    }
}

/// The lines without comments and without the unit tests, which are the last module of their file or a file of their own.
fn code_of(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut code = String::new();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
        } else if !lines.next().is_some_and(|declaration| declaration.ends_with(';')) {
            break;
        }
    }
    code
}

/// All Rust files below a directory of the package; none if there is no such directory.
fn sources(dir: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut dirs: Vec<PathBuf> = vec![package().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source::read(&path));
            }
        }
    }
    sources
}
