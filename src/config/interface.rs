//! Listening addresses: the items of `--interface`.
//!
//! An item that is not understood is an error. It is never taken for something else, because the result of a
//! mistake would be a server on all addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;
use std::path::PathBuf;

use super::number;

/// The server an item is for; an item without prefix is for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// The SMTP server (`smtp=`).
    Smtp,
    /// The POP server (`pop=`).
    Pop,
    /// The administration server (`admin=`).
    Admin,
}

impl Server {
    /// The prefix without `=`, which is also the name in log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Pop => "pop",
            Self::Admin => "admin",
        }
    }

    fn from_prefix(text: &str) -> Option<Self> {
        [Self::Smtp, Self::Pop, Self::Admin]
            .into_iter()
            .find(|server| text.eq_ignore_ascii_case(server.as_str()))
    }
}

/// One family only, of the addresses of a network interface (`eth0-ipv4`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Only IPv4 addresses.
    Ipv4,
    /// Only IPv6 addresses.
    Ipv6,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// An address; `zone` is the interface name or index behind `%`, which link-local addresses need.
    Ip {
        /// The address.
        address: IpAddr,
        /// Interface name or decimal index (RFC 4007 zone), IPv6 only.
        zone: Option<String>,
    },
    /// All addresses of a network interface.
    Interface {
        /// The interface's name, 1 to 15 bytes.
        name: String,
        /// Only these addresses.
        family: Option<Family>,
    },
    /// A unix stream socket, absolute path.
    Unix(PathBuf),
    /// A unix stream socket in the abstract name space, name without `@`.
    Abstract(String),
    /// An inherited socket, by descriptor number (`fd#3`).
    Fd(RawFd),
    /// Inherited sockets, by the name the service manager gave (`fd:smtp`).
    FdName(String),
    /// All addresses of both families (`*`).
    Any,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip { address, zone: None } => write!(f, "{address}"),
            Self::Ip { address, zone: Some(zone) } => write!(f, "{address}%{zone}"),
            Self::Interface { name, family: None } => f.write_str(name),
            Self::Interface { name, family: Some(Family::Ipv4) } => write!(f, "{name}-ipv4"),
            Self::Interface { name, family: Some(Family::Ipv6) } => write!(f, "{name}-ipv6"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
            Self::Fd(number) => write!(f, "fd#{number}"),
            Self::FdName(name) => write!(f, "fd:{name}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// One listening address and the server it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Item {
    /// `None`: for every server.
    pub server: Option<Server>,
    /// Where to listen.
    pub place: Place,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server {
            Some(server) => write!(f, "{}={}", server.as_str(), self.place),
            None => self.place.fmt(f),
        }
    }
}

/// An item that is none of the known forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid --interface item: \"{0}\"")]
pub struct InvalidItem(pub String);

/// Reads a comma-separated list. Empty items are skipped and `localhost` becomes its two addresses; items given
/// twice are kept, see [`merge`].
///
/// # Errors
/// The first item that is not understood.
pub fn parse_list(text: &str) -> Result<Vec<Item>, InvalidItem> {
    let mut items = Vec::new();
    for text in text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        items.extend(parse_item(text).ok_or_else(|| InvalidItem(text.to_owned()))?);
    }
    Ok(items)
}

/// Drops items that repeat an earlier one; returns them.
#[must_use]
pub fn merge(items: &mut Vec<Item>) -> Vec<Item> {
    let mut seen = std::collections::HashSet::new();
    let mut repeated = Vec::new();
    items.retain(|item| {
        let new = seen.insert(item.clone());
        if !new {
            repeated.push(item.clone());
        }
        new
    });
    repeated
}

/// The places one server is to listen on; empty means no item concerns it, so it takes all addresses.
#[must_use]
pub fn places(items: &[Item], server: Server) -> Vec<Place> {
    items
        .iter()
        .filter(|item| item.server.is_none_or(|only| only == server))
        .map(|item| item.place.clone())
        .collect()
}

fn parse_item(text: &str) -> Option<Vec<Item>> {
    let (server, place) = match text.split_once('=') {
        Some((prefix, place)) => (Some(Server::from_prefix(prefix)?), place),
        None => (None, text),
    };
    let places = parse_place(place)?;
    Some(places.into_iter().map(|place| Item { server, place }).collect())
}

fn parse_place(text: &str) -> Option<Vec<Place>> {
    if text == "*" {
        return Some(vec![Place::Any]);
    }
    if text.eq_ignore_ascii_case("localhost") {
        let both = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        return Some(both.map(|address| Place::Ip { address, zone: None }).to_vec());
    }
    let place = if text.starts_with('/') && text.len() <= super::UNIX_PATH_MAX {
        Place::Unix(PathBuf::from(text))
    } else if let Some(name) = text.strip_prefix('@') {
        Place::Abstract(abstract_name(name)?)
    } else if let Some(number) = text.strip_prefix("fd#") {
        Place::Fd(RawFd::try_from(number::digits(number)?).ok()?)
    } else if let Some(name) = text.strip_prefix("fd:") {
        Place::FdName(descriptor_name(name)?)
    } else {
        parse_address(text).or_else(|| parse_interface(text))?
    };
    Some(vec![place])
}

fn parse_address(text: &str) -> Option<Place> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|inner| inner.contains(':'))?,
        None => text,
    };
    let (address, zone) = match bare.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (bare, None),
    };
    let address: IpAddr = address.parse().ok()?;
    match zone {
        None => Some(Place::Ip { address, zone: None }),
        Some(zone) if address.is_ipv6() && (number::digits(zone).is_some() || is_interface_name(zone)) => {
            Some(Place::Ip { address, zone: Some(zone.to_owned()) })
        }
        Some(_) => None,
    }
}

fn parse_interface(text: &str) -> Option<Place> {
    let (name, family) = if let Some(name) = text.strip_suffix("-ipv4") {
        (name, Some(Family::Ipv4))
    } else if let Some(name) = text.strip_suffix("-ipv6") {
        (name, Some(Family::Ipv6))
    } else {
        (text, None)
    };
    is_interface_name(name).then(|| Place::Interface { name: name.to_owned(), family })
}

/// What can be the name of a network interface: 1 to 15 bytes (IFNAMSIZ). A dot is only believed in front of a VLAN
/// number (`eth0.100`), so that `mail.local` is reported as the host name it is; and digits with
/// dots are a mistyped address.
fn is_interface_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let vlan = text.split_once('.').is_none_or(|(_, number)| number::digits(number).is_some());
    let letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    (1..=15).contains(&text.len()) && text.bytes().all(known) && vlan && letter && !text.starts_with('-')
}

/// The kernel takes up to 107 bytes behind the leading NUL of an abstract address (unix(7)).
fn abstract_name(text: &str) -> Option<String> {
    let good = (1..=107).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| text.to_owned())
}

/// As systemd allows them: printable ASCII without colon, up to 255 bytes (sd_listen_fds(3)).
fn descriptor_name(text: &str) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    ((1..=255).contains(&text.len()) && text.bytes().all(good)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let items = parse_list(text).unwrap();
        items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn every_form_is_read_and_shown() {
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("fe80::1%2", "fe80::1%2"),
            ("[fe80::1%2]", "fe80::1%2"),
            ("eth0", "eth0"),
            ("eth0.100", "eth0.100"),
            ("br-lan-ipv6", "br-lan-ipv6"),
            ("smtp=eth0-ipv4", "smtp=eth0-ipv4"),
            ("/run/smtp.s", "/run/smtp.s"),
            ("@relay", "@relay"),
            ("fd#3", "fd#3"),
            ("SMTP=fd#3,Pop=fd#4", "smtp=fd#3,pop=fd#4"),
            ("fd:smtps", "fd:smtps"),
            ("admin=*", "admin=*"),
            ("localhost", "127.0.0.1,::1"),
            ("smtp=localhost, ,::", "smtp=127.0.0.1,smtp=::1,::"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for bad in [
            "foo=127.0.0.1",
            "127.0.0.1:2000",
            "[::1]:25",
            "[127.0.0.1]",
            "fd#x",
            "fd#",
            "fd#-1",
            "fd#99999999999",
            "fd:",
            "smtp.example.com",
            "mail.local",
            "run/smtp.s",
            "./x",
            "10.0.0",
            "10.0.0.256",
            "1.2.3.4%eth0",
            "fe80::1%",
            "@",
            "smtp=",
            "smtp=pop=::1",
            "-ipv4",
            "a name",
            "interface-too-long",
            "fe80::1%a b",
            "%",
            "[",
            "[]",
        ] {
            let error = parse_list(bad).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid --interface item: \"{bad}\""));
        }
    }

    #[test]
    fn repeated_items_are_merged() {
        let mut items = parse_list("::1,127.0.0.1,localhost,smtp=::1").unwrap();
        let repeated = merge(&mut items);
        assert_eq!(repeated.len(), 2);
        assert_eq!(
            items.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["::1", "127.0.0.1", "smtp=::1"]
        );
    }

    #[test]
    fn each_server_takes_its_own_and_the_common_items() {
        let items = parse_list("smtp=eth0,::1,pop=fd#3").unwrap();
        assert_eq!(places(&items, Server::Smtp).len(), 2);
        assert_eq!(places(&items, Server::Pop).len(), 2);
        assert_eq!(places(&items, Server::Admin).len(), 1);
    }
}
