//! The accounts of the system, by PAM: the service `emailrelay`, its `auth` and `account` steps.
//!
//! Blocking, for as long as its modules like.

use thiserror::Error;

/// The name of the service, whose file is `/etc/pam.d/emailrelay`.
pub const SERVICE: &str = "emailrelay";

/// Why PAM does not let a user in.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PamError {
    /// It has judged: this is not the user, or the user may not come in.
    #[error("pam error: {step}: {code}: {text}")]
    Refused {
        /// The step that refused.
        step: &'static str,
        /// Its result.
        code: i32,
        /// That in words.
        text: String,
    },
    /// It could not judge.
    #[error("pam error: {step}: {code}: {text}")]
    Unavailable {
        /// The step that failed.
        step: &'static str,
        /// Its result.
        code: i32,
        /// That in words.
        text: String,
    },
    /// No module wanted to know the password.
    #[error("pam error: no password prompt received from pam module")]
    NoPrompt,
    /// The name or the password has a NUL in it, which PAM cannot be told.
    #[error("pam error: invalid user name or password")]
    Invalid,
}

#[cfg(feature = "pam")]
pub use linked::check;

#[cfg(feature = "pam")]
mod linked {
    use std::cell::Cell;
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::rc::Rc;

    use nonstick::constants::ReturnCode;
    use nonstick::{
        AuthnFlags, ConversationAdapter, ErrorCode, Result as PamResult, Transaction, TransactionBuilder,
    };

    use super::{PamError, SERVICE};
    use crate::sasl::Secret;

    /// Tells modules the password, and nothing else.
    struct Answers {
        user: OsString,
        password: Secret,
        /// Somebody wanted to know the password.
        asked: Rc<Cell<bool>>,
    }

    impl ConversationAdapter for Answers {
        fn prompt(&self, _: impl AsRef<OsStr>) -> PamResult<OsString> {
            Ok(self.user.clone())
        }

        fn masked_prompt(&self, _: impl AsRef<OsStr>) -> PamResult<OsString> {
            self.asked.set(true);
            Ok(OsString::from_vec(self.password.expose().to_vec()))
        }

        fn error_msg(&self, _: impl AsRef<OsStr>) {}

        fn info_msg(&self, _: impl AsRef<OsStr>) {}
    }

    /// Judges a name and a password. An empty password is never right.
    ///
    /// # Errors
    /// The user is not let in.
    pub fn check(user: &[u8], password: &Secret) -> Result<(), PamError> {
        if user.contains(&0) || password.expose().contains(&0) {
            return Err(PamError::Invalid);
        }
        let asked = Rc::new(Cell::new(false));
        let user = OsStr::from_bytes(user);
        let answers = Answers { user: user.to_owned(), password: password.clone(), asked: Rc::clone(&asked) };
        let start = TransactionBuilder::new_with_service(SERVICE).username(user);
        let mut transaction =
            start.build(answers.into_conversation()).map_err(|code| failed("pam_start", code))?;
        let flags = AuthnFlags::SILENT | AuthnFlags::DISALLOW_NULL_AUTHTOK;
        transaction.authenticate(flags).map_err(|code| failed("pam_authenticate", code))?;
        if !asked.get() {
            return Err(PamError::NoPrompt);
        }
        transaction.account_management(flags).map_err(|code| failed("pam_acct_mgmt", code))
    }

    fn failed(step: &'static str, code: ErrorCode) -> PamError {
        let (number, text) = (i32::from(ReturnCode::from(code)), code.to_string());
        match code {
            ErrorCode::AuthenticationError
            | ErrorCode::PermissionDenied
            | ErrorCode::UserUnknown
            | ErrorCode::MaxTries
            | ErrorCode::CredentialsInsufficient
            | ErrorCode::NewAuthTokRequired
            | ErrorCode::AccountExpired
            | ErrorCode::AuthTokExpired
            | ErrorCode::CredentialsExpired
            // How pam_exec says that its program has refused.
            | ErrorCode::SystemError => PamError::Refused { step, code: number, text },
            // Whatever else it is, the user may be who it says.
            _ => PamError::Unavailable { step, code: number, text },
        }
    }
}

/// Judges nobody: a build without PAM refuses the option that leads here.
///
/// # Errors
/// Always.
#[cfg(not(feature = "pam"))]
pub fn check(_: &[u8], _: &crate::sasl::Secret) -> Result<(), PamError> {
    Err(PamError::Unavailable { step: "pam_start", code: 0, text: "not built in".to_owned() })
}
