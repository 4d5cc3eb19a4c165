//! The server's side of an exchange.
//!
//! [`offered`] says what a list of accounts makes possible. An [`Exchange`] takes each response, already out of its
//! base64, and says in a [`Step`] what comes next. A password that has come in full is handed out: it may be checked by
//! [`check_password`], or by something else such as PAM.
//!
//! [`Exchange::respond`] and [`check_password`] can take milliseconds (SCRAM stretches passwords on purpose), and with slow hashes
//! a second and hundreds of megabytes; call them where that holds up nobody, and not too many at a time.

mod accounts;
mod apop;
mod exchange;
mod scram;

pub use accounts::{Accounts, Found, Kinds, offered};
pub use apop::check_apop;
pub use exchange::{Binding, Exchange, Fresh, Outcome, Step, Used, check_password};

#[cfg(test)]
mod tests;
