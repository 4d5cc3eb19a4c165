//! The trace line put in front of each message (RFC 5321 §4.4), one physical line, never folded.

use super::command::is_blank;
use super::escape;

/// What the line says.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The peer's own name as [`peer_name`] made it.
    pub peer: &'a str,
    /// The peer's address without port, no `IPv6:` tag; `/` for a unix-domain socket.
    pub address: &'a str,
    /// Our own domain.
    pub domain: &'a str,
    /// RFC 3848 keyword, `ESMTP` also after HELO.
    pub protocol: &'a str,
    /// The cipher of an encrypted session, in OpenSSL's spelling.
    pub cipher: Option<&'a str>,
    /// RFC 5322 date, day of month not padded.
    pub date: &'a str,
}

/// `with` keyword (RFC 3848) of a session, encrypted or not, with or without login.
pub const fn protocol(secure: bool, login: bool) -> &'static str {
    match (secure, login) {
        (false, false) => "ESMTP",
        (false, true) => "ESMTPA",
        (true, false) => "ESMTPS",
        (true, true) => "ESMTPSA",
    }
}

impl Received<'_> {
    /// The line with its CRLF.
    pub fn to_line(&self) -> String {
        let Self { peer, address, domain, protocol, cipher, date } = self;
        let tls = cipher.map(|cipher| format!(" tls {}", word(cipher))).unwrap_or_default();
        format!("Received: from {peer} ([{address}]) by {domain} with {protocol}{tls} ; {date}\r\n")
    }
}

/// The name of a cipher as one word.
fn word(cipher: &str) -> String {
    let underscored = cipher.chars().map(|c| if c == '-' { '_' } else { c });
    underscored.filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// The argument of EHLO or HELO as it may stand in a header: blanks become `-`, the rest printable ASCII.
pub fn peer_name(argument: &[u8]) -> String {
    let joined: Vec<u8> = argument.iter().map(|b| if is_blank(*b) { b'-' } else { *b }).collect();
    escape::printable(&joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_one_log_parsers_know() {
        let line = Received {
            peer: &peer_name(b"x y\tz\xff"),
            address: "::1",
            domain: "relay.example.com",
            protocol: protocol(false, false),
            cipher: None,
            date: "Fri, 20 Nov 2026 10:32:36 +0000",
        };
        assert_eq!(
            line.to_line(),
            "Received: from x-y-z\\xff ([::1]) by relay.example.com with ESMTP ; Fri, 20 Nov 2026 10:32:36 +0000\r\n"
        );
    }

    #[test]
    fn the_cipher_is_one_word() {
        let line = Received {
            peer: "a",
            address: "127.0.0.1",
            domain: "b",
            protocol: protocol(true, true),
            cipher: Some("ECDHE-RSA-AES256-GCM-SHA384; x"),
            date: "now",
        };
        let expected =
            "Received: from a ([127.0.0.1]) by b with ESMTPSA tls ECDHE_RSA_AES256_GCM_SHA384x ; now\r\n";
        assert_eq!(line.to_line(), expected);
    }
}
