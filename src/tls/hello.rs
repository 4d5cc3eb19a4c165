//! A look at a ClientHello before the handshake takes it (RFC 8446 section 4.1.2), to say what an old client lacked.
//!
//! Only for the words of log lines: whatever cannot be read here is left to the handshake itself.

use super::names;

/// Bytes that are looked at. A ClientHello with a post-quantum key share has nearly two thousand.
pub(super) const LOOK_AT: usize = 4096;

/// Suites that are named at most.
const MAX_NAMED: usize = 6;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum First {
    /// Certainly not a TLS record with a handshake in it.
    NotTls,
    /// A ClientHello, as far as it could be read.
    Hello(Hello),
    /// Too little to tell, or something that the handshake will complain about.
    Unknown,
}

/// What a client offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hello {
    /// The highest version, as the protocol numbers it; 0 if it is in a part that was not seen.
    version: u16,
    /// Cipher suites in the client's order.
    suites: Vec<u16>,
}

impl First {
    pub(super) fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] | [0x16] => Self::Unknown,
            [0x16, 3, ..] => hello(bytes).map_or(Self::Unknown, Self::Hello),
            _ => Self::NotTls,
        }
    }

    /// The highest version on offer, for `unsupported protocol`.
    pub(super) fn version(&self) -> Option<&'static str> {
        let Self::Hello(hello) = self else { return None };
        match hello.version {
            0x0300 => Some("SSLv3"),
            0x0301 => Some("TLSv1.0"),
            0x0302 => Some("TLSv1.1"),
            0x0303 => Some("TLSv1.2"),
            0x0304 => Some("TLSv1.3"),
            _ => None,
        }
    }

    /// The client knows no version that there is here.
    pub(super) fn is_old(&self) -> bool {
        matches!(self, Self::Hello(Hello { version: 0x0300..=0x0302, .. }))
    }

    /// The first suites on offer, for `no shared cipher`.
    pub(super) fn suites(&self) -> Option<String> {
        let Self::Hello(hello) = self else { return None };
        let mut names: Vec<String> =
            hello.suites.iter().copied().filter(is_cipher).take(MAX_NAMED).map(names::offered).collect();
        if hello.suites.len() > MAX_NAMED {
            names.push("...".to_owned());
        }
        Some(names.join(" "))
    }
}

/// Not a signal in the place of a suite (RFC 5746, RFC 7507) and not noise (RFC 8701).
fn is_cipher(suite: &u16) -> bool {
    let grease = suite & 0x0f0f == 0x0a0a && suite >> 8 == suite & 0xff;
    !grease && !matches!(suite, 0x00ff | 0x5600)
}

fn hello(bytes: &[u8]) -> Option<Hello> {
    let mut reader = Reader(bytes);
    // Record header, then the handshake's type and length.
    reader.skip(5)?;
    if reader.number(1)? != 1 {
        return None;
    }
    let length = reader.number(3)?;
    let complete = reader.0.len() >= length;
    let version = u16::try_from(reader.number(2)?).ok()?;
    reader.skip(32)?;
    reader.vector(1)?;
    let suites = reader.vector(2)?.chunks_exact(2).map(pair).collect();
    let version = match supported_versions(&mut reader) {
        Some(highest) => highest,
        None if complete => version,
        None => 0,
    };
    Some(Hello { version, suites })
}

/// The highest version in the extension `supported_versions` (RFC 8446 section 4.2.1), if it is there.
fn supported_versions(reader: &mut Reader<'_>) -> Option<u16> {
    reader.vector(1)?;
    reader.skip(2)?;
    loop {
        let kind = reader.number(2)?;
        let body = reader.vector(2)?;
        if kind == 43 {
            let versions = body.get(1..)?.chunks_exact(2).map(pair);
            return versions.filter(|version| (0x0300..=0x0304).contains(version)).max();
        }
    }
}

fn pair(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |number, byte| number << 8 | u16::from(*byte))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What stands behind its length.
    fn vector(&mut self, length_bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(length_bytes)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ClientHello with these suites and, unless empty, these supported versions.
    fn sample(legacy: u16, suites: &[u16], versions: &[u16]) -> Vec<u8> {
        let wide =
            |numbers: &[u16]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
        let mut body = legacy.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.push(0);
        body.extend(u16::try_from(2 * suites.len()).unwrap().to_be_bytes());
        body.extend(wide(suites));
        body.extend([1, 0]);
        if !versions.is_empty() {
            let list = wide(versions);
            let length = u16::try_from(list.len()).unwrap();
            let mut extension = vec![0, 43];
            extension.extend((length + 1).to_be_bytes());
            extension.push(u8::try_from(length).unwrap());
            extension.extend(list);
            body.extend(u16::try_from(extension.len()).unwrap().to_be_bytes());
            body.extend(extension);
        }
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let handshake = [&[1][..], &length[1..], &body].concat();
        let record = u16::try_from(handshake.len()).unwrap().to_be_bytes();
        [&[0x16, 3, 1][..], &record, &handshake].concat()
    }

    #[test]
    fn versions_and_suites_are_found() {
        let old = First::of(&sample(0x0302, &[0x002f, 0xc014, 0x00ff], &[]));
        assert_eq!(old.version(), Some("TLSv1.1"));
        assert_eq!(old.suites().unwrap(), "AES128-SHA ECDHE-RSA-AES256-SHA");
        let new = First::of(&sample(0x0303, &[0x1301], &[0x0a0a, 0x0304, 0x0303]));
        assert_eq!(new.version(), Some("TLSv1.3"));
        let cut = sample(0x0303, &[0x1301], &[0x0304]);
        assert_eq!(First::of(&cut[..cut.len() - 1]).version(), None);
        let many = First::of(&sample(0x0303, &[0x9999; 9], &[]));
        assert_eq!(many.suites().unwrap(), format!("{}...", "0x9999 ".repeat(6)));
    }

    #[test]
    fn what_is_no_handshake_is_told_by_its_first_bytes() {
        for text in
            [&b"EHLO x\r\n"[..], b"\x16\x02\x01", b"\x15\x03\x01\x00\x02", b"\x80\x2e\x01\x03\x01", b"\n"]
        {
            assert_eq!(First::of(text), First::NotTls, "{text:?}");
        }
        for start in [&b""[..], b"\x16", b"\x16\x03", b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00"] {
            assert_eq!(First::of(start), First::Unknown, "{start:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_and_any_cut_are_survived(bytes: Vec<u8>, cut in 0..200usize) {
            let _ = First::of(&[&[0x16, 3, 1][..], &bytes].concat());
            let whole = sample(0x0303, &[0x1301; 40], &[0x0304]);
            let _ = First::of(&whole[..cut.min(whole.len())]);
        }
    }
}
