//! Secrets files: who may log in here, who is trusted without, and how we log in elsewhere.
//!
//! One account per line, `side type id secret [selector]`; one file may serve SMTP, POP and forwarding. Files of the
//! versions 1.4 to 1.9, `mechanism side id secret`, are read as what they meant.
//!
//! [`Secrets`] is what a file says, [`Store`] a file that may change while we run: a new file is used only if it has
//! no errors, else the last good contents stay. No error or warning ever shows a secret.

mod client;
mod files;
mod line;
pub mod pam;
mod read;
mod store;
mod table;
mod trust;

pub use client::{Account, ClientEntry, Hold};
pub use files::{Files, refresh};
pub use read::{Report, parse};
pub use store::{OpenError, Refreshed, Store};
pub use table::Secrets;
pub use trust::{Trust, Trusted};

#[cfg(test)]
mod tests;
