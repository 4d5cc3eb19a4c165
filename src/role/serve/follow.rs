//! Following the addresses of named network interfaces: a laptop's or a router's come and go.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::log::{self, StartEvent};
use crate::net::listener::Bound;
use crate::os::interfaces::{self, Family};
use crate::role::serve::{Service, accept};

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

/// Starts and ends listeners as addresses come and go, until `accepting` is cancelled. Without named interfaces there is
/// nothing to do. Those that the interfaces had at the start are bound and served already; `served` has the switch of each.
pub(super) async fn run<S: Service>(
    service: Arc<S>,
    named: Vec<Named>,
    served: HashMap<SocketAddr, CancellationToken>,
    loops: TaskTracker,
    accepting: CancellationToken,
) {
    if named.is_empty() {
        return;
    }
    let mut follower = Follower { service, loops, accepting, served, failed: Vec::new() };
    loop {
        tokio::select! {
            () = follower.accepting.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
        let asked = named.clone();
        let Ok(now) = spawn_blocking(move || addresses(&asked)).await else { continue };
        follower.forget_all_but(&now);
        for address in now {
            follower.serve(address);
        }
    }
}

struct Follower<S> {
    service: Arc<S>,
    loops: TaskTracker,
    accepting: CancellationToken,
    /// What is listened on, with the switch of each.
    served: HashMap<SocketAddr, CancellationToken>,
    /// What could not be bound: it is reported once, and tried again as long as the address is there.
    failed: Vec<SocketAddr>,
}

impl<S: Service> Follower<S> {
    fn forget_all_but(&mut self, now: &[SocketAddr]) {
        self.failed.retain(|address| now.contains(address));
        for (address, switch) in self.served.extract_if(|address, _| !now.contains(address)) {
            let address = log::show(&address);
            let gate = self.service.gate();
            log::emit(&gate.context, &StartEvent::ListenerGone { server: gate.server, address }.into());
            switch.cancel();
        }
    }

    fn serve(&mut self, address: SocketAddr) {
        if self.served.contains_key(&address) {
            return;
        }
        let shown = log::show(&address);
        let server = self.service.gate().server;
        let event = match Bound::tcp(address).and_then(Bound::into_listener) {
            Ok(listener) => {
                self.failed.retain(|other| *other != address);
                let switch = self.accepting.child_token();
                self.served.insert(address, switch.clone());
                self.loops.spawn(accept::run(Arc::clone(&self.service), Arc::new(listener), switch));
                StartEvent::NewListener { server, address: shown }
            }
            Err(_) if self.failed.contains(&address) => return,
            Err(error) => {
                self.failed.push(address);
                let reason = crate::os::reason(&error);
                StartEvent::ListenerFailed { server, address: shown, reason }
            }
        };
        log::emit(&self.service.gate().context, &event.into());
    }
}
