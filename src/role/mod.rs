//! The roles: what each program does, wired from the parts.
//!
//! [`start`] brings a process up in the right order; [`instance`] wires one instance; [`supervise`] is the process's own loop.

pub mod bind;
pub mod doorbell;
pub mod forward;
#[cfg(test)]
mod forward_stress;
pub mod instance;
pub mod settings;
pub mod smtp;
pub mod start;
pub mod submit;
pub mod supervise;
pub mod upkeep;
