//! `--copy`: submission into the mailboxes below the spool.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Spool, run};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("emailrelay."))
        .collect();
    names.sort();
    names
}

#[test]
fn each_sub_directory_gets_the_envelope_and_the_content_is_shared() {
    let spool = Spool::new();
    for name in ["ann", "bob", ".hidden"] {
        fs::create_dir(spool.path().join(name)).unwrap();
    }
    for part in ["tmp", "new", "cur"] {
        fs::create_dir_all(spool.path().join("maildir").join(part)).unwrap();
    }
    let result =
        run(spool.command(["--copy", "--filename", "--from", "a@x", "b@y"]), "Subject: s\n\nhello\n");
    assert_eq!((result.code, result.stderr.as_str()), (Some(0), ""));
    let content = result.stdout.trim_end();
    assert_eq!(names(spool.path()), [content], "the envelope is not in the spool directory");
    let envelope = content.replace(".content", ".envelope");
    for name in ["ann", "bob", ".hidden"] {
        assert_eq!(names(&spool.path().join(name)), [envelope.as_str()]);
    }
    let new: Vec<_> = fs::read_dir(spool.path().join("maildir/new")).unwrap().map(Result::unwrap).collect();
    assert_eq!(new.len(), 1);
    assert_eq!(fs::read(new[0].path()).unwrap(), fs::read(spool.path().join(content)).unwrap());
    assert_eq!(fs::read_dir(spool.path().join("maildir/tmp")).unwrap().count(), 0);
}

#[test]
fn without_sub_directories_the_message_is_stored_as_usual() {
    let spool = Spool::new();
    let result = run(spool.command(["--copy", "--from", "a@x", "b@y"]), "Subject: s\n\n");
    assert_eq!(result.code, Some(0), "{}", result.stderr);
    assert_eq!(names(spool.path()).len(), 2);
}

#[test]
fn a_mailbox_that_is_full_leaves_nothing_in_any() {
    let spool = Spool::new();
    for name in ["ann", "bob"] {
        fs::create_dir(spool.path().join(name)).unwrap();
    }
    let Some(_full) = Full::new(spool.path().join("bob")) else {
        return super::skip("cannot mount a full disk");
    };
    let result = run(spool.command(["--copy", "--from", "a@x", "b@y"]), "Subject: s\n\n");
    assert_eq!(result.code, Some(75));
    assert!(result.stderr.contains("delivery: cannot write envelope file"), "{}", result.stderr);
    assert!(names(spool.path()).is_empty() && names(&spool.path().join("ann")).is_empty());
}

/// A file system without room for a single file, until it is dropped.
struct Full(PathBuf);

impl Full {
    fn new(place: PathBuf) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "none"]).arg(&place);
        mount.status().is_ok_and(|status| status.success()).then_some(Self(place))
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
