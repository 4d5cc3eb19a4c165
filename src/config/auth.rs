//! Where accounts come from: the values of `--server-auth`, `--pop-auth` and `--client-auth`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::sasl::Secret;
use crate::sasl::encoding::from_base64;

/// Who may log in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAuth {
    /// The accounts of a secrets file.
    File(PathBuf),
    /// The accounts of the system (`pam:`).
    Pam {
        /// A secrets file of which only the trusted addresses count (`pam:,FILE`).
        trusted: Option<PathBuf>,
    },
}

/// How we log in at the next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// With the accounts of a secrets file.
    File(PathBuf),
    /// With this account (`plain:ID:PASSWORD`, both in base64).
    Account {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// What stands for the system's accounts, and its old spelling.
const PAM: &[u8] = b"pam:";
const OLD_PAM: &[u8] = b"/pam";

/// What stands in front of an account.
const PLAIN: &[u8] = b"plain:";

impl ServerAuth {
    /// Reads a value that is not empty.
    pub fn parse(value: &OsStr) -> Self {
        let bytes = value.as_bytes();
        let file = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        match (bytes == OLD_PAM, bytes.strip_prefix(PAM)) {
            (true, _) => Self::Pam { trusted: None },
            (false, None) => Self::File(file(bytes)),
            (false, Some(rest)) => {
                let rest = rest.strip_prefix(b",").unwrap_or(rest);
                Self::Pam { trusted: (!rest.is_empty()).then(|| file(rest)) }
            }
        }
    }

    /// Whether this is the old spelling of `pam:`.
    pub fn is_old_spelling(value: &OsStr) -> bool {
        value.as_bytes() == OLD_PAM
    }

    /// The file to read, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Pam { trusted } => trusted.as_deref(),
        }
    }
}

impl ClientAuth {
    /// Reads a value that is not empty; none if it is an account that makes no sense.
    pub fn parse(value: &OsStr) -> Option<Self> {
        let Some(account) = value.as_bytes().strip_prefix(PLAIN) else {
            return Some(Self::File(PathBuf::from(value)));
        };
        let at = account.iter().position(|byte| *byte == b':')?;
        let (user, password) = account.split_at(at);
        let user = String::from_utf8(from_base64(user)?).ok().filter(|user| !user.is_empty())?;
        let password = Secret::new(from_base64(password.get(1..)?)?);
        (!password.is_empty()).then_some(Self::Account { user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_the_system_and_accounts() {
        let server = |text: &str| ServerAuth::parse(OsStr::new(text));
        assert_eq!(server("/etc/a"), ServerAuth::File("/etc/a".into()));
        assert_eq!(server("pam:"), ServerAuth::Pam { trusted: None });
        assert_eq!(server("/pam"), ServerAuth::Pam { trusted: None });
        assert_eq!(server("pam:,/etc/a"), ServerAuth::Pam { trusted: Some("/etc/a".into()) });
        assert!(
            ServerAuth::is_old_spelling(OsStr::new("/pam"))
                && !ServerAuth::is_old_spelling(OsStr::new("pam:"))
        );
        let client = |text: &str| ClientAuth::parse(OsStr::new(text));
        assert_eq!(client("/etc/a"), Some(ClientAuth::File("/etc/a".into())));
        assert_eq!(client("pam:"), Some(ClientAuth::File("pam:".into())));
        let account = ClientAuth::Account { user: "bob".to_owned(), password: Secret::from("pass2") };
        assert_eq!(client("plain:Ym9i:cGFzczI="), Some(account.clone()));
        assert!(!format!("{account:?}").contains("pass2"));
        for bad in [
            "plain:",
            "plain:Ym9i",
            "plain:Ym9i:",
            "plain::cGFzczI=",
            "plain:*:cGFzczI=",
            "plain:Ym9i:*",
            "plain:/w==:eA==",
        ] {
            assert_eq!(client(bad), None, "{bad}");
        }
    }
}
