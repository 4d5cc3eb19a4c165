//! `--check`: is this the password of that line?

use std::path::Path;

use super::Fault;
use crate::sasl::encoding::{from_base64, from_xtext};
use crate::sasl::server::Accounts;
use crate::sasl::{Hash, HmacKey, Secret};
use crate::secrets::{self, Secrets};

/// Stands for the file's name in errors.
const NAME: &str = "line";

/// Checks a password against a line of a secrets file.
///
/// # Errors
/// It is another one, or the line has no password.
pub(super) fn check(line: &[u8], password: &Secret) -> Result<(), Fault> {
    let mut fields: Vec<&[u8]> =
        line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
    // Passwords of both sides are written alike.
    for field in fields.iter_mut().take(2).filter(|field| field.eq_ignore_ascii_case(b"client")) {
        *field = b"server";
    }
    let id = *fields.get(2).ok_or_else(|| Fault::Line("line(1): too few fields".to_owned()))?;
    let no_credentials = |name: &str| Err(format!("cannot check a credential: {name}"));
    let text = fields.join(&b' ');
    let (secrets, report) = secrets::parse(&text, Path::new(NAME), Secret::default(), &no_credentials);
    if let Some(error) = report.errors.into_iter().next() {
        return Err(Fault::Line(error));
    }
    let ids = [Some(id.to_vec()), from_xtext(id), from_base64(id)];
    let verdicts: Vec<bool> = ids.iter().flatten().flat_map(|id| verdicts(&secrets, id, password)).collect();
    match verdicts.as_slice() {
        [] => Err(Fault::Line("line(1): there is no password in it".to_owned())),
        verdicts if verdicts.contains(&true) => Ok(()),
        _ => Err(Fault::Wrong),
    }
}

/// For each entry of this id: whether it is of this password.
fn verdicts(secrets: &Secrets, id: &[u8], password: &Secret) -> Vec<bool> {
    let hashes = [Hash::Md5, Hash::Sha1, Hash::Sha256, Hash::Sha512];
    let keys = hashes.iter().filter_map(|hash| secrets.key(*hash, id));
    let plain = secrets.password(id).map(|found| found.value == password);
    let masked = keys.map(|found| *found.value == HmacKey::new(found.value.hash(), password));
    let scram = secrets.scram(id).map(|found| found.value.is_of(password));
    let hashed = secrets.hash(id).map(|found| found.value.is_of(password));
    plain.into_iter().chain(masked).chain(scram).chain(hashed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(line: &str) -> Result<(), String> {
        check(line.as_bytes(), &Secret::from("secret")).map_err(|fault| fault.to_string())
    }

    #[test]
    fn every_form_can_be_checked() {
        for good in [
            "server plain alice secret",
            "server plain a+20b secret",
            "server plain:b YWxpY2U= c2VjcmV0",
            "client plain alice secret selector",
            "server md5 alice qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=",
            "server md5 alice 4059553961.2316091643.3282746241.1444639637.3735501773.3404060330.2760590371.1201092398",
            "client sha1 alice Q3Lhrmvp8z2xD/Ckw5CktjQgnZJMDx4Jfie1bDm2vuIxCA2mza3ItQ==",
            "login server alice secret",
        ] {
            assert_eq!(verdict(good), Ok(()), "{good}");
        }
        for bad in
            ["server plain alice Secret", "server md5 alice hNtQOHXk3ILKXdDP23to/+nwgSPLCb207nxW2b7nKNk="]
        {
            assert_eq!(verdict(bad), Err("wrong password".into()), "{bad}");
        }
    }

    #[test]
    fn a_line_without_a_password_says_so() {
        for (line, error) in [
            ("", "line(1): too few fields"),
            ("server plain alice", "line(1): too few fields"),
            ("server none 127.0.0.1 x", "line(1): there is no password in it"),
            ("server md5 alice xyz", "line(1): invalid base64 encoding of secret"),
            ("a plain b c", "line(1): invalid value in first field: [a]"),
        ] {
            assert_eq!(verdict(line), Err(error.into()), "{line}");
        }
    }
}
