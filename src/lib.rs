//! E-MailRelay again: an SMTP store-and-forward relay for Linux with systemd.
//!
//! This is the architecture text: where things are, how a message travels, and what always holds.
//!
//! # Bird's-eye view
//!
//! Mail comes in over SMTP, is kept as two plain files per message in a spool directory, and is sent on to a next hop.
//! Each of these is a *role*, and each role has a program that systemd starts on sockets or requests that it holds:
//! `emailrelay-smtp` receives, `emailrelay-forward` sends, `emailrelay-submit` stores from the command line,
//! or hands a message to the SMTP role where it may not; `emailrelay-admin` answers administrators, and `emailrelay-queue` is for
//! people at the directory itself.
//! `emailrelay` runs all roles in one process, with the command line of E-MailRelay 2.6, and is each of the tools when it is called
//! by its name (a router has it once, and links). **Roles share the spool and
//! nothing else**: what one must tell another is a file in the spool directory.
//!
//! # Code map
//!
//! | module | what it is |
//! |---|---|
//! | [`smtp`] | the protocol without I/O: grammar, replies, the [`smtp::server`] and [`smtp::client`] sessions |
//! | [`pop`] | the POP3 server's session, without I/O |
//! | [`admin`] | the administration dialogue without I/O |
//! | [`sasl`] | authentication without I/O: mechanisms, both sides of an exchange, HMAC from masked passwords |
//! | [`secrets`] | secrets files: accounts, trusted addresses, changes while running |
//! | [`net`] | sockets, and the pumps that carry bytes and time between a stream and a session |
//! | [`tls`] | encryption for both sides by rustls: certificates, verification, renewed files |
//! | [`dns`] | questions to name servers: block lists for clients, mail exchangers for next hops |
//! | [`spool`] | every file of every message; its module text has the table of states |
//! | [`forward`] | the forwarding engine: which message is due, what a reply means, when to try again |
//! | [`filter`] | filters of messages: programs, servers, and the chain that runs them |
//! | [`program`] | users' programs, run within bounds, for filters and verifiers |
//! | [`verify`] | address verifiers: programs, servers, accounts |
//! | [`message`] | header fields, address lists, dates (RFC 5322), for submission |
//! | [`log`] | typed events; text, syslog and journal; the fixed message ids |
//! | [`os`] | Linux and systemd: activation, notification, identity, background; the only `unsafe` |
//! | [`config`] | settings as plain, checked data |
//! | [`cli`] | the option table, command line and configuration files; bringing a process up |
//! | [`role`] | wiring: one module for each role or long-lived task |
//!
//! Arrows go `bin → cli → role → {filter, verify, program, net, tls, dns, forward, secrets, spool, message, os, log, config} → {smtp, pop,
//! admin} → sasl`, never back.
//!
//! # The way of a message
//!
//! 1. `role::smtp` accepts a connection, judges the peer's address, counts it, and gives the stream to
//!    [`net::server`], which pumps an [`smtp::server::Session`]. The session asks; the role answers from the spool.
//!    AUTH is a question too: the session carries lines, [`sasl::server`] judges them by the accounts of [`secrets`].
//! 2. At MAIL the spool is asked whether it can take a message. Content is kept in memory up to 64 KiB, then written
//!    to its file as it comes.
//! 3. At the end of data the role writes and syncs content and envelope and hands both to the spool's commit thread,
//!    which renames the envelope into place and syncs the directory, for as many messages at once as are waiting. Only
//!    then does the session say 250.
//! 4. The role asks for forwarding: `emailrelay-smtp` by the request file that `emailrelay-forward.path` watches.
//! 5. [`forward::Engine`] lists the spool, oldest first, and queues each message that is due in the lane of its
//!    destination. A lane has up to four connections, as its share of those that are allowed in all, each with a worker
//!    that locks a message, sends it through [`net::client`] and an [`smtp::client::Session`], and finishes it as
//!    [`forward::outcome`] judges: deleted, put back with the time of the next attempt, set aside as `.bad`, or left untouched when the session was to blame.
//!
//! With `--immediate` step 3 ends with the message visible and locked for us, and `role::smtp` hands it to its client's line of
//! [`forward::proxy`], which sends it on at once. The reply is what [`forward::answer`] makes of the next hop's.
//!
//! # Invariants
//!
//! Those that a text search can see are held by `tests/it/tidy.rs`.
//!
//! 1. [`smtp`], [`pop`], [`admin`] and [`sasl`] name no runtime, socket, file, clock or source of random numbers: time comes in as a value, work goes out as a value.
//! 2. Only [`os`] knows the service manager's environment and contains `unsafe`.
//! 3. Only [`spool`] opens files below the spool directory; nothing else knows their names.
//! 4. Arrows never point back.
//! 5. A process ends by returning from `main`; the environment is never written once threads may run.
//! 6. A message is acknowledged only when its content, envelope and directory entry are durable (unless `--durability none`).
//! 7. A recipient leaves an envelope only after a 2xx to the data; what cannot be judged is a temporary failure. Only a client that
//!    waits for the outcome, and is told that its message is not taken, has it back as a whole.
//! 8. Every buffer, count and wait that a peer can grow has a named limit.
//! 9. Bytes that came before a TLS handshake are never read as if they had come after it, on either side.
//! 10. No error of one session, message or destination ends another's.

/// Name shown in greetings, banners and `--version`.
pub const PRODUCT: &str = "E-MailRelay";
/// Version shown behind [`PRODUCT`].
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub mod admin;
pub mod cli;
pub mod config;
pub mod dns;
pub mod filter;
pub mod forward;
pub mod log;
pub mod message;
pub mod net;
pub mod os;
pub mod pop;
pub mod program;
pub mod role;
pub mod sasl;
pub mod secrets;
pub mod smtp;
pub mod spool;
pub mod tls;
pub mod verify;
