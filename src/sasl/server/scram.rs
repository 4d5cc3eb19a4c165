//! SCRAM-SHA-256 as server (RFC 5802 §3, §5).

use super::accounts::Accounts;
use super::exchange::{Binding, Fresh, Outcome, Step, Used, scram_keys};
use crate::sasl::encoding::{base64, from_base64};
use crate::sasl::scram::{BINDING_TYPE, ScramKeys, attribute, unquote};
use crate::sasl::secret::same;

/// Where such an exchange is.
#[derive(Debug)]
pub(super) struct Scram {
    nonce: String,
    binding: Binding,
    plus: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Waits for the name.
    First,
    /// Waits for the proof.
    Proof(Box<Proof>),
    /// Waits for the client to have seen our signature.
    Signed(Outcome),
    Over,
}

#[derive(Debug)]
struct Proof {
    user: Vec<u8>,
    keys: ScramKeys,
    used: Option<Used>,
    /// The client's header, to be repeated by it.
    header: String,
    /// Both nonces, one behind the other.
    nonce: String,
    /// `client-first-message-bare,server-first-message`.
    messages: String,
}

impl Scram {
    pub(super) fn new(fresh: &Fresh, binding: Binding, plus: bool) -> Self {
        Self { nonce: base64(&fresh.random), binding, plus, stage: Stage::First }
    }

    pub(super) fn respond(&mut self, accounts: &dyn Accounts, response: &[u8]) -> Step {
        let Ok(text) = std::str::from_utf8(response) else { return Step::Done(Outcome::default()) };
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::First => self.first(accounts, text).unwrap_or(Step::Done(Outcome::default())),
            Stage::Proof(proof) => self.judge(*proof, text),
            Stage::Signed(outcome) if text.is_empty() => Step::Done(outcome),
            Stage::Signed(outcome) => Step::Done(Outcome { accepted: false, ..outcome }),
            Stage::Over => Step::Done(Outcome::default()),
        }
    }

    /// `gs2-header n=user,r=nonce`.
    fn first(&mut self, accounts: &dyn Accounts, text: &str) -> Option<Step> {
        let (flag, rest) = text.split_once(',')?;
        let (authzid, bare) = rest.split_once(',')?;
        let header = text.get(..text.len().checked_sub(bare.len())?)?;
        let fits = match flag.strip_prefix("p=") {
            Some(kind) => self.plus && kind == BINDING_TYPE && self.binding.exporter.is_some(),
            // `y`: the client could bind but was not offered it. If it was, somebody changed our words on the way.
            None => !self.plus && (flag == "n" || flag == "y" && !self.binding.offered),
        };
        if !fits || !(authzid.is_empty() || authzid.starts_with("a=")) {
            return None;
        }
        let (name, rest) = attribute(bare, 'n')?;
        let (theirs, _) = attribute(rest, 'r')?;
        let user = unquote(name).filter(|user| !user.is_empty() && !theirs.is_empty())?.into_bytes();
        let (keys, used) = scram_keys(accounts, &user);
        let nonce = format!("{theirs}{}", self.nonce);
        let reply = format!("r={nonce},s={},i={}", base64(&keys.salt), keys.iterations);
        let messages = format!("{bare},{reply}");
        self.stage =
            Stage::Proof(Box::new(Proof { user, keys, used, header: header.to_owned(), nonce, messages }));
        Some(Step::Challenge(reply.into_bytes()))
    }

    /// `c=binding,r=nonce,p=proof`.
    fn judge(&mut self, proof: Proof, text: &str) -> Step {
        let Proof { user, keys, used, header, nonce, messages } = proof;
        let outcome = Outcome { user: Some(user), used, accepted: false };
        let mut expected = header.into_bytes();
        if self.plus {
            expected.extend(self.binding.exporter.iter().flatten());
        }
        let parts = text.rsplit_once(",p=").and_then(|(without, proof)| {
            let (binding, rest) = attribute(without, 'c')?;
            let (theirs, _) = attribute(rest, 'r')?;
            Some((without, from_base64(binding.as_bytes())?, theirs, from_base64(proof.as_bytes())?))
        });
        let Some((without, binding, theirs, proof)) = parts else { return Step::Done(outcome) };
        let messages = format!("{messages},{without}");
        let right = keys.proves(&messages, &proof);
        if !(right && used.is_some() && theirs == nonce && same(&binding, &expected)) {
            return Step::Done(outcome);
        }
        self.stage = Stage::Signed(Outcome { accepted: true, ..outcome });
        Step::Challenge(format!("v={}", base64(&keys.signature(&messages))).into_bytes())
    }
}
