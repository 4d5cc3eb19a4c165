//! Following the addresses of named network interfaces: a laptop's or a router's come and go.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::log::{self, Server, StartEvent};
use crate::net::listener::{Bound, Listener};
use crate::os::interfaces::{self, Family};
use crate::role::smtp::{SmtpRole, accept};

/// How often the addresses are looked at. A netlink socket would tell at once, but the services' sandbox has none, and
/// an address that is a moment old has no clients yet.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A network interface whose addresses are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The interface's name.
    pub name: String,
    /// Which of its addresses.
    pub family: Family,
    /// The port on each.
    pub port: u16,
}

/// The addresses that the interfaces have now. Blocking.
fn addresses(named: &[Named]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for interface in named {
        // An interface that cannot be asked has no addresses for now.
        for mut address in interfaces::addresses(&interface.name, interface.family).unwrap_or_default() {
            address.set_port(interface.port);
            found.push(address);
        }
    }
    found
}

/// Starts and ends listeners as addresses come and go, until `accepting` is cancelled. Without named interfaces there is nothing to do.
/// Those that the interfaces had at the start are bound and served already; `served` has the switch of each.
pub(super) async fn run(
    role: Arc<SmtpRole>,
    named: Vec<Named>,
    mut served: HashMap<SocketAddr, CancellationToken>,
    loops: TaskTracker,
    accepting: CancellationToken,
) {
    if named.is_empty() {
        return;
    }
    // A binding that failed is reported once, and tried again as long as the address is there.
    let mut failed = Vec::new();
    loop {
        tokio::select! {
            () = accepting.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
        let asked = named.clone();
        let Ok(now) = spawn_blocking(move || addresses(&asked)).await else { continue };
        served.retain(|address, switch| {
            let stays = now.contains(address);
            if !stays {
                let address = crate::log::show(address);
                log::emit(&role.context, &StartEvent::ListenerGone { server: Server::Smtp, address }.into());
                switch.cancel();
            }
            stays
        });
        failed.retain(|address| now.contains(address));
        for address in now {
            if served.contains_key(&address) {
                continue;
            }
            match Bound::tcp(address).and_then(Bound::into_listener) {
                Ok(listener) => {
                    served.insert(address, serve(&role, listener, address, &loops, accepting.child_token()));
                    failed.retain(|other| *other != address);
                }
                Err(error) if !failed.contains(&address) => {
                    failed.push(address);
                    let (address, reason) = (crate::log::show(&address), crate::os::reason(&error));
                    let event = StartEvent::ListenerFailed { server: Server::Smtp, address, reason };
                    log::emit(&role.context, &event.into());
                }
                Err(_) => {}
            }
        }
    }
}

fn serve(
    role: &Arc<SmtpRole>,
    listener: Listener,
    address: SocketAddr,
    loops: &TaskTracker,
    switch: CancellationToken,
) -> CancellationToken {
    let shown = crate::log::show(&address);
    log::emit(&role.context, &StartEvent::NewListener { server: Server::Smtp, address: shown }.into());
    loops.spawn(accept::run(Arc::clone(role), Arc::new(listener), switch.clone()));
    switch
}
