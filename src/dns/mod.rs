//! Questions to name servers: block lists for clients, mail exchangers for next hops.
//!
//! [`Resolver`] asks and caches, [`dnsbl`] judges a client by what block lists say, [`mx`] finds where the mail of a domain
//! goes. The names of next hops themselves are looked up by the system (`net::connect`), which also knows the hosts file.

pub mod dnsbl;
pub mod mx;
mod probe;
mod resolver;
#[cfg(test)]
pub(crate) mod stub;

pub use probe::network;
pub use resolver::{Error, Limits, MailExchanger, Resolver, system_servers};
