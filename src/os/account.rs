//! The accounts of this machine, as the name service knows them.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::User;

/// Lists the shells that people may log in with (shells(5)).
const SHELLS: &str = "/etc/shells";

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, as the database spells it.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its shell is one that people log in with.
    pub login: bool,
}

/// Looks an account up. Blocks for as long as the name service does.
///
/// # Errors
/// The name service failed: whether there is such an account is not known.
pub fn lookup(name: &str) -> io::Result<Option<Account>> {
    if name.is_empty() || name.contains('\0') {
        return Ok(None);
    }
    match User::from_name(name) {
        Ok(found) => Ok(found.map(|user| Account {
            login: is_login_shell(&user.shell),
            uid: user.uid.as_raw(),
            name: user.name,
        })),
        // Some modules say it with an error number (getpwnam_r(3)).
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_login_shell(shell: &Path) -> bool {
    let shells = std::fs::read_to_string(SHELLS).unwrap_or_default();
    shells.lines().any(|line| Path::new(line.trim()) == shell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name() {
        let root = lookup("root").expect("name service").expect("root");
        assert_eq!((root.name.as_str(), root.uid), ("root", 0));
        for name in ["no-such-user-x", "", "a\0b"] {
            assert_eq!(lookup(name).expect("name service"), None, "{name:?}");
        }
    }
}
