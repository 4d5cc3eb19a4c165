//! Listening sockets of a role: from `--interface`, from the service manager, or on all addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;

use crate::config::interface::{self, Item, Place, Server};
use crate::net::listener::Bound;
use crate::os::activation::{self, Inherited};
use crate::os::{interfaces, notify};
use crate::role::serve::Named;

/// The sockets of one server, and what must be said about them.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Bound and listening.
    pub bound: Vec<Bound>,
    /// Named network interfaces, whose addresses are to be followed.
    pub named: Vec<Named>,
    /// Those of them that have no address now.
    pub without_address: Vec<String>,
}

/// The sockets of all servers of an instance.
#[derive(Debug, Default)]
pub struct ServerSockets {
    /// For SMTP.
    pub smtp: Sockets,
    /// For administration.
    pub admin: Sockets,
    /// For POP.
    pub pop: Sockets,
}

impl Sockets {
    /// A socket for implicit TLS needs TLS.
    ///
    /// # Errors
    /// There is such a socket, and nothing was `configured`.
    pub fn check_tls(&self, configured: bool) -> Result<(), BindError> {
        if configured || !self.bound.iter().any(Bound::has_implicit_tls) {
            return Ok(());
        }
        let text =
            "an inherited socket is for implicit tls: --server-tls and --server-tls-certificate are needed";
        Err(BindError::Inherited(text.to_owned()))
    }
}

/// Why a socket is missing. It ends the program: a server that listens on less than it was told is a fault nobody notices.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, or not ours, or needs rights.
    #[error("socket bind error: {place}: {reason}")]
    Bind {
        /// The address as configured.
        place: String,
        /// The system's words.
        reason: String,
    },
    /// A descriptor that was to be inherited is not there or not usable.
    #[error("{0}")]
    Inherited(String),
}

/// Who opens the ports of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// The program does; it may be given sockets beside them.
    Own,
    /// The service manager does, if it has passed any: the program runs where it could not.
    Passed,
}

/// Finds or binds everything that `items` says for `server` on `port`.
///
/// Without a port no TCP socket is bound. Without an item for the server, inherited sockets are used by their names, and if there are none it listens on all
/// addresses. With [`Ports::Passed`] inherited sockets are used also when there are items, if none of them listens where no item is.
///
/// # Errors
/// See [`BindError`].
pub fn sockets(
    items: &[Item],
    server: Server,
    port: Option<u16>,
    ports: Ports,
    inherited: &mut Vec<Inherited>,
) -> Result<Sockets, BindError> {
    let mut sockets = Sockets::default();
    if server == Server::Smtp {
        sockets.bound = take_named(inherited, |name| name == SUBMIT)?;
    }
    let mut places = interface::places(items, server);
    places.retain(|place| port.is_some() || !needs_port(place));
    let picks = places.iter().any(|place| matches!(place, Place::Fd(_) | Place::FdName(_)));
    if places.is_empty() || (ports == Ports::Passed && !picks) {
        let passed = take_named(inherited, |name| serves(server, name))?;
        passed.iter().try_for_each(|socket| is_wanted(socket, &places, server))?;
        let done = !passed.is_empty();
        sockets.bound.extend(passed);
        // Who hands messages over needs no port.
        if done || (places.is_empty() && ports == Ports::Passed && !sockets.bound.is_empty()) {
            return Ok(sockets);
        }
    }
    if places.is_empty() {
        places.push(Place::Any);
    }
    for place in places {
        let port = if needs_port(&place) { port.ok_or_else(|| no_socket(server))? } else { 0 };
        bind_place(&place, server, port, inherited, &mut sockets)?;
    }
    Ok(sockets)
}

/// A socket that listens where the configuration does not say so would open a port by mistake.
fn is_wanted(socket: &Bound, places: &[Place], server: Server) -> Result<(), BindError> {
    let Some(ip) = socket.local().ip() else { return Ok(()) };
    let has = |place: &Place| match place {
        Place::Any => true,
        Place::Ip { address, .. } => *address == ip,
        Place::Interface { name, family } => {
            let addresses = || interfaces::addresses(name, wanted(*family)).unwrap_or_default();
            socket.device().is_some_and(|device| device == *name)
                || addresses().iter().any(|one| one.ip() == ip)
        }
        Place::Unix(_) | Place::Abstract(_) | Place::Fd(_) | Place::FdName(_) => false,
    };
    if places.is_empty() || places.iter().any(has) {
        return Ok(());
    }
    let (local, server) = (socket.local(), server.as_str());
    Err(BindError::Inherited(format!(
        "the service manager listens on {local}, which --interface does not name: give emailrelay-{server}.socket its addresses, as \
         emailrelay --check shows, or remove --interface"
    )))
}

fn needs_port(place: &Place) -> bool {
    matches!(place, Place::Ip { .. } | Place::Interface { .. } | Place::Any)
}

fn no_socket(server: Server) -> BindError {
    let server = server.as_str();
    BindError::Inherited(format!(
        "there is no socket to serve on: start emailrelay-{server}.socket, or give --interface {server}=/PATH or --{server} PORT"
    ))
}

/// Names of sockets whose clients begin with a TLS handshake (RFC 8314). They must not be served in clear.
const IMPLICIT_TLS: [&str; 2] = ["smtps", "pops"];

/// Name of the socket on which programs of this machine hand messages over; see `emailrelay-submit`.
const SUBMIT: &str = "submit";

/// Which server a socket of the service manager is for, by its name (`FileDescriptorName=`). A socket with any other name,
/// such as that of a unit which sets none, is for SMTP.
fn serves(server: Server, name: &str) -> bool {
    let named = match name {
        "pop" | "pops" => Server::Pop,
        "admin" => Server::Admin,
        _ => Server::Smtp,
    };
    named == server
}

fn bind_place(
    place: &Place,
    server: Server,
    port: u16,
    inherited: &mut Vec<Inherited>,
    sockets: &mut Sockets,
) -> Result<(), BindError> {
    let failed = |error: io::Error| BindError::Bind {
        place: place.to_string(),
        reason: crate::os::reason(&error)
            + &if is_in_sandbox(&error) { ask_systemd(server) } else { String::new() },
    };
    match place {
        Place::Ip { address, zone } => {
            let address = with_zone(SocketAddr::new(*address, port), zone.as_deref());
            sockets.bound.push(Bound::tcp(address).map_err(failed)?);
        }
        Place::Interface { name, family } => {
            let family = wanted(*family);
            sockets.named.push(Named { name: name.clone(), family, port });
            let addresses = interfaces::addresses(name, family).map_err(failed)?;
            if addresses.is_empty() {
                sockets.without_address.push(name.clone());
            }
            for mut address in addresses {
                address.set_port(port);
                sockets.bound.push(Bound::tcp(address).map_err(failed)?);
            }
        }
        Place::Unix(path) => sockets.bound.push(Bound::unix(path).map_err(failed)?),
        Place::Abstract(name) => sockets.bound.push(Bound::abstract_unix(name).map_err(failed)?),
        Place::Fd(number) => sockets.bound.push(descriptor(*number, inherited)?),
        Place::FdName(name) => {
            let found = take_named(inherited, |have| have == name)?;
            if found.is_empty() {
                return Err(BindError::Inherited(format!("no inherited socket has the name \"{name}\"")));
            }
            sockets.bound.extend(found);
        }
        Place::Any => sockets.bound.extend(everywhere(port).map_err(failed)?),
    }
    Ok(())
}

/// `0.0.0.0` and `::` as two sockets; a family that the kernel does not have is left out.
fn everywhere(port: u16) -> io::Result<Vec<Bound>> {
    let v4 = Bound::tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    // With a port chosen by the kernel both families get the same one.
    let port = v4.as_ref().ok().and_then(|bound| bound.local().port()).unwrap_or(port);
    let v6 = Bound::tcp(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok(vec![v4, v6]),
        (Ok(one), Err(error)) | (Err(error), Ok(one)) if is_missing_family(&error) => Ok(vec![one]),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn is_missing_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32)
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Nothing can be bound in the sandbox of the installed units, nor need it be.
fn is_in_sandbox(error: &io::Error) -> bool {
    notify::is_under_systemd() && error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32)
}

/// What to do about it.
fn ask_systemd(server: Server) -> String {
    let server = server.as_str();
    format!(
        " (under systemd ports are opened by socket units: start emailrelay-{server}.socket, and remove --interface)"
    )
}

fn with_zone(address: SocketAddr, zone: Option<&str>) -> SocketAddr {
    match (address, zone.and_then(interfaces::scope_id)) {
        (SocketAddr::V6(mut v6), Some(scope)) => {
            v6.set_scope_id(scope);
            SocketAddr::V6(v6)
        }
        (address, _) => address,
    }
}

/// Of the network interfaces that a server is to listen on, those without an address.
pub(crate) fn without_address(items: &[Item], server: Server) -> Vec<String> {
    let empty = |name: &str, family| {
        interfaces::addresses(name, wanted(family)).is_ok_and(|addresses| addresses.is_empty())
    };
    let places = interface::places(items, server).into_iter();
    let names = places.filter_map(|place| match place {
        Place::Interface { name, family } if empty(&name, family) => Some(name),
        _ => None,
    });
    names.collect()
}

fn wanted(family: Option<interface::Family>) -> interfaces::Family {
    match family {
        None => interfaces::Family::Any,
        Some(interface::Family::Ipv4) => interfaces::Family::V4,
        Some(interface::Family::Ipv6) => interfaces::Family::V6,
    }
}

/// `fd#N`: one that systemd has passed, or any other that was left open for us.
fn descriptor(number: i32, inherited: &mut Vec<Inherited>) -> Result<Bound, BindError> {
    let fd = match inherited.iter().position(|socket| socket.number == number) {
        Some(index) => return inherit(inherited.swap_remove(index)),
        None => activation::raw_fd(number).map_err(|error| BindError::Inherited(error.to_string()))?,
    };
    Bound::inherited(fd).map_err(|error| unusable(&format!("fd {number}"), &error))
}

fn take_named(
    inherited: &mut Vec<Inherited>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Bound>, BindError> {
    let (found, rest): (Vec<_>, Vec<_>) = inherited.drain(..).partition(|socket| wanted(&socket.name));
    *inherited = rest;
    found.into_iter().map(inherit).collect()
}

fn inherit(socket: Inherited) -> Result<Bound, BindError> {
    let bound = Bound::inherited(socket.fd).map_err(|error| unusable(&socket.name, &error))?;
    Ok(match socket.name.as_str() {
        SUBMIT => bound.asking(),
        name if IMPLICIT_TLS.contains(&name) => bound.with_implicit_tls(),
        _ => bound,
    })
}

fn unusable(what: &str, error: &io::Error) -> BindError {
    BindError::Inherited(format!("cannot listen on inherited socket {what}: {}", crate::os::reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Vec<Inherited> {
        let fd = std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
        vec![Inherited { fd, name: name.to_owned(), number: 3 }]
    }

    fn found(items: &str, ports: Ports, name: &str) -> Result<Vec<String>, String> {
        let items = interface::parse_list(items).unwrap();
        let sockets = sockets(&items, Server::Smtp, Some(0), ports, &mut named(name));
        let shown = |bound: &Bound| bound.local().ip().unwrap().to_string();
        sockets.map(|found| found.bound.iter().map(shown).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_socket_for_handing_over_is_beside_the_ports() {
        assert_eq!(found("127.0.0.2", Ports::Own, "submit").unwrap(), ["127.0.0.1", "127.0.0.2"]);
        assert!(found("", Ports::Own, "submit").unwrap().len() > 1);
        // Where ports are passed, none may have been wanted.
        assert_eq!(found("", Ports::Passed, "submit").unwrap(), ["127.0.0.1"]);
    }

    #[test]
    fn passed_sockets_must_be_where_the_configuration_says() {
        for items in ["", "127.0.0.1", "*", "127.0.0.2,127.0.0.1", "lo", "lo-ipv4", "pop=127.0.0.2"] {
            assert_eq!(found(items, Ports::Passed, "smtp").unwrap(), ["127.0.0.1"], "{items}");
        }
        for items in ["127.0.0.2", "::1", "lo-ipv6", "/run/x", "smtp=127.0.0.2"] {
            let error = found(items, Ports::Passed, "smtp").unwrap_err();
            assert!(
                error.contains("which --interface does not name: give emailrelay-smtp.socket"),
                "{error}"
            );
        }
        // Who binds for itself does as it is told.
        assert_eq!(found("127.0.0.2", Ports::Own, "smtp").unwrap(), ["127.0.0.2"]);
    }

    #[test]
    fn sockets_for_implicit_tls_are_not_served_in_clear() {
        let port = Some(25);
        assert_eq!(
            sockets(&[], Server::Smtp, port, Ports::Own, &mut named("submission")).unwrap().bound.len(),
            1
        );
        assert!(
            !sockets(&[], Server::Smtp, port, Ports::Own, &mut named("smtp")).unwrap().bound[0]
                .has_implicit_tls()
        );
        let smtps = sockets(&[], Server::Smtp, port, Ports::Own, &mut named("smtps")).unwrap();
        assert!(smtps.bound[0].has_implicit_tls());
        smtps.check_tls(true).unwrap();
        assert_eq!(
            smtps.check_tls(false).unwrap_err().to_string(),
            "an inherited socket is for implicit tls: --server-tls and --server-tls-certificate are needed"
        );
    }
}
