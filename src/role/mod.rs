//! The roles: what each program does, wired from the parts.
//!
//! [`instance`] wires one instance; [`supervise`] is the process's own loop; the rest is one module for each long-lived task.

pub mod admin;
pub mod bind;
pub mod copy;
pub mod doorbell;
pub mod fixed;
pub mod forward;
#[cfg(test)]
mod forward_backlog;
#[cfg(test)]
mod forward_stress;
#[cfg(test)]
mod forward_trouble;
pub mod instance;
pub mod login;
pub mod notify;
pub mod passwd;
mod pipe;
pub mod poke;
pub mod pop;
pub mod queue;
pub mod resubmit;
pub mod sandbox;
pub mod serve;
pub mod settings;
pub(crate) mod site;
pub mod smtp;
mod store;
pub mod submit;
pub mod supervise;
mod sysexits;
pub mod tls;
pub mod upkeep;
pub(crate) mod words;
