//! The keyword lists `--server-smtp-config` and `--client-smtp-config`.
//!
//! A keyword `x` is switched on by `x`, `+x` or `with-x`, off by `-x`, `nox` or `without-x`, and `=x` names the
//! default. When it is given more than once, on wins over off and off over the default.

/// What the server does with bare CR and LF in content (RFC 5321 section 2.3.8 forbids them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BareLf {
    /// `barelf=accept`: everything is stored as it comes.
    Accept,
    /// `barelf=smuggling`: messages are refused whose bare line ends could be taken for an end of data elsewhere.
    #[default]
    Smuggling,
    /// `barelf=reject`: any bare LF is refused.
    Reject,
}

/// `--server-smtp-config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerKeywords {
    /// `pipelining` (on): offer PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// `chunking` (off): offer CHUNKING and BINARYMIME (RFC 3030), and take BDAT.
    pub chunking: bool,
    /// `smtputf8` (off): offer SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// `smtputf8strict` (off): refuse UTF-8 addresses without the SMTPUTF8 parameter.
    pub smtputf8_strict: bool,
    /// `strictparsing` (on): addresses need their angle brackets.
    pub strict_parsing: bool,
    /// `strictaddress` (off): addresses and parameters by the letter of RFC 5321.
    pub strict_address: bool,
    /// `enhancedstatuscodes` (off): offer ENHANCEDSTATUSCODES (RFC 2034), and have them in replies.
    pub enhanced_status_codes: bool,
    /// `alabels` (on): verifiers see domains as A-labels (RFC 5890).
    pub alabels: bool,
    /// `linger` (on): close connections in the normal way; off closes with a reset.
    pub linger: bool,
    /// `dnsblreply` (off): clients that block lists have are told so, and not only cut off.
    pub dnsbl_reply: bool,
    /// `dnsbldefer` (off): clients that block lists have are refused at MAIL, unless they have logged in by then.
    pub dnsbl_defer: bool,
    /// `barelf=...` (smuggling).
    pub bare_lf: BareLf,
}

/// `--client-smtp-config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientKeywords {
    /// `pipelining` (on; off under `--compat 2.6`): use PIPELINING when offered.
    pub pipelining: bool,
    /// `smtputf8strict` (on): fail messages with UTF-8 addresses when the peer has no SMTPUTF8.
    pub smtputf8_strict: bool,
    /// `eightbitstrict` (off): fail 8-bit messages when the peer has no 8BITMIME (RFC 6152).
    pub eightbit_strict: bool,
    /// `binarymimestrict` (on): fail binary messages when the peer has no BINARYMIME (RFC 3030).
    pub binarymime_strict: bool,
    /// `linger` (on): close connections in the normal way; off closes with a reset.
    pub linger: bool,
    /// `size` (on; off under `--compat 2.6`): send SIZE= and respect the peer's limit (RFC 1870).
    pub size: bool,
    /// `chunking` (off): send every message by BDAT when the peer has CHUNKING (RFC 3030).
    pub chunking: bool,
    /// `shortdot` (off): the wait for the reply to the final dot may be shorter than 600 s (RFC 5321 section
    /// 4.5.3.2.6).
    pub short_dot: bool,
    /// `immediatedelete` (on; off under `--compat 2.6`): a message that a client of `--immediate` was told is not taken is removed,
    /// and not kept as `.bad`.
    pub immediate_delete: bool,
    /// `compat26` (off): the old visible behaviour of forwarding, as with `--compat 2.6`.
    pub compat26: bool,
}

/// A parsed list: the settings, and what must be reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The settings.
    pub settings: T,
    /// Items that are no keyword: ignored with the warning `unknown smtp-config item [X]`.
    pub unknown: Vec<String>,
}

/// Reads `--server-smtp-config`.
#[must_use]
pub fn server(text: &str) -> Parsed<ServerKeywords> {
    let mut words = Words::new(text);
    let bare_lf = words.choice(
        "barelf",
        &[("accept", BareLf::Accept), ("smuggling", BareLf::Smuggling), ("reject", BareLf::Reject)],
    );
    let settings = ServerKeywords {
        pipelining: words.take("pipelining", true),
        chunking: words.take("chunking", false),
        smtputf8: words.take("smtputf8", false),
        smtputf8_strict: words.take("smtputf8strict", false),
        strict_parsing: words.take("strictparsing", true),
        strict_address: words.take("strictaddress", false),
        enhanced_status_codes: words.take("enhancedstatuscodes", false),
        alabels: words.take("alabels", true),
        linger: words.take("linger", true),
        dnsbl_reply: words.take("dnsblreply", false),
        dnsbl_defer: words.take("dnsbldefer", false),
        bare_lf: bare_lf.unwrap_or_default(),
    };
    Parsed { settings, unknown: words.left() }
}

/// Reads `--client-smtp-config`. `compat` is `--compat 2.6`, which changes defaults.
#[must_use]
pub fn client(text: &str, compat: bool) -> Parsed<ClientKeywords> {
    let mut words = Words::new(text);
    let compat26 = words.take("compat26", compat);
    let settings = ClientKeywords {
        pipelining: words.take("pipelining", !compat26),
        smtputf8_strict: words.take("smtputf8strict", true),
        eightbit_strict: words.take("eightbitstrict", false),
        binarymime_strict: words.take("binarymimestrict", true),
        linger: words.take("linger", true),
        size: words.take("size", !compat26),
        chunking: words.take("chunking", false),
        short_dot: words.take("shortdot", false),
        immediate_delete: words.take("immediatedelete", !compat26),
        compat26,
    };
    Parsed { settings, unknown: words.left() }
}

/// The items of a list that no keyword has claimed yet.
struct Words(Vec<String>);

impl Words {
    fn new(text: &str) -> Self {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Self(items.map(str::to_owned).collect())
    }

    fn take(&mut self, keyword: &str, default: bool) -> bool {
        // Every form is claimed, whichever decides.
        let on = self.claim(&[keyword, &format!("+{keyword}"), &format!("with-{keyword}")]);
        let off =
            self.claim(&[&format!("-{keyword}"), &format!("no{keyword}"), &format!("without-{keyword}")]);
        self.claim(&[&format!("={keyword}")]);
        on || (default && !off)
    }

    /// `key=value`; the last one given counts.
    fn choice<T: Copy>(&mut self, key: &str, values: &[(&str, T)]) -> Option<T> {
        let mut chosen = None;
        self.0.retain(|item| {
            let value = item.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
            let found = values.iter().find(|(name, _)| Some(*name) == value);
            chosen = found.map(|(_, value)| *value).or(chosen);
            found.is_none()
        });
        chosen
    }

    fn claim(&mut self, forms: &[&str]) -> bool {
        let before = self.0.len();
        self.0.retain(|item| !forms.contains(&item.as_str()));
        self.0.len() != before
    }

    fn left(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_switches() {
        for on in ["smtputf8", "+smtputf8", "with-smtputf8", "-smtputf8,smtputf8", "x, +smtputf8"] {
            assert!(server(on).settings.smtputf8, "{on}");
        }
        for off in ["-pipelining", "nopipelining", "without-pipelining", "=pipelining,-pipelining"] {
            assert!(!server(off).settings.pipelining, "{off}");
        }
        assert!(server("=pipelining").settings.pipelining);
        assert!(!server("=smtputf8").settings.smtputf8);
        assert!(!server("nolinger").settings.linger);
        assert_eq!(server("nolinger").unknown, Vec::<String>::new());
    }

    #[test]
    fn defaults_are_those_of_the_old_program_but_for_client_pipelining() {
        let ours = client("", false).settings;
        assert!(
            ours.pipelining
                && ours.size
                && ours.smtputf8_strict
                && ours.binarymime_strict
                && !ours.eightbit_strict
        );
        for old in [client("", true), client("compat26", false)] {
            assert!(old.settings.compat26 && !old.settings.pipelining && !old.settings.size);
        }
        assert!(client("compat26,pipelining", false).settings.pipelining);
        let server = server("").settings;
        assert!(server.pipelining && server.strict_parsing && server.alabels && server.linger);
        assert!(!server.chunking && !server.smtputf8 && !server.smtputf8_strict);
        assert!(!server.strict_address && !server.enhanced_status_codes);
    }

    #[test]
    fn barelf_takes_one_of_three_values() {
        assert_eq!(server("").settings.bare_lf, BareLf::Smuggling);
        assert_eq!(server("barelf=accept").settings.bare_lf, BareLf::Accept);
        assert_eq!(server("barelf=accept,barelf=reject").settings.bare_lf, BareLf::Reject);
        assert_eq!(server("barelf=maybe").unknown, ["barelf=maybe"]);
    }

    #[test]
    fn unknown_items_are_reported() {
        let parsed = server("foo,+chunking,-dnsblreply,dnsbldefer,nofoo");
        assert_eq!(parsed.unknown, ["foo", "nofoo"]);
        assert!(parsed.settings.chunking && parsed.settings.dnsbl_defer && !parsed.settings.dnsbl_reply);
        let client_side = client("chunking,-immediatedelete", false);
        assert!(client_side.settings.chunking && !client("", false).settings.chunking);
        assert!(!client_side.settings.immediate_delete && client("", false).settings.immediate_delete);
        assert!(!client("", true).settings.immediate_delete);
        assert!(client("immediatedelete", true).settings.immediate_delete);
        assert_eq!(client("strictparsing", false).unknown, ["strictparsing"]);
    }
}
