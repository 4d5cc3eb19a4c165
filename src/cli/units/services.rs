//! Times and networks as units for forwarding and drop-ins for services.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::super::Invocation;
use super::needs::Needs;
use super::rights::{SERVICE_USER, Who};
use super::{Plan, Site, sockets};
use crate::config::address::Remote;
use crate::config::{FilterSpec, Settings};
use crate::dns;
use crate::spool::FORWARD_REQUEST;

/// Seconds between two runs of the timer as it is installed.
const TIMER: u64 = 60;

/// Names everything but the sockets.
pub(super) fn plan(site: &Site<'_>, invocation: &Invocation, who: &Who, plan: &mut Plan) {
    forwarding(site, plan);
    let roles = roles(site.settings);
    for role in &roles {
        let mut needs = Needs::default();
        needs.spool(site, role, &site.usual_spool());
        needs.files(site, role, &invocation.process, who);
        plan.need(&site.unit(role, "service"), needs);
    }
    if roles.contains(&"smtp") {
        network(site, plan);
    }
    if sockets::is_restricted(&site.settings.interfaces) {
        plan.notes.push(
            "services that get their sockets from systemd want the same addresses in --interface, or none"
                .to_owned(),
        );
    }
    let user = &invocation.process.user;
    if !user.is_empty() && user != SERVICE_USER {
        plan.notes.push(format!(
            "the services run as {SERVICE_USER} and not as {user}: what is in the spool directory must be theirs"
        ));
    }
}

pub(super) fn roles(settings: &Settings) -> Vec<&'static str> {
    let admin = settings.admin.enabled && settings.admin.port.is_some();
    let all = [
        ("smtp", settings.smtp.enabled),
        ("pop", settings.pop.enabled),
        ("admin", admin),
        ("forward", settings.forward.to.is_some()),
    ];
    all.into_iter().filter(|(_, on)| *on).map(|(role, _)| role).collect()
}

fn forwarding(site: &Site<'_>, plan: &mut Plan) {
    let (settings, forward) = (site.settings, &site.settings.forward);
    let Some(to) = &forward.to else { return };
    if settings.ends_after_first_run() {
        plan.notes.push(format!("one run to {to}: systemctl start {}", site.unit("forward", "service")));
        return;
    }
    if forward.on_disconnect {
        let unit = site.unit("forward", "path");
        plan.enable(unit.clone());
        if settings.spool_dir != site.usual_spool() {
            let request = settings.spool_dir.join(FORWARD_REQUEST);
            let lines = vec!["PathExists=".to_owned(), format!("PathExists={}", request.display())];
            plan.drop_in(&unit, "Path", lines);
        }
    }
    if forward.on_disconnect || forward.poll.is_some() || forward.at_start {
        let unit = site.unit("forward", "timer");
        plan.enable(unit.clone());
        if let Some(period) = forward.poll.map(|poll| poll.as_secs()).filter(|period| *period != TIMER) {
            // The empty line takes away every time, that of the run after the start too.
            let lines = [
                "OnUnitInactiveSec=".to_owned(),
                "OnBootSec=15".to_owned(),
                format!("OnUnitInactiveSec={period}"),
            ];
            plan.drop_in(&unit, "Timer", lines.into());
        }
    } else {
        plan.notes.push(format!(
            "nothing is sent to {to} until somebody asks for it: systemctl start {}",
            site.unit("forward", "service")
        ));
    }
}

/// The SMTP service has no network of its own unless something needs it.
fn network(site: &Site<'_>, plan: &mut Plan) {
    let settings = site.settings;
    let mut addresses = BTreeSet::new();
    let mut names = Vec::new();
    let filters = settings.filter.server.iter().filter_map(FilterSpec::remote);
    let next_hop = settings.forward.to.as_ref().filter(|_| settings.forward.immediate);
    for remote in filters.chain(settings.smtp.verifier.remote()).chain(next_hop) {
        match remote {
            Remote::Ip(address) => addresses.extend([address.ip()]),
            Remote::Host { host, .. } if host == "localhost" => {
                addresses.extend([IpAddr::from([127, 0, 0, 1])]);
            }
            Remote::Host { host, .. } => names.push(host.clone()),
            Remote::Socks { proxy, .. } => names.push(proxy.to_string()),
            Remote::Unix(_) => {}
        }
    }
    let looks_up = settings.filter.server.iter().any(|filter| matches!(filter, FilterSpec::Mx(_)));
    let lists = settings.smtp.dnsbl.as_ref();
    if lists.is_some() || looks_up || !names.is_empty() {
        let servers =
            lists.and_then(|lists| lists.server).map_or_else(dns::system_servers, |server| vec![server]);
        addresses.extend(servers.iter().map(SocketAddr::ip));
    }
    if addresses.is_empty() && names.is_empty() {
        return;
    }
    let mut lines =
        vec!["PrivateNetwork=no".to_owned(), "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6".to_owned()];
    if names.is_empty() {
        lines.push("IPAddressDeny=any".to_owned());
        let (local, remote): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.into_iter().partition(IpAddr::is_loopback);
        lines.extend((!local.is_empty()).then(|| "IPAddressAllow=localhost".to_owned()));
        lines.extend(remote.into_iter().map(|address| format!("IPAddressAllow={address}")));
    } else {
        lines.push(format!("# better: IPAddressAllow= with the addresses of {}", names.join(", ")));
        lines.push("IPAddressDeny=".to_owned());
    }
    plan.drop_in(&site.unit("smtp", "service"), "Service", lines);
}
