//! README and `docs/`: every block is of a kind that something is done with, what stands in it is right, links lead somewhere.
//!
//! The kinds are in `support/documents.rs`; commands are run by `container_documents.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::container_package::build_in;
use crate::support::certs::Authority;
use crate::support::documents::{self, Block, Document};
use crate::support::need::{self, require};
use crate::support::{built, package};

/// Blocks of commands that nothing runs. Not more: what is not run is soon wrong.
const NOT_RUN: usize = 6;

#[test]
fn every_block_is_of_a_known_kind() {
    let mut not_run = 0;
    for block in documents::all().iter().flat_map(Document::blocks) {
        let place = block.place();
        match block.kind.as_str() {
            "sh" | "auth" => {
                assert_eq!(block.argument, "", "{place}: what is this?");
                let passed_over =
                    block.text.lines().any(|line| line.contains(" && ") || line.starts_with("! "));
                assert!(!passed_over, "{place}: a failure in front of && or behind ! would be passed over");
            }
            "conf" => {
                assert!(block.argument.is_empty() || block.argument.starts_with("emailrelay"), "{place}");
            }
            "ini" => assert!(block.argument.starts_with("emailrelay"), "{place}: for which unit?"),
            "console" => {
                assert!(block.argument.split(' ').count() > 2, "{place}: no reason why it is not run");
                not_run += 1;
            }
            "text" => {
                let command = |line: &str| {
                    ["sudo ", "$ ", "systemctl ", "emailrelay-"].iter().any(|start| line.starts_with(start))
                };
                assert!(!block.text.lines().any(command), "{place}: this is a command");
            }
            kind => panic!("{place}: unknown kind {kind:?}"),
        }
    }
    assert!(not_run <= NOT_RUN, "{not_run} blocks of commands are not run");
}

#[test]
fn there_are_no_blocks_without_fences() {
    for document in documents::all() {
        for (number, line) in document.prose() {
            assert!(!line.starts_with("    "), "{}:{number}: a block without a fence", document.name);
            assert!(
                !line.contains("```"),
                "{}:{number}: a fence that is not at the start of the line",
                document.name
            );
        }
    }
}

#[test]
fn links_lead_to_files_and_headings() {
    links_lead_somewhere(package(), &documents::all());
}

/// What is installed is complete in itself, and has the paths of its installation.
#[test]
fn links_in_the_debian_package_lead_to_files_and_headings() {
    require!(need::program("dpkg-deb"), need::program("dpkg-shlibdeps"), need::program("make"));
    let dir = tempfile::tempdir().unwrap();
    let name = build_in(dir.path(), &with_manual(dir.path()), "3.0.0-1");
    let top = dir.path().join("unpacked");
    let unpacked = Command::new("dpkg-deb").arg("-x").arg(dir.path().join(name)).arg(&top).status().unwrap();
    assert!(unpacked.success());
    let doc = top.join("usr/share/doc/emailrelay");
    let files = fs::read_dir(&doc).unwrap().chain(fs::read_dir(doc.join("docs")).unwrap()).flatten();
    let paths = files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|is| is == "md"));
    let documents: Vec<Document> = paths.map(|path| Document::read_below(&top, &path)).collect();
    assert!(documents.iter().any(|document| document.name.ends_with("emailrelay/README.md")));
    links_lead_somewhere(&top, &documents);
    for block in documents.iter().flat_map(Document::blocks) {
        for path in ["/usr/local/sbin", "/usr/local/share/doc"] {
            assert!(!block.text.contains(path), "{}: {}", block.place(), block.text);
        }
    }
    assert!(top.join("usr/share/man/man1/emailrelay.1.gz").exists());
    assert!(!top.join("usr/share/man/man1/emailrelay.1").exists());
}

/// The built programs, beside something that stands for the manual, which only `make` makes.
fn with_manual(dir: &Path) -> PathBuf {
    let place = dir.join("built");
    for part in [
        "man/man1/emailrelay.1",
        "man/man5/emailrelay.conf.5",
        "completions/bash/x",
        "completions/zsh/x",
        "completions/fish/x",
    ] {
        let file = place.join("docs").join(part);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "text\n").unwrap();
    }
    for entry in fs::read_dir(built()).unwrap().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("emailrelay") && !name.contains(['.', '_'])) {
            std::os::unix::fs::symlink(entry.path(), place.join(name)).unwrap();
        }
    }
    place
}

fn links_lead_somewhere(top: &Path, documents: &[Document]) {
    let mut count = 0;
    for document in documents {
        for (number, link) in document.links().into_iter().filter(|(_, link)| !link.starts_with("https://")) {
            let (file, anchor) = document.target(&link);
            assert!(file.exists(), "{}:{number}: no {}", document.name, file.display());
            if let Some(anchor) = anchor {
                let file = file.canonicalize().unwrap();
                let there = Document::read_below(top, &file).anchors();
                assert!(
                    there.contains(&anchor),
                    "{}:{number}: no heading {anchor}: {there:?}",
                    document.name
                );
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count} links found");
}

/// Each as the whole of a file, with the files that it names.
#[test]
fn configuration_blocks_are_accepted_by_check() {
    let blocks = documents::blocks("conf");
    assert!(blocks.len() > 5, "{}", blocks.len());
    for block in blocks {
        let surroundings = Surroundings::of(&block);
        let program = if block.argument.is_empty() { "emailrelay" } else { &block.argument };
        let mut check = Command::new(built().join(program));
        check.env("CREDENTIALS_DIRECTORY", surroundings.dir.path().join("cred"));
        let output =
            check.arg("--check").arg(surroundings.dir.path().join("emailrelay.conf")).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}\n{}", block.place(), block.text);
    }
}

/// The directory that the configuration of a block is at home in.
struct Surroundings {
    dir: tempfile::TempDir,
}

impl Surroundings {
    fn of(block: &Block) -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        let top = this.dir.path();
        let spool = format!("{}/spool", top.display());
        let mut text = block.text.replace("/var/spool/", &format!("{spool}/"));
        if !block.text.contains("spool-dir ") {
            text.push_str(&format!("spool-dir {spool}/emailrelay\n"));
        }
        fs::create_dir_all(top.join("cred")).unwrap();
        for word in text.split_whitespace().flat_map(|word| word.split(',')) {
            if word.starts_with(&spool) {
                fs::create_dir_all(word).unwrap();
            }
            if let Some(name) = word.strip_prefix("@cred/") {
                this.credential(name);
            }
        }
        fs::write(top.join("emailrelay.conf"), text).unwrap();
        this
    }

    fn credential(&self, name: &str) {
        let file = self.dir.path().join("cred").join(name);
        if name.contains("tls") {
            let authority = Authority::new();
            let pem = authority.issue("tls.pem", &["relay.example.com"]);
            fs::copy(&pem, &file).unwrap();
        } else {
            fs::write(&file, "server plain alice secret1\nclient plain me secret1\n").unwrap();
        }
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn secrets_blocks_are_read_without_a_complaint() {
    let blocks = documents::blocks("auth");
    assert!(blocks.len() > 3, "{}", blocks.len());
    for block in blocks {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("auth");
        fs::write(&file, &block.text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut check = Command::new(built().join("emailrelay"));
        check.args(["--as-server", "--check", "--spool-dir"]).arg(dir.path());
        for (side, option) in [("server", "--server-auth"), ("client", "--client-auth")] {
            if block.text.lines().any(|line| line.starts_with(side)) {
                check.arg(option).arg(&file);
            }
        }
        let output = check.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}", block.place());
    }
}

#[test]
fn message_ids_are_those_of_the_catalog() {
    let catalog = fs::read_to_string(package().join("systemd/emailrelay.catalog")).unwrap();
    let mut count = 0;
    for document in documents::all() {
        for (number, line) in document.prose() {
            for word in
                line.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| is_message_id(word))
            {
                assert!(catalog.contains(&format!("\n-- {word}\n")), "{}:{number}: {word}", document.name);
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count} message ids found");
}

fn is_message_id(word: &str) -> bool {
    word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
}

#[test]
fn every_option_and_unit_in_the_documents_exists() {
    let reference = fs::read_to_string(package().join("docs/reference.md")).unwrap();
    // differences.md speaks of options that there were, CHANGELOG.md of what was at the time.
    for document in documents::all().iter().filter(|document| document.name != "docs/differences.md") {
        for (number, line) in document.prose() {
            for code in line.split('`').skip(1).step_by(2) {
                let place = format!("{}:{number}: {code}", document.name);
                if code.starts_with("--") {
                    let in_name = |char: &char| char.is_ascii_alphanumeric() || *char == '-';
                    let name: String = code.chars().take_while(in_name).collect();
                    let known =
                        ["`", "=", "["].iter().any(|end| reference.contains(&format!("`{name}{end}")));
                    assert!(known, "{place}: no such option");
                }
                if is_unit(code) {
                    let instance = code.find('@').zip(code.rfind('.'));
                    let file = instance.map_or_else(
                        || code.to_owned(),
                        |(at, dot)| format!("{}@{}", &code[..at], &code[dot..]),
                    );
                    assert!(package().join("systemd").join(file).exists(), "{place}: no such unit");
                }
            }
        }
    }
}

fn is_unit(code: &str) -> bool {
    let kinds = [".service", ".socket", ".path", ".timer", ".target"];
    code.starts_with("emailrelay") && !code.contains(' ') && kinds.iter().any(|kind| code.ends_with(kind))
}

#[test]
fn every_document_is_installed() {
    let output = Command::new("make")
        .current_dir(package())
        .args(["-s", "--eval", "show: ; @echo $(DOCS)", "show"])
        .output()
        .unwrap();
    let installed = String::from_utf8(output.stdout).unwrap();
    // One is about the source.
    for document in documents::all().iter().filter(|document| document.name != "docs/architecture.md") {
        assert!(
            installed.split_whitespace().any(|name| name == document.name),
            "{}: {installed}",
            document.name
        );
    }
    let examples =
        ["examples/systemd/network.conf", "examples/verifier.sh", "examples/filters/add-signature.sh"];
    for example in examples {
        assert!(Path::new(package()).join(example).exists() && installed.contains(example), "{example}");
    }
}
