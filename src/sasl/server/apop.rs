//! APOP (RFC 1939 §7).

use super::accounts::{Accounts, Found};
use super::exchange::{Outcome, Used};
use crate::sasl::digest::Hash;
use crate::sasl::encoding::hex;
use crate::sasl::secret::{Secret, same};

/// Judges the digest that a client made of `challenge`, angle brackets included, and its password.
///
/// Only passwords in clear will do: masked ones are those of another function.
pub fn check_apop(accounts: &dyn Accounts, challenge: &str, user: &[u8], digest: &[u8]) -> Outcome {
    let found = accounts.password(user);
    let nobody = Secret::default();
    let password = found.as_ref().map_or(&nobody, |Found { value, .. }| *value);
    let whole = Secret::new([challenge.as_bytes(), password.expose()].concat());
    let right = same(hex(&Hash::Md5.digest(whole.expose())).as_bytes(), digest);
    let used = found.map(|found| Used { kind: "plaintext", line: Some(found.line) });
    Outcome { user: Some(user.to_vec()), accepted: right && used.is_some(), used }
}
