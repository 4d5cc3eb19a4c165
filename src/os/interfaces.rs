//! Addresses of network interfaces.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};

/// Which addresses of an interface are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    Any,
    /// `eth0-ipv4`
    V4,
    /// `eth0-ipv6`
    V6,
}

/// The addresses that the interface `name` has now, if it is up, with port 0; link-local IPv6 addresses carry their scope id.
/// Empty if there is no such interface.
///
/// # Errors
/// If the kernel does not tell.
pub fn addresses(name: &str, family: Family) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for entry in getifaddrs()? {
        if entry.interface_name == name
            && entry.flags.contains(InterfaceFlags::IFF_UP)
            && let Some(address) = address_of(&entry, family)
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    Ok(found)
}

/// The scope id for the zone of an address such as `fe80::1%eth0` or `fe80::1%2`: an interface name or index.
pub fn scope_id(zone: &str) -> Option<u32> {
    match zone.parse::<u32>() {
        Ok(index) => (index > 0).then_some(index),
        Err(_) => if_nametoindex(zone).ok(),
    }
}

fn address_of(entry: &InterfaceAddress, family: Family) -> Option<SocketAddr> {
    let address = entry.address.as_ref()?;
    if let Some(v4) = address.as_sockaddr_in().filter(|_| family != Family::V6) {
        return Some(SocketAddrV4::new(v4.ip(), 0).into());
    }
    let v6 = address.as_sockaddr_in6().filter(|_| family != Family::V4)?;
    Some(SocketAddrV6::new(v6.ip(), 0, 0, v6.scope_id()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_its_addresses() {
        let v4 = addresses("lo", Family::V4).expect("addresses");
        assert!(v4.contains(&"127.0.0.1:0".parse().expect("address")), "{v4:?}");
        assert!(addresses("lo", Family::V6).expect("addresses").iter().all(SocketAddr::is_ipv6));
        assert!(addresses("lo", Family::Any).expect("addresses").len() >= v4.len());
    }

    #[test]
    fn an_absent_interface_has_none() {
        assert!(addresses("nosuchif", Family::Any).expect("addresses").is_empty());
    }

    #[test]
    fn a_zone_is_a_name_or_an_index() {
        assert_eq!(scope_id("lo"), Some(1));
        assert_eq!(scope_id("7"), Some(7));
        assert_eq!(scope_id("0"), None);
        assert_eq!(scope_id("nosuchif"), None);
    }
}
