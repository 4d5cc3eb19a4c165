//! What `sendmail` and the tools take from the site's configuration file: `sendmail` has no option for it.
//!
//! The other programs check that file; here a line that is not understood is none of ours.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::config::line;

/// The file of packaged installations.
const FILE: &str = "/etc/emailrelay.conf";
/// More of it is not read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// Stands for the program's own directory in a path.
const APP: &[u8] = b"@app";

/// What is of use here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Site {
    /// `domain`: what addresses without one belong to.
    pub(crate) domain: Option<String>,
    /// `spool-dir`.
    pub(crate) spool_dir: Option<PathBuf>,
    /// `delivery-dir`: where the mailboxes of local recipients are.
    pub(crate) delivery_dir: Option<PathBuf>,
}

/// Reads the file; one that may not be read, or is not there, says nothing.
pub(crate) fn read() -> Site {
    let small = fs::metadata(FILE).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE);
    let bytes = fs::read(FILE).ok().filter(|_| small);
    let executable = std::env::current_exe().unwrap_or_default();
    parse(&bytes.unwrap_or_default(), executable.parent().unwrap_or(Path::new("/")))
}

/// Reads the text of the file; `app` is the program's directory.
fn parse(bytes: &[u8], app: &Path) -> Site {
    let mut site = Site::default();
    for line in line::lines(bytes) {
        match line.name() {
            b"domain" => site.domain = domain(line.value).or(site.domain),
            b"spool-dir" => site.spool_dir = directory(line.value, app).or(site.spool_dir),
            b"delivery-dir" => site.delivery_dir = directory(line.value, app).or(site.delivery_dir),
            _ => {}
        }
    }
    site
}

fn domain(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let odd = |c: char| c.is_control() || c.is_whitespace() || "<>@,;\"".contains(c);
    (!text.is_empty() && !text.contains(odd)).then(|| text.to_owned())
}

/// A directory that is the same one wherever we stand.
fn directory(value: &[u8], app: &Path) -> Option<PathBuf> {
    let path = match value.strip_prefix(APP) {
        Some(rest) => [app.as_os_str().as_bytes(), rest].concat(),
        None => value.to_vec(),
    };
    Some(PathBuf::from(OsString::from_vec(path))).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(domain: Option<&str>, spool_dir: Option<&str>) -> Site {
        Site { domain: domain.map(str::to_owned), spool_dir: spool_dir.map(PathBuf::from), ..Site::default() }
    }

    #[test]
    fn options_are_read_however_they_are_written() {
        let both = || site(Some("relay.example.com"), Some("/srv/spool"));
        for text in [
            "domain relay.example.com\nspool-dir /srv/spool\n",
            "domain=relay.example.com\nspool-dir=/srv/spool",
            "domain = relay.example.com\nspool-dir = /srv/spool\n",
            "\tdomain\t=\trelay.example.com \r\n  spool-dir\t\t/srv/spool\t\r\n",
            "domain == \"relay.example.com\"\nspool-dir = \"/srv/spool\"\n",
            "\u{feff}--domain relay.example.com\n--spool-dir=/srv/spool\n",
            "# domain a\n  domain  relay.example.com \n = # domain b\nport 25\nin-domain x\nspool-dir /srv/spool\ndomain-x y\n",
        ] {
            assert_eq!(parse(text.as_bytes(), Path::new("/opt")), both(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_such_value_says_nothing() {
        for (text, expected) in [
            ("domain\nspool-dir\n", site(None, None)),
            ("domain a b\nspool-dir x/y\n", site(None, None)),
            ("#domain a\nin-spool-dir /a\nspool-directory /a\n", site(None, None)),
            ("spool-dir \"/var/my spool\"\n", site(None, Some("/var/my spool"))),
            ("spool-dir @app/x\n", site(None, Some("/opt/x"))),
            ("spool-dir /a # b\n", site(None, Some("/a # b"))),
        ] {
            assert_eq!(parse(text.as_bytes(), Path::new("/opt")), expected, "{text:?}");
        }
        let mailboxes = parse(b"delivery-dir = /srv/in\n", Path::new("/")).delivery_dir;
        assert_eq!(mailboxes, Some("/srv/in".into()));
        assert_eq!(parse(b"domain \xff\nspool-dir /\xff\n", Path::new("/")).domain, None);
    }
}
