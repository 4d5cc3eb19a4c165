//! `--version`.

use std::fmt::Write;

use super::table;
use crate::tls;
use crate::{PRODUCT, VERSION};

pub(super) const COPYRIGHT: &str = "Copyright (C) 2026 the authors of this E-MailRelay";

const NOTICE: &str = "This is free software under the MIT licence or the Apache licence 2.0, whichever you prefer.\n\
                      It comes without any warranty.\n";

/// What is built in. Scripts look for the first five lines, which are those of older versions in their order.
fn features() -> Vec<(&'static str, String)> {
    let word = |is_built: bool| String::from(if is_built { "enabled" } else { "disabled" });
    let built = |name: &str| word(table::find(name).is_some());
    vec![
        ("Multi-threading", "enabled".to_owned()),
        ("Unix domain sockets", "enabled".to_owned()),
        ("POP server", built("pop")),
        ("Admin server", built("admin")),
        ("TLS library", tls::LIBRARY.unwrap_or("none").to_owned()),
        ("PAM", word(cfg!(feature = "pam"))),
        ("Systemd", "enabled".to_owned()),
        ("SMTPUTF8", "enabled".to_owned()),
        ("Filters", built("filter")),
        ("Address verifiers", built("address-verifier")),
        ("Authentication", built("server-auth")),
    ]
}

/// The text of `--version`.
pub(super) fn text(verbose: bool) -> String {
    let mut text = format!("{PRODUCT} V{VERSION}\n\n{COPYRIGHT}\n\n");
    if verbose {
        for (key, value) in features() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{key}: {value}");
        }
        text.push('\n');
    }
    text.push_str(NOTICE);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_find_name_and_features() {
        let short = text(false);
        assert!(short.starts_with(&format!("E-MailRelay V{VERSION}\n\nCopyright (C) ")));
        assert!(!short.contains("enabled"));
        let long = text(true);
        let lines = "\n\nMulti-threading: enabled\nUnix domain sockets: enabled\nPOP server: enabled\n\
                     Admin server: enabled\nTLS library: rustls 0.23 with ";
        assert!(long.contains(lines));
        let pam = if cfg!(feature = "pam") { "enabled" } else { "disabled" };
        assert!(long.contains(&format!("\nPAM: {pam}\nSystemd: enabled\nSMTPUTF8: enabled\n")));
    }
}
