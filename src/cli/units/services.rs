//! Times, directories, networks and secrets as units for forwarding and drop-ins for services.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::super::Invocation;
use super::super::check::is_unseen;
use super::{Plan, Site, sockets};
use crate::config::address::Remote;
use crate::config::{ClientAuth, FilterSpec, ServerAuth, Settings};
use crate::dns;
use crate::spool::FORWARD_REQUEST;

/// Seconds between two runs of the timer as it is installed.
const TIMER: u64 = 60;

/// Names everything but the sockets.
pub(super) fn plan(site: &Site<'_>, invocation: &Invocation, plan: &mut Plan) {
    forwarding(site, plan);
    let roles = roles(site.settings);
    for role in &roles {
        let unit = site.unit(role, "service");
        plan.drop_in(&unit, "Service", directories(site, role, invocation.process.log.file.as_deref()));
        plan.drop_in(&unit, "Service", credentials(site, role));
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
    if !user.is_empty() && user != "emailrelay" {
        plan.notes.push(format!(
            "the services run as emailrelay and not as {user}: what is in the spool directory must be theirs"
        ));
    }
}

fn roles(settings: &Settings) -> Vec<&'static str> {
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
        if settings.spool_dir != Path::new(&site.usual_spool()) {
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

/// Directories outside those that the installed services may write in.
fn directories(site: &Site<'_>, role: &str, log: Option<&Path>) -> Vec<String> {
    let settings = site.settings;
    let mut paths = Vec::new();
    if settings.spool_dir != Path::new(&site.usual_spool()) {
        paths.push(settings.spool_dir.as_path());
    }
    if role == "smtp" {
        paths.extend(settings.delivery_dir.as_deref().filter(|path| !path.starts_with(&settings.spool_dir)));
    }
    paths.extend(log.and_then(Path::parent));
    paths.into_iter().map(|path| format!("ReadWritePaths={}", site.env.cwd.join(path).display())).collect()
}

/// Files that only root may read reach a service as credentials, named `@cred/NAME` in its options.
fn credentials(site: &Site<'_>, role: &str) -> Vec<String> {
    let settings = site.settings;
    let mut files: Vec<(&str, &Path)> = Vec::new();
    let server = |auth: &'_ Option<ServerAuth>| auth.as_ref().and_then(ServerAuth::file).map(Path::to_owned);
    let (smtp, pop) = (server(&settings.smtp.auth), server(&settings.pop.auth));
    match role {
        "smtp" => files.extend(smtp.as_deref().map(|path| ("server-auth", path))),
        "pop" => files.extend(pop.as_deref().map(|path| ("pop-auth", path))),
        _ => {}
    }
    let (serves, sends) = match role {
        "smtp" => (true, settings.forward.immediate),
        "pop" => (true, false),
        _ => (false, true),
    };
    if let Some(tls) = settings.server_tls.as_ref().filter(|_| serves) {
        files.push(("server-tls-certificate", &tls.certificate.key));
    }
    if let Some(ClientAuth::File(path)) = settings.forward.auth.as_ref().filter(|_| sends) {
        files.push(("client-auth", path));
    }
    let ours = settings.client_tls.as_ref().and_then(|tls| tls.certificate.as_ref());
    if let Some(certificate) = ours.filter(|_| sends) {
        files.push(("client-tls-certificate", &certificate.key));
    }
    let mut lines = Vec::new();
    // Those that are credentials already are the administrator's own.
    for (name, path) in files.into_iter().filter(|(_, path)| !is_unseen(path)) {
        lines.push(format!("# and in the configuration: {name} @cred/{name}"));
        lines.push(format!("LoadCredential={name}:{}", site.env.cwd.join(path).display()));
    }
    lines
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
