//! Passwords stored as hashes that are slow on purpose, in the PHC string format: argon2id (RFC 9106) and scrypt (RFC 7914).
//!
//! What a hash costs stands in its text, and the text comes from an administrator; still it has limits, so that a slip
//! there does not become a stop here.

use std::fmt;
use std::hint::black_box;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::encoding::from_base64;
use super::secret::{Secret, same};

/// Most memory that one hash may take, in KiB.
pub const MAX_MEMORY: u32 = 256 * 1024;

/// Most memory that may be passed over in all, in KiB: some seconds of work.
pub const MAX_WORK: u64 = 2 * 1024 * 1024;

/// Lanes of argon2id and parallelisation of scrypt at most; they are worked on one after the other.
const MAX_LANES: u32 = 64;

/// Least and most bytes of salt, and of a hash.
const SALT: std::ops::RangeInclusive<usize> = 8..=64;
const HASH: std::ops::RangeInclusive<usize> = 16..=64;

/// Bytes of the hashes that we make.
const OWN_HASH: usize = 32;

/// The function of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// argon2id, version 1.3.
    Argon2id,
    /// scrypt.
    Scrypt,
}

impl Function {
    /// The function of that name, in lower case.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Argon2id, Self::Scrypt].into_iter().find(|function| function.name() == name)
    }

    /// Its name, as type in a secrets file and at the front of a hash.
    pub fn name(self) -> &'static str {
        match self {
            Self::Argon2id => "argon2id",
            Self::Scrypt => "scrypt",
        }
    }
}

/// What a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cost {
    Argon2id {
        /// KiB.
        memory: u32,
        passes: u32,
        lanes: u32,
    },
    Scrypt {
        /// The logarithm of N.
        log_n: u8,
        r: u32,
        p: u32,
    },
}

/// A text that is no hash, or one that costs too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid {} hash", .0.name())]
pub struct InvalidHash(Function);

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    cost: Cost,
    salt: Vec<u8>,
    hash: Secret,
}

impl PasswordHash {
    /// The hash of a password, at a cost that is right today (the second choice of RFC 9106 section 4, and what OWASP says of
    /// scrypt). As slow as it is meant to be.
    pub fn new(function: Function, password: &Secret, salt: &[u8]) -> Self {
        let cost = match function {
            Function::Argon2id => Cost::Argon2id { memory: 64 * 1024, passes: 3, lanes: 4 },
            Function::Scrypt => Cost::Scrypt { log_n: 16, r: 8, p: 2 },
        };
        Self::at(cost, password, salt)
    }

    fn at(cost: Cost, password: &Secret, salt: &[u8]) -> Self {
        let hash = Secret::new(cost.spend(password, salt, OWN_HASH).to_vec());
        Self { cost, salt: salt.to_vec(), hash }
    }

    /// Reads `$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH` or `$scrypt$ln=16,r=8,p=1$SALT$HASH`, the last two in base64.
    ///
    /// # Errors
    /// The text is something else, or beyond the limits.
    pub fn parse(function: Function, text: &str) -> Result<Self, InvalidHash> {
        Self::read(function, text).ok_or(InvalidHash(function))
    }

    fn read(function: Function, text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix('$')?.split('$');
        if fields.next()? != function.name() {
            return None;
        }
        let cost = match function {
            Function::Argon2id => {
                if fields.next()? != "v=19" {
                    return None;
                }
                let [memory, passes, lanes] = numbers(fields.next()?, ["m", "t", "p"])?;
                Cost::Argon2id { memory, passes, lanes }
            }
            Function::Scrypt => {
                let [log_n, r, p] = numbers(fields.next()?, ["ln", "r", "p"])?;
                Cost::Scrypt { log_n: u8::try_from(log_n).ok()?, r, p }
            }
        };
        let mut bytes = || from_base64(fields.next()?.as_bytes());
        let (salt, hash) = (bytes()?, Zeroizing::new(bytes()?));
        let whole = fields.next().is_none() && SALT.contains(&salt.len()) && HASH.contains(&hash.len());
        (whole && cost.is_sound()).then(|| Self { cost, salt, hash: Secret::new(hash.to_vec()) })
    }

    /// The text that [`PasswordHash::parse`] reads.
    pub fn to_text(&self) -> String {
        let cost = match self.cost {
            Cost::Argon2id { memory, passes, lanes } => format!("v=19$m={memory},t={passes},p={lanes}"),
            Cost::Scrypt { log_n, r, p } => format!("ln={log_n},r={r},p={p}"),
        };
        let [salt, hash] = [&*self.salt, self.hash.expose()].map(|bytes| STANDARD_NO_PAD.encode(bytes));
        format!("${}${cost}${salt}${hash}", self.function().name())
    }

    /// The function.
    pub fn function(&self) -> Function {
        match self.cost {
            Cost::Argon2id { .. } => Function::Argon2id,
            Cost::Scrypt { .. } => Function::Scrypt,
        }
    }

    /// Whether this is the hash of `password`. As slow as its cost.
    pub fn is_of(&self, password: &Secret) -> bool {
        let hash = black_box(self.cost.spend(password, &self.salt, self.hash.expose().len()));
        same(&hash, self.hash.expose())
    }

    /// How much memory is passed over, in KiB.
    pub fn work(&self) -> u64 {
        self.cost.work()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} hash]", self.function().name())
    }
}

impl Cost {
    fn memory(self) -> u64 {
        match self {
            Self::Argon2id { memory, .. } => memory.into(),
            Self::Scrypt { log_n, r, .. } => {
                (1_u64.checked_shl(log_n.into()).unwrap_or(u64::MAX)).saturating_mul(r.into()) / 8
            }
        }
    }

    fn work(self) -> u64 {
        match self {
            Self::Argon2id { passes, .. } => self.memory().saturating_mul(passes.into()),
            // Written once, and read once.
            Self::Scrypt { p, .. } => self.memory().saturating_mul(2).saturating_mul(p.into()),
        }
    }

    /// Within the limits, and the functions take it.
    fn is_sound(self) -> bool {
        let (lanes, taken) = match self {
            Self::Argon2id { memory, passes, lanes } => {
                (lanes, argon2id(memory, passes, lanes, OWN_HASH).is_some())
            }
            Self::Scrypt { log_n, r, p } => (p, log_n > 0 && r > 0 && p > 0),
        };
        taken && lanes <= MAX_LANES && self.memory() <= MAX_MEMORY.into() && self.work() <= MAX_WORK
    }

    /// So many bytes of hash. When there is no memory for it they are of no password.
    fn spend(self, password: &Secret, salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(vec![0; length]);
        match self {
            Self::Argon2id { memory, passes, lanes } => {
                let argon2 = argon2id(memory, passes, lanes, length);
                let hashed =
                    argon2.map(|argon2| argon2.hash_password_into(password.expose(), salt, &mut out));
                if !matches!(hashed, Some(Ok(()))) {
                    out.clear();
                }
            }
            Self::Scrypt { log_n, r, p } => {
                let params = scrypt::Params::new(log_n, r, p).ok();
                let hashed = params.map(|params| scrypt::scrypt(password.expose(), salt, &params, &mut out));
                if !matches!(hashed, Some(Ok(()))) {
                    out.clear();
                }
            }
        }
        out
    }
}

fn argon2id(memory: u32, passes: u32, lanes: u32, length: usize) -> Option<Argon2<'static>> {
    let params = Params::new(memory, passes, lanes, Some(length)).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// `a=1,b=2,c=3`, in this order and with nothing else.
fn numbers<const N: usize>(text: &str, names: [&str; N]) -> Option<[u32; N]> {
    let mut fields = text.split(',');
    let mut out = [0; N];
    for (number, name) in out.iter_mut().zip(names) {
        let digits = fields.next()?.strip_prefix(name)?.strip_prefix('=')?;
        *number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    }
    fields.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PasswordHash, InvalidHash> {
        let function = if text.starts_with("$s") { Function::Scrypt } else { Function::Argon2id };
        PasswordHash::parse(function, text)
    }

    /// From the reference implementation of argon2, and RFC 7914 section 12.
    const ARGON2: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    const SCRYPT: &str = "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$\
        cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw";

    #[test]
    fn published_hashes_are_of_their_passwords() {
        for (text, password) in [(ARGON2, "password"), (SCRYPT, "pleaseletmein")] {
            let hash = parse(text).unwrap();
            assert!(hash.is_of(&Secret::from(password)), "{text}");
            assert!(!hash.is_of(&Secret::from("passwore")) && !hash.is_of(&Secret::default()), "{text}");
            assert_eq!(hash.to_text(), text);
        }
    }

    #[test]
    fn our_own_can_be_read_again() {
        for cost in
            [Cost::Argon2id { memory: 64, passes: 1, lanes: 4 }, Cost::Scrypt { log_n: 4, r: 8, p: 2 }]
        {
            let hash = PasswordHash::at(cost, &Secret::from("pass1"), b"0123456789abcdef");
            let function = hash.function();
            let text = hash.to_text();
            assert!(text.starts_with(&format!("${}$", function.name())), "{text}");
            let again = PasswordHash::parse(function, &text).unwrap();
            assert!(again == hash && again.is_of(&Secret::from("pass1")));
            assert_eq!(format!("{hash:?}"), format!("[{} hash]", function.name()));
        }
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        let (salt, hash) = ("c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4");
        let argon2 = |cost: &str| format!("$argon2id$v=19${cost}${salt}${hash}");
        let scrypt = |cost: &str| format!("$scrypt${cost}${salt}${hash}");
        for good in [
            argon2("m=262144,t=8,p=64"),
            argon2("m=8,t=1,p=1"),
            scrypt("ln=18,r=8,p=4"),
            scrypt("ln=1,r=1,p=1"),
        ] {
            assert!(parse(&good).is_ok(), "{good}");
        }
        for bad in [
            String::new(),
            "$argon2id".to_owned(),
            argon2("m=262145,t=1,p=1"),
            argon2("m=262144,t=9,p=1"),
            argon2("m=1024,t=1,p=65"),
            argon2("m=7,t=1,p=1"),
            argon2("m=64,t=0,p=1"),
            argon2("m=64,t=1,p=0"),
            argon2("t=1,m=64,p=1"),
            argon2("m=64,t=1,p=1,x=2"),
            argon2("m=+64,t=1,p=1"),
            argon2("m=64,t=1"),
            argon2("m=64,t=1,p=99999999999"),
            scrypt("ln=19,r=8,p=1"),
            scrypt("ln=18,r=8,p=5"),
            scrypt("ln=255,r=8,p=1"),
            scrypt("ln=256,r=8,p=1"),
            scrypt("ln=0,r=8,p=1"),
            scrypt("ln=14,r=0,p=1"),
            scrypt("ln=1,r=1,p=65"),
            argon2("m=64,t=1,p=1").replace("v=19", "v=16"),
            argon2("m=64,t=1,p=1").replace("argon2id", "argon2i"),
            argon2("m=64,t=1,p=1").replace(salt, "c2hvcnQ"),
            argon2("m=64,t=1,p=1").replace(hash, "c2hvcnQ"),
            argon2("m=64,t=1,p=1") + "$x",
            argon2("m=64,t=1,p=1").replace(hash, "n!"),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
        assert_eq!(parse("$s").unwrap_err().to_string(), "invalid scrypt hash");
    }
}
