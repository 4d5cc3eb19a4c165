//! SCRAM-SHA-256 as client (RFC 5802 §3, §5).

use super::exchange::Refused;
use crate::sasl::encoding::{base64, from_base64};
use crate::sasl::scram::{BINDING_TYPE, ITERATIONS, MAX_ITERATIONS, Salted, attribute, quote};
use crate::sasl::secret::Secret;

/// Where such an exchange is.
pub(super) struct Scram {
    password: Secret,
    nonce: String,
    /// Header, and what is bound to.
    header: String,
    exporter: Vec<u8>,
    /// `client-first-message-bare`.
    bare: String,
    stage: Stage,
}

enum Stage {
    First,
    /// Our proof is out: the server's signature must fit these keys and messages.
    Proved(Salted, String),
    Signed,
}

impl std::fmt::Debug for Scram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[scram exchange]")
    }
}

impl Scram {
    pub(super) fn new(user: &str, password: &Secret, nonce: &str, exporter: Option<&[u8]>) -> Self {
        Self {
            password: password.clone(),
            nonce: nonce.to_owned(),
            header: exporter.map_or_else(|| "n,,".to_owned(), |_| format!("p={BINDING_TYPE},,")),
            exporter: exporter.unwrap_or_default().to_vec(),
            bare: format!("n={},r={nonce}", quote(user)),
            stage: Stage::First,
        }
    }

    pub(super) fn first(&mut self) -> Secret {
        Secret::new(format!("{}{}", self.header, self.bare).into_bytes())
    }

    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Secret, Refused> {
        let text = std::str::from_utf8(challenge).map_err(|_| Refused)?;
        match std::mem::replace(&mut self.stage, Stage::First) {
            Stage::First => self.prove(text).ok_or(Refused),
            Stage::Proved(keys, messages) => {
                let signature = attribute(text, 'v').and_then(|(value, _)| from_base64(value.as_bytes()));
                if signature.is_none_or(|signature| !keys.is_signed(&messages, &signature)) {
                    return Err(Refused);
                }
                self.stage = Stage::Signed;
                Ok(Secret::default())
            }
            Stage::Signed => Err(Refused),
        }
    }

    /// To `r=nonce,s=salt,i=iterations`.
    fn prove(&mut self, text: &str) -> Option<Secret> {
        let (nonce, rest) = attribute(text, 'r')?;
        let (salt, rest) = attribute(rest, 's')?;
        let (rounds, _) = attribute(rest, 'i')?;
        let salt = from_base64(salt.as_bytes())?;
        let rounds = rounds.parse().ok().filter(|n| (ITERATIONS..=MAX_ITERATIONS).contains(n))?;
        // The server must have added something of its own.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return None;
        }
        let binding = base64(&[self.header.as_bytes(), &self.exporter].concat());
        let without = format!("c={binding},r={nonce}");
        let messages = format!("{},{text},{without}", self.bare);
        let keys = Salted::new(&self.password, &salt, rounds);
        let proof = base64(&keys.proof(&messages));
        self.stage = Stage::Proved(keys, messages);
        Some(Secret::new(format!("{without},p={proof}").into_bytes()))
    }

    pub(super) fn is_signed(&self) -> bool {
        matches!(self.stage, Stage::Signed)
    }
}
