//! Start-up and listening.

use std::fmt;

use super::{Fact, Fields, Server};
use crate::log::kind::{self, Kind};

/// What is logged while a process starts, and when its addresses change.
#[derive(Clone, Debug, PartialEq)]
pub enum StartEvent {
    /// A server listens. Logged for each address in the order SMTP, admin, POP, without a unit in the context: the name
    /// of a named instance is part of the text.
    Listening {
        /// Name of the instance.
        instance: Option<String>,
        /// Which server.
        server: Server,
        /// Where.
        address: String,
    },
    /// An address of a named interface appeared.
    NewListener {
        /// Which server.
        server: Server,
        /// Where.
        address: String,
    },
    /// An address of a named interface vanished.
    ListenerGone {
        /// Which server.
        server: Server,
        /// Where.
        address: String,
    },
    /// An address that appeared cannot be bound.
    ListenerFailed {
        /// Which server.
        server: Server,
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// Interfaces without an address.
    NoAddresses {
        /// Their names.
        interfaces: Vec<String>,
    },
    /// A server has nowhere to listen yet.
    WaitingForInterface {
        /// Which server.
        server: Server,
        /// The interface.
        interface: String,
    },
    /// The configured next hop.
    ForwardingTo {
        /// Name of the instance.
        instance: Option<String>,
        /// The next hop as configured.
        address: String,
    },
    /// The spool directory cannot be written.
    DirectoryNotWritable {
        /// The directory.
        path: String,
    },
    /// The next hop does not resolve.
    NextHopUnresolved {
        /// The resolver's answer.
        reason: String,
    },
    /// A warning about the configuration.
    Configuration {
        /// The warning.
        text: String,
    },
    /// `--user root` is in use.
    RunningAsRoot,
    /// Capabilities that nothing needs.
    Capabilities {
        /// Their names.
        names: Vec<String>,
    },
    /// A top-level error: what stands behind `emailrelay: error: ` on stderr.
    Fatal {
        /// The error.
        text: String,
    },
}

impl Fact for StartEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            StartEvent::Listening { .. } => kind::LISTENING,
            StartEvent::NewListener { .. } => kind::LISTENER_NEW,
            StartEvent::ListenerGone { .. } => kind::LISTENER_GONE,
            StartEvent::ListenerFailed { .. } => kind::LISTENER_FAILED,
            StartEvent::NoAddresses { .. } => kind::NO_ADDRESSES,
            StartEvent::WaitingForInterface { .. } => kind::WAITING_FOR_INTERFACE,
            StartEvent::ForwardingTo { .. } => kind::FORWARDING_TO,
            StartEvent::DirectoryNotWritable { .. } => kind::DIRECTORY_NOT_WRITABLE,
            StartEvent::NextHopUnresolved { .. } => kind::NEXT_HOP_UNRESOLVED,
            StartEvent::Configuration { .. } => kind::CONFIGURATION,
            StartEvent::RunningAsRoot => kind::RUNNING_AS_ROOT,
            StartEvent::Capabilities { .. } => kind::CAPABILITIES,
            StartEvent::Fatal { .. } => kind::FATAL,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            StartEvent::Listening { instance, .. } => {
                Fields { instance: instance.clone(), ..Fields::default() }
            }
            StartEvent::ForwardingTo { instance, address } => {
                Fields { instance: instance.clone(), next_hop: Some(address.clone()), ..Fields::default() }
            }
            StartEvent::ListenerFailed { reason, .. } | StartEvent::NextHopUnresolved { reason } => {
                Fields::reason(reason)
            }
            StartEvent::Capabilities { names } => Fields::reason(&names.join(" ")),
            StartEvent::Fatal { text } => Fields::reason(text),
            _ => Fields::default(),
        }
    }
}

impl fmt::Display for StartEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartEvent::Listening { instance, server, address } => {
                write!(f, "{}{server} server on {address}", Bracketed(instance))
            }
            StartEvent::NewListener { server, address } => write!(f, "new {server} server on {address}"),
            StartEvent::ListenerGone { server, address } => {
                write!(f, "deleting {server} server on {address}")
            }
            StartEvent::ListenerFailed { server, address, reason } => {
                write!(f, "failed to bind {address} for new {server} server: {reason}")
            }
            StartEvent::NoAddresses { interfaces } => {
                let plural = if interfaces.len() == 1 { "" } else { "s" };
                write!(
                    f,
                    "no addresses bound to named network interface{plural} \"{}\"",
                    interfaces.join("\", \"")
                )
            }
            StartEvent::WaitingForInterface { server, interface } => {
                write!(f, "{server} server: nothing to do: waiting for interface \"{interface}\"")
            }
            StartEvent::ForwardingTo { instance, address } => {
                write!(f, "{}forwarding to {address}", Bracketed(instance))
            }
            StartEvent::DirectoryNotWritable { path } => write!(f, "directory not writable: \"{path}\""),
            StartEvent::NextHopUnresolved { reason } => {
                write!(f, "dns lookup of forward-to address failed: {reason}")
            }
            StartEvent::Configuration { text } | StartEvent::Fatal { text } => f.write_str(text),
            StartEvent::RunningAsRoot => f.write_str("running as root: filters will run as root"),
            StartEvent::Capabilities { names } => {
                write!(f, "unneeded capabilities are held: {}", names.join(" "))
            }
        }
    }
}

/// `[name] ` for a named instance.
struct Bracketed<'a>(&'a Option<String>);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            Some(name) if !name.is_empty() => write!(f, "[{name}] "),
            _ => Ok(()),
        }
    }
}
