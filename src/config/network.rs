//! Which peers are local, that is, allowed without `--remote-clients`.

use std::net::IpAddr;

/// Whether an address is in a loopback, link-local or private network (RFC 1122 loopback, RFC 3927, RFC 1918,
/// RFC 4291 link-local, RFC 4193). An IPv4-mapped IPv6 address is judged as the IPv4 address it stands for.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> bool {
        is_local(text.parse().unwrap())
    }

    #[test]
    fn local_networks_have_exact_edges() {
        for yes in [
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.1",
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.255.255",
            "::1",
            "fe80::1",
            "fe80:1::1",
            "febf::1",
            "fc00::1",
            "fdff::1",
            "::ffff:192.168.0.1",
        ] {
            assert!(local(yes), "{yes}");
        }
        for no in [
            "126.255.255.255",
            "128.0.0.1",
            "169.253.0.1",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.169.0.0",
            "0.0.0.0",
            "::",
            "::2",
            "fec0::1",
            "fe00::1",
            "2001:db8::5",
            "::ffff:203.0.113.5",
        ] {
            assert!(!local(no), "{no}");
        }
    }
}
