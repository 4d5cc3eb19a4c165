//! Ports and addresses as socket units.

use std::net::IpAddr;

use super::{Plan, Site};
use crate::config::Reach;
use crate::config::interface::{self, Family, Item, Place, Server};
use crate::config::tls::TlsStart;

/// Names the sockets of all servers of an instance.
pub(super) fn plan(site: &Site<'_>, plan: &mut Plan) {
    let settings = site.settings;
    if settings.smtp.enabled {
        let at_once = settings.server_tls.as_ref().is_some_and(|tls| tls.start == TlsStart::AtOnce);
        let (role, usual) = if at_once { ("smtps", 465) } else { ("smtp", 25) };
        let listener = Listener { server: Server::Smtp, role, usual, port: settings.smtp.port };
        listener.plan(site, plan);
        plan.enable(site.unit("submit", "socket"));
    }
    if settings.pop.enabled {
        let (role, usual) = if settings.pop.implicit_tls { ("pops", 995) } else { ("pop", 110) };
        Listener { server: Server::Pop, role, usual, port: settings.pop.port }.plan(site, plan);
    }
    if let Some(port) = settings.admin.port.filter(|_| settings.admin.enabled) {
        admin(site, port, plan);
    }
}

/// A server on TCP.
struct Listener {
    server: Server,
    /// The middle of the unit's name.
    role: &'static str,
    /// The port of the unit as it is installed.
    usual: u16,
    port: u16,
}

impl Listener {
    fn plan(&self, site: &Site<'_>, plan: &mut Plan) {
        let unit = site.unit(self.role, "socket");
        plan.enable(unit.clone());
        let places = interface::places(&site.settings.interfaces, self.server);
        let everywhere = places.is_empty() || places == [Place::Any];
        if everywhere && self.port == self.usual {
            return;
        }
        let mut lines = streams(&places, self.port, plan);
        if everywhere {
            lines = vec![format!("ListenStream={}", self.port)];
        }
        // Without an address of its own the unit would go on listening on all of them.
        if !lines.is_empty() {
            lines.insert(0, "ListenStream=".to_owned());
            plan.drop_in(&unit, "Socket", lines);
        }
    }
}

/// The socket of administration is a unix socket; a port comes beside it.
fn admin(site: &Site<'_>, port: u16, plan: &mut Plan) {
    let unit = site.unit("admin", "socket");
    plan.enable(unit.clone());
    let places = interface::places(&site.settings.interfaces, Server::Admin);
    let lines = match (places.is_empty(), site.settings.admin.reach) {
        (true, Reach::Everywhere) => vec![format!("ListenStream={port}")],
        // Nobody else may connect.
        (true, _) => vec![format!("ListenStream=127.0.0.1:{port}"), format!("ListenStream=[::1]:{port}")],
        (false, _) => streams(&places, port, plan),
    };
    plan.drop_in(&unit, "Socket", lines);
}

/// Lines that listen where `places` say.
fn streams(places: &[Place], port: u16, plan: &mut Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for place in places {
        match place {
            Place::Any => lines.push(format!("ListenStream={port}")),
            Place::Ip { address: IpAddr::V4(address), .. } => {
                lines.push(format!("ListenStream={address}:{port}"));
            }
            Place::Ip { address, zone: None } => lines.push(format!("ListenStream=[{address}]:{port}")),
            Place::Ip { address, zone: Some(zone) } => {
                lines.push(format!("ListenStream=[{address}%{zone}]:{port}"));
            }
            Place::Unix(path) => lines.push(format!("ListenStream={}", path.display())),
            Place::Abstract(name) => lines.push(format!("ListenStream=@{name}")),
            Place::Interface { name, family } if places.len() == 1 => {
                lines.extend(device(name, *family, port));
            }
            Place::Interface { name, .. } => plan.notes.push(format!(
                "a socket unit takes the name of a network interface only alone: give the addresses of {name} instead"
            )),
            Place::Fd(_) | Place::FdName(_) => plan.notes.push(format!(
                "{place} is for sockets that a unit of yours passes: its FileDescriptorName= must be the name"
            )),
        }
    }
    let addresses = || places.iter().filter_map(address);
    if addresses().any(|address| !address.is_loopback() && !address.is_unspecified()) {
        // The address may come later than the socket.
        lines.push("FreeBind=yes".to_owned());
    }
    if places.iter().any(|place| matches!(place, Place::Unix(_))) {
        lines.extend(["SocketGroup=emailrelay", "SocketMode=0660"].map(str::to_owned));
    }
    lines
}

fn address(place: &Place) -> Option<IpAddr> {
    match place {
        Place::Ip { address, .. } => Some(*address),
        _ => None,
    }
}

/// What comes in over a network interface, whatever its addresses are.
fn device(name: &str, family: Option<Family>, port: u16) -> Vec<String> {
    let stream = match family {
        None => format!("ListenStream={port}"),
        Some(Family::Ipv4) => format!("ListenStream=0.0.0.0:{port}"),
        Some(Family::Ipv6) => format!("ListenStream=[::]:{port}"),
    };
    let mut lines = vec![stream, format!("BindToDevice={name}")];
    if family == Some(Family::Ipv6) {
        lines.push("BindIPv6Only=ipv6-only".to_owned());
    }
    lines
}

/// Whether the servers of the instance are told where to listen.
pub(super) fn is_restricted(items: &[Item]) -> bool {
    items.iter().any(|item| item.place != Place::Any)
}
