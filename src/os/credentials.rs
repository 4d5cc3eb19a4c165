//! systemd credentials (`LoadCredential=`, `ImportCredential=`): secrets and keys that only this service can read.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// In an option value, `@cred/NAME` stands for the credential of that name.
pub const PREFIX: &str = "@cred/";

/// systemd's own limit for one credential, bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Why a credential cannot be used.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// Not a file name: empty, too long, a path, or with characters that systemd does not allow.
    #[error("invalid credential name: \"{0}\"")]
    Name(String),
    /// The process was started without credentials.
    #[error("no credential \"{0}\": the service was given none (see LoadCredential= in systemd.exec(5))")]
    None(String),
    /// It cannot be read.
    #[error("cannot read credential \"{name}\": {}", super::reason(error))]
    Read {
        /// The credential.
        name: String,
        /// What happened.
        error: io::Error,
    },
}

/// Where the service manager has put the credentials of this process, if it has any.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The file of the credential `name`. It need not exist.
///
/// # Errors
/// If the name is not valid, or no credentials were passed.
pub fn path(name: &str) -> Result<PathBuf, CredentialError> {
    path_in(env::var_os("CREDENTIALS_DIRECTORY").as_deref().map(Path::new), name)
}

/// The name of the credential that stands for the file at an absolute path: the path without its first slash, with a plus sign for every
/// other one. None where two paths could have the same name, or systemd would not take it.
#[must_use]
pub fn name_of(path: &Path) -> Option<String> {
    let text = path.to_str()?.strip_prefix('/')?;
    let name = text.replace('/', "+");
    (!text.contains(['+', ',']) && is_valid(&name)).then_some(name)
}

/// The credential in `directory` that stands for the file at an absolute path, if there is one.
#[must_use]
pub fn standing_for(path: &Path, directory: &Path) -> Option<PathBuf> {
    let credential = directory.join(name_of(path)?);
    credential.is_file().then_some(credential)
}

/// The content of the credential `name`, at most 1 MiB.
///
/// # Errors
/// As [`path`], and if it is missing, unreadable or not a regular file.
pub fn read(name: &str) -> Result<Vec<u8>, CredentialError> {
    let path = path(name)?;
    read_file(&path).map_err(|error| CredentialError::Read { name: name.to_owned(), error })
}

/// An option value that may name a credential: `@cred/NAME` becomes its path, anything else stays.
///
/// # Errors
/// As [`path`].
pub fn expand(value: &str) -> Result<PathBuf, CredentialError> {
    match value.strip_prefix(PREFIX) {
        Some(name) => path(name),
        None => Ok(PathBuf::from(value)),
    }
}

fn path_in(directory: Option<&Path>, name: &str) -> Result<PathBuf, CredentialError> {
    if !is_valid(name) {
        return Err(CredentialError::Name(name.to_owned()));
    }
    match directory.filter(|directory| directory.is_absolute()) {
        Some(directory) => Ok(directory.join(name)),
        None => Err(CredentialError::None(name.to_owned())),
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_SIZE {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    Ok(content)
}

/// As systemd's `credential_name_valid`: a plain file name of printable ASCII.
fn is_valid(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'/' && byte != b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_name() {
        let directory = Some(Path::new("/run/credentials/x"));
        assert_eq!(path_in(directory, "auth").expect("path"), Path::new("/run/credentials/x/auth"));
        for bad in ["", ".", "..", "a/b", "../etc/shadow", "a\nb", "a\0", "ä", "a:b", &"x".repeat(256)] {
            assert!(matches!(path_in(directory, bad), Err(CredentialError::Name(_))), "{bad:?}");
        }
        let missing = path_in(None, "auth").expect_err("none").to_string();
        assert!(missing.starts_with("no credential \"auth\": "), "{missing}");
        assert!(path_in(Some(Path::new("relative")), "auth").is_err());
    }

    #[test]
    fn a_path_has_one_credential_and_a_credential_one_path() {
        let name = |path: &str| name_of(Path::new(path));
        assert_eq!(name("/etc/ssl/private/my key.pem").as_deref(), Some("etc+ssl+private+my key.pem"));
        for bad in
            ["", "/", "relative", "/a+b", "/a,b", "/a:b", "/ä", "/a\nb", &format!("/{}", "x".repeat(256))]
        {
            assert_eq!(name(bad), None, "{bad:?}");
        }
        let directory = tempfile::tempdir().expect("directory");
        let file = Path::new("/etc/emailrelay.auth");
        assert_eq!(standing_for(file, directory.path()), None);
        let credential = directory.path().join("etc+emailrelay.auth");
        std::fs::write(&credential, "x").expect("write");
        assert_eq!(standing_for(file, directory.path()), Some(credential));
    }

    #[test]
    fn other_values_are_not_touched() {
        assert_eq!(expand("/etc/emailrelay.auth").expect("path"), Path::new("/etc/emailrelay.auth"));
        assert!(matches!(expand("@cred/"), Err(CredentialError::Name(_))));
    }

    #[test]
    fn only_regular_files_of_limited_size_are_read() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("secret");
        std::fs::write(&file, "xyzzy").expect("write");
        assert_eq!(read_file(&file).expect("read"), b"xyzzy");
        assert!(read_file(directory.path()).is_err());
        std::fs::write(&file, vec![b'x'; (MAX_SIZE + 1) as usize]).expect("write");
        assert!(read_file(&file).is_err());
    }
}
