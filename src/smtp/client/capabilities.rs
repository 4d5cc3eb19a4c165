//! What the server said it can do in its EHLO reply (RFC 5321 section 4.1.1.1).

/// The extensions we know. All off after HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// 8BITMIME (RFC 6152).
    pub eightbitmime: bool,
    /// BINARYMIME (RFC 3030).
    pub binarymime: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// SIZE (RFC 1870).
    pub size: bool,
    /// The fixed maximum message size in bytes, if SIZE named one other than 0.
    pub size_limit: Option<u64>,
    /// Mechanisms of AUTH (RFC 4954), also of the old form `AUTH=`, in upper case and in the server's order.
    pub auth: Vec<String>,
}

impl Capabilities {
    /// Reads the texts of the lines of a 250 reply to EHLO. The first line is the server's name and no keyword.
    pub(super) fn parse(texts: &[String]) -> Self {
        let mut found = Self::default();
        for line in texts.iter().skip(1) {
            found.add(line);
        }
        found
    }

    /// True if binary content can be sent: BINARYMIME needs CHUNKING (RFC 3030 section 3).
    pub(super) fn takes_binary(&self) -> bool {
        self.binarymime && self.chunking
    }

    fn add(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let Some(keyword) = words.next() else { return };
        let keyword = keyword.to_ascii_uppercase();
        match keyword.as_str() {
            "STARTTLS" => self.starttls = true,
            "8BITMIME" => self.eightbitmime = true,
            "BINARYMIME" => self.binarymime = true,
            "CHUNKING" => self.chunking = true,
            "PIPELINING" => self.pipelining = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "SIZE" => {
                self.size = true;
                self.size_limit = words.next().and_then(|n| n.parse().ok()).filter(|&limit| limit > 0);
            }
            "AUTH" => self.add_mechanisms(words),
            _ => {
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    self.add_mechanisms(std::iter::once(first).chain(words));
                }
            }
        }
    }

    fn add_mechanisms<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names.filter(|name| !name.is_empty()) {
            let name = name.to_ascii_uppercase();
            if !self.auth.contains(&name) {
                self.auth.push(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Capabilities {
        Capabilities::parse(&lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn keywords_are_whole_words_in_any_case_from_the_second_line_on() {
        let found = parse(&["PIPELINING", "8bitmime", "STARTTLSFOO", "Size 1000", "chunking extra", ""]);
        assert!(found.eightbitmime && found.size && found.chunking);
        assert!(!found.pipelining && !found.starttls);
        assert_eq!(found.size_limit, Some(1000));
    }

    #[test]
    fn a_size_of_zero_or_none_is_no_limit() {
        assert_eq!(parse(&["x", "SIZE 0"]).size_limit, None);
        assert_eq!(parse(&["x", "SIZE"]).size_limit, None);
        assert_eq!(parse(&["x", "SIZE 99999999999999999999999"]).size_limit, None);
        assert!(parse(&["x", "SIZE"]).size);
    }

    #[test]
    fn both_forms_of_auth_are_read() {
        let found = parse(&["x", "AUTH plain LOGIN", "AUTH=LOGIN cram-md5"]);
        assert_eq!(found.auth, ["PLAIN", "LOGIN", "CRAM-MD5"]);
    }
}
