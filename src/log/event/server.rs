//! SMTP server, apart from what the protocol session reports itself.

use std::fmt;
use std::net::IpAddr;

use super::{Fact, Fields, Names, Server};
use crate::log::escape::Peer;
use crate::log::kind::{self, Kind};

/// What is logged about clients and the messages they bring.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerEvent {
    /// A client connected; before the greeting.
    Connected {
        /// To which server.
        server: Server,
        /// Its transport address.
        address: String,
    },
    /// The session ended.
    Disconnected {
        /// Of which server.
        server: Server,
        /// Why; empty if there is nothing to say.
        reason: String,
        /// The client's transport address.
        address: String,
    },
    /// Not a local client, and only those are served.
    NotLocal {
        /// Of which server.
        server: Server,
        /// The client.
        ip: IpAddr,
    },
    /// The connection was closed without a word.
    Rejected {
        /// The client's transport address.
        address: String,
    },
    /// The limit of connections. At most once a minute.
    TooManyConnections {
        /// The limit.
        limit: usize,
    },
    /// The limit of connections from one address. At most once a minute for each.
    TooManyFromAddress {
        /// The client.
        ip: String,
        /// The limit.
        limit: usize,
    },
    /// The server is disabled; the client got 421.
    Disabled {
        /// The client's transport address.
        address: String,
    },
    /// A message begins.
    ContentFile {
        /// Its id.
        id: String,
    },
    /// A message is complete.
    EnvelopeFile {
        /// Its id.
        id: String,
    },
    /// Its content cannot be written.
    SaveFailed {
        /// Its id.
        id: String,
        /// For the journal; the text is fixed.
        reason: String,
    },
    /// It cannot be stored.
    ProcessingFailed {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// The client left before the reply to its message.
    ClientGone {
        /// The message's id.
        id: String,
    },
    /// A message is durable and is being acknowledged.
    Stored {
        /// Its id.
        id: String,
        /// Its return path.
        from: String,
        /// Local and remote recipients.
        to: Vec<String>,
        /// Bytes received from the client.
        size: u64,
        /// The client's address without port.
        client: String,
        /// Who authenticated, if anybody did.
        user: Option<String>,
    },
}

impl Fact for ServerEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            ServerEvent::Connected { .. } => kind::CONNECTED,
            ServerEvent::Disconnected { .. } => kind::DISCONNECTED,
            ServerEvent::NotLocal { .. } => kind::NOT_LOCAL,
            ServerEvent::Rejected { .. } => kind::REJECTED,
            ServerEvent::TooManyConnections { .. } => kind::TOO_MANY_CONNECTIONS,
            ServerEvent::TooManyFromAddress { .. } => kind::TOO_MANY_FROM_ADDRESS,
            ServerEvent::Disabled { .. } => kind::SERVER_DISABLED,
            ServerEvent::ContentFile { .. } => kind::CONTENT_FILE,
            ServerEvent::EnvelopeFile { .. } => kind::ENVELOPE_FILE,
            ServerEvent::SaveFailed { .. } => kind::SAVE_FAILED,
            ServerEvent::ProcessingFailed { .. } => kind::PROCESSING_FAILED,
            ServerEvent::ClientGone { .. } => kind::CLIENT_GONE,
            ServerEvent::Stored { .. } => kind::STORED,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            ServerEvent::Disconnected { reason, .. } if !reason.is_empty() => Fields::reason(reason),
            ServerEvent::TooManyFromAddress { ip, .. } => {
                Fields { peer: Some(ip.clone()), ..Fields::default() }
            }
            ServerEvent::NotLocal { ip, .. } => Fields { peer: Some(ip.to_string()), ..Fields::default() },
            ServerEvent::ContentFile { id }
            | ServerEvent::EnvelopeFile { id }
            | ServerEvent::ClientGone { id } => Fields::msgid(id),
            ServerEvent::SaveFailed { id, reason } | ServerEvent::ProcessingFailed { id, reason } => {
                Fields { msgid: Some(id.clone()), ..Fields::reason(reason) }
            }
            ServerEvent::Stored { id, from, to, size, client, user } => Fields {
                peer: Some(client.clone()),
                from: Some(from.clone()),
                rcpts: Some(Fields::join(to)),
                size: Some(*size),
                user: user.clone(),
                ..Fields::msgid(id)
            },
            _ => Fields::default(),
        }
    }
}

impl fmt::Display for ServerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerEvent::Connected { server, address } => write!(f, "{server} connection from {address}"),
            ServerEvent::Disconnected { server, reason, address } if reason.is_empty() => {
                write!(f, "{server} connection closed: {address}")
            }
            ServerEvent::Disconnected { server, reason, address } => {
                write!(f, "{server} connection closed: {}: {address}", Peer(reason))
            }
            ServerEvent::NotLocal { server, ip } => {
                let networks = if ip.is_ipv4() { LOCAL_V4 } else { LOCAL_V6 };
                write!(f, "configured to reject non-local {server} connection: {ip} is not in {networks}")
            }
            ServerEvent::Rejected { address } => write!(f, "connection rejected from {address}"),
            ServerEvent::TooManyConnections { limit } => write!(f, "too many connections: limit is {limit}"),
            ServerEvent::TooManyFromAddress { ip, limit } => {
                write!(f, "too many connections from {ip}: limit is {limit}")
            }
            ServerEvent::Disabled { address } => write!(f, "smtp server disabled: refusing {address}"),
            ServerEvent::ContentFile { id } => write!(f, "new content file [{id}.content]"),
            ServerEvent::EnvelopeFile { id } => write!(f, "new envelope file [{id}.envelope.new]"),
            ServerEvent::SaveFailed { .. } => f.write_str("failed to save message content"),
            ServerEvent::ProcessingFailed { reason, .. } => {
                write!(f, "message processing exception: {reason}")
            }
            ServerEvent::ClientGone { id } => write!(f, "client gone before reply: [{id}]"),
            ServerEvent::Stored { id, from, to, size, client, user } => {
                let (from, to) = (Peer(from), Names(to));
                write!(f, "message stored [{id}]: from=<{from}> to={to} size={size} client={client}")?;
                match user {
                    Some(user) => write!(f, " auth={}", Peer(user)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// As in the line that tools know.
const LOCAL_V4: &str = "127.0.0.0/8, 169.254.0.0/16, 10.0.0.0/8, 172.16.0.0/12, or 192.168.0.0/16";

/// All link-local addresses are local, so the text names /10 and not /64 as before.
const LOCAL_V6: &str = "::1/128 or fe80::/10 or fc00::/7";
