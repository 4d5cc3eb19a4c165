//! Addresses that are trusted without a login (`server none RANGE KEYWORD`).

use std::net::IpAddr;

/// Why a client need not log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Stands for the login in envelopes and verifiers.
    pub keyword: String,
    /// The range as it stands in the file.
    pub range: String,
    /// Its line.
    pub line: u32,
}

/// All ranges of a file.
#[derive(Clone, Debug, Default)]
pub struct Trusted(Vec<(Range, Trust)>);

/// A set of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// Unix-domain sockets.
    Unix,
    /// `*`.
    Everybody,
    /// Addresses of the same family with the same leading bits.
    Network { network: IpAddr, prefix: u8 },
}

/// What is to be said about a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// It was said before.
    Duplicate,
    /// Bits behind the prefix are set and make no difference.
    HostBits,
    /// It is not a set of addresses.
    NeverMatches,
}

impl Trusted {
    /// Adds a range.
    pub(super) fn add(&mut self, trust: Trust) -> Option<Remark> {
        let Some((range, exact)) = parse(&trust.range) else { return Some(Remark::NeverMatches) };
        if self.0.iter().any(|(other, _)| *other == range) {
            return Some(Remark::Duplicate);
        }
        self.0.push((range, trust));
        (!exact).then_some(Remark::HostBits)
    }

    /// The narrowest range that `peer` is in; `None` as a peer is a unix-domain socket.
    pub fn find(&self, peer: Option<IpAddr>) -> Option<&Trust> {
        let peer = peer.map(|ip| ip.to_canonical());
        let hits = self.0.iter().filter(|(range, _)| range.contains(peer));
        hits.max_by_key(|(range, _)| range.narrowness()).map(|(_, trust)| trust)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Range {
    fn contains(self, peer: Option<IpAddr>) -> bool {
        match (self, peer) {
            (Self::Unix, None) | (Self::Everybody, Some(_)) => true,
            (Self::Network { network, prefix }, Some(peer)) => {
                network.is_ipv4() == peer.is_ipv4() && masked(peer, prefix) == network
            }
            (Self::Unix, Some(_)) | (Self::Everybody | Self::Network { .. }, None) => false,
        }
    }

    /// Longer prefixes win; everybody is the widest of all.
    fn narrowness(self) -> u16 {
        match self {
            Self::Network { prefix, .. } => u16::from(prefix) + 1,
            Self::Unix | Self::Everybody => 0,
        }
    }
}

/// The range, and whether it was written without needless bits.
fn parse(text: &str) -> Option<(Range, bool)> {
    match text {
        "/" => return Some((Range::Unix, true)),
        "*" => return Some((Range::Everybody, true)),
        _ => {}
    }
    if let Some(known) = wildcards(text) {
        return Some((known, true));
    }
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = |prefix: &str| prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = match prefix {
        Some(prefix) => prefix.parse().ok().filter(|n| *n <= most && digits(prefix))?,
        None => most,
    };
    let (address, prefix) = unmap(address, prefix);
    let network = masked(address, prefix);
    Some((Range::Network { network, prefix }, network == address))
}

/// Clients that come over IPv4 are looked up as such.
fn unmap(address: IpAddr, prefix: u8) -> (IpAddr, u8) {
    const MAPPED: u8 = 96;
    match (address.to_canonical(), prefix.checked_sub(MAPPED)) {
        (canonical @ IpAddr::V4(_), Some(prefix)) if address.is_ipv6() => (canonical, prefix),
        _ => (address, prefix),
    }
}

/// `a.b.c.*` to `*.*.*.*`.
fn wildcards(text: &str) -> Option<Range> {
    let parts: Vec<&str> = text.split('.').collect();
    let [_, _, _, "*"] = parts.as_slice() else { return None };
    let mut octets = [0_u8; 4];
    let mut fixed = 0;
    let mut open = false;
    for (octet, part) in octets.iter_mut().zip(parts) {
        match part {
            "*" => open = true,
            _ if open => return None,
            number => {
                *octet = number.parse().ok()?;
                fixed += 8;
            }
        }
    }
    Some(Range::Network { network: IpAddr::from(octets), prefix: fixed })
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(range: &str, peer: &str) -> bool {
        let mut trusted = Trusted::default();
        trusted.add(trust(range));
        let peer = if peer == "/" { None } else { Some(peer.parse().unwrap()) };
        trusted.find(peer).is_some()
    }

    fn trust(range: &str) -> Trust {
        Trust { keyword: "x".to_owned(), range: range.to_owned(), line: 1 }
    }

    #[test]
    fn ranges_are_numbers() {
        for (range, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.2.*", "10.1.2.255", "10.1.3.0"),
            ("10.*.*.*", "10.9.9.9", "11.0.0.0"),
            ("*.*.*.*", "203.0.113.5", "2001:db8::1"),
            ("127.0.0.0/21", "127.0.7.255", "127.0.8.0"),
            ("127.0.0.0/17", "127.0.127.255", "127.0.128.0"),
            ("127.0.0.1/8", "127.200.0.1", "128.0.0.1"),
            ("0.0.0.0/0", "203.0.113.5", "::1"),
            ("::1", "::1", "::2"),
            ("FD00:0001:0::/32", "fd00:1:ffff::1", "fd00:2::"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("fe80::/10", "febf::1", "fec0::1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
            ("*", "2001:db8::1", "/"),
            ("/", "/", "127.0.0.1"),
        ] {
            assert!(trusts(range, inside) && !trusts(range, outside), "{range}");
        }
    }

    #[test]
    fn what_cannot_match_is_told_from_what_is_odd() {
        let mut trusted = Trusted::default();
        for bad in [
            "10.0.0.0/255.0.0.0",
            "fe80::1%eth0",
            "10.0.0.0/33",
            "10.*.1.*",
            "*.1",
            "x",
            "10.0.0.0/",
            "10/8",
            "1.2.3.4/+8",
        ] {
            assert_eq!(trusted.add(trust(bad)), Some(Remark::NeverMatches), "{bad}");
        }
        assert_eq!(trusted.add(trust("127.0.0.1/8")), Some(Remark::HostBits));
        assert_eq!(trusted.add(trust("127.*.*.*")), Some(Remark::Duplicate));
        assert_eq!(trusted.add(trust("127.0.0.1")), None);
    }

    #[test]
    fn the_narrowest_range_wins() {
        let mut trusted = Trusted::default();
        for range in ["*", "10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0"] {
            trusted.add(trust(range));
        }
        let range = |peer: &str| trusted.find(Some(peer.parse().unwrap())).map(|trust| trust.range.as_str());
        assert_eq!(range("10.1.2.3"), Some("10.1.0.0/16"));
        assert_eq!(range("10.2.2.3"), Some("10.0.0.0/8"));
        assert_eq!(range("11.2.2.3"), Some("0.0.0.0/0"));
        assert_eq!(range("::1"), Some("*"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_upsets_the_reader(text in "[0-9a-f:./*]{0,20}|\\PC*", ip: u128) {
            let mut trusted = Trusted::default();
            trusted.add(trust(&text));
            trusted.find(Some(IpAddr::V6(ip.into())));
        }
    }
}
