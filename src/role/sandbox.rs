//! What the units' sandbox leaves out, and how to ask for it.

use anyhow::bail;

use crate::os::network;

/// Checks that something that needs the network can have it: the units of the servers are shut off from it, because
/// systemd holds their listening sockets.
///
/// # Errors
/// It cannot; the text names the drop-in that opens the network.
pub fn require_network(what: &str) -> anyhow::Result<()> {
    require(what, "examples/systemd/network.conf (see docs/filters.md)")
}

/// The same for connections to next hops.
///
/// # Errors
/// As [`require_network`].
pub fn require_next_hops(what: &str) -> anyhow::Result<()> {
    require(what, "examples/systemd/immediate.conf (see docs/immediate.md)")
}

fn require(what: &str, drop_in: &str) -> anyhow::Result<()> {
    if !network::is_allowed() {
        bail!(
            "{what} needs the network, which the service is shut off from: install the drop-in {drop_in}, then run \
             systemctl daemon-reload"
        );
    }
    Ok(())
}
