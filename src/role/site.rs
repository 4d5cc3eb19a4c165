//! What `sendmail` and the tools take from the site's configuration file: `sendmail` has no option for it.
//!
//! The other programs check that file; here a line that is not understood is none of ours.

use std::fs;
use std::path::PathBuf;

/// The file of packaged installations.
const FILE: &str = "/etc/emailrelay.conf";
/// More of it is not read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// What is of use here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Site {
    /// `domain`: what addresses without one belong to.
    pub(crate) domain: Option<String>,
    /// `spool-dir`.
    pub(crate) spool_dir: Option<PathBuf>,
}

/// Reads the file; one that may not be read, or is not there, says nothing.
pub(crate) fn read() -> Site {
    let small = fs::metadata(FILE).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE);
    let text = fs::read_to_string(FILE).ok().filter(|_| small);
    parse(&text.unwrap_or_default())
}

fn parse(text: &str) -> Site {
    let mut site = Site::default();
    for line in text.lines() {
        let (name, value) = line.trim().split_once([' ', '\t', '=']).unwrap_or_default();
        let value = value.trim().trim_matches('"');
        match name {
            "domain" if is_domain(value) => site.domain = Some(value.to_owned()),
            "spool-dir" if value.starts_with('/') => site.spool_dir = Some(value.into()),
            _ => {}
        }
    }
    site
}

fn is_domain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_control() || c.is_whitespace() || "<>@,;\"".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_options_count_and_the_rest_does_not() {
        let site = parse(
            "# domain a\n  domain  relay.example.com \nport 25\nin-domain x\nspool-dir /srv/mail\ndomain-x y\n",
        );
        let expected = Site { domain: Some("relay.example.com".into()), spool_dir: Some("/srv/mail".into()) };
        assert_eq!(site, expected);
        assert_eq!(parse("domain\ndomain a b\nspool-dir @app/x\n"), Site::default());
    }
}
