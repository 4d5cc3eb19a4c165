//! Who may send, and to whom: accounts, verifiers, block lists.

use super::super::Environment;
use super::super::filters;
use super::super::merge::Entries;
use super::super::typed::{Failure, Values};
use super::Remarks;
use crate::config::dnsbl::Dnsbl;
use crate::config::verifier::VerifierSpec;
use crate::config::{ClientAuth, ServerAuth};
use crate::sasl::Policy;

/// Who may log in, by `--server-auth` or `--pop-auth`.
pub(super) fn server_auth(
    values: &Values,
    option: &str,
    remarks: &mut Remarks,
) -> Result<Option<ServerAuth>, Failure> {
    let Some(value) = values.path(option) else { return Ok(None) };
    if value.is_empty() {
        return Err(Failure::Usage(format!("the --{option} value must not be empty")));
    }
    if ServerAuth::is_old_spelling(&value) {
        remarks.user.push("pam authentication should be enabled with pam: rather than /pam".to_owned());
    }
    let auth = ServerAuth::parse(&value);
    if matches!(auth, ServerAuth::Pam { .. }) && !cfg!(feature = "pam") {
        return Err(Failure::Usage(format!("--{option}=pam: is not built into this version")));
    }
    Ok(Some(auth))
}

/// Our own account at the next hop.
pub(super) fn client_auth(values: &Values) -> Result<Option<ClientAuth>, Failure> {
    let Some(value) = values.path("client-auth") else { return Ok(None) };
    if value.is_empty() {
        return Err(Failure::Usage("the --client-auth value must not be empty".to_owned()));
    }
    let auth = ClientAuth::parse(&value)
        .ok_or_else(|| Failure::Usage("invalid client account details".to_owned()))?;
    Ok(Some(auth))
}

/// How a value becomes lists.
pub(super) type ParsePolicy = fn(&str) -> (Policy, Vec<String>);

/// Lists of mechanisms.
pub(super) fn policy(values: &Values, option: &str, parse: ParsePolicy, remarks: &mut Remarks) -> Policy {
    let (policy, unknown) = parse(&values.text(option).unwrap_or_default());
    remarks.user.extend(unknown.iter().map(|item| format!("unknown --{option} item [{item}]")));
    policy
}

pub(super) fn verifier(
    entries: &Entries,
    env: &Environment,
    remarks: &mut Remarks,
) -> Result<VerifierSpec, Failure> {
    let spec = filters::verifier(entries, env)?;
    if let VerifierSpec::Account(account) = &spec {
        for word in &account.unknown {
            remarks.both(&format!("filter option ignored: [{word}]"));
        }
    }
    Ok(spec)
}

pub(super) fn dnsbl(values: &Values) -> Result<Option<Dnsbl>, Failure> {
    let parsed = values.text("dnsbl").map(|text| Dnsbl::parse(&text)).transpose();
    parsed.map_err(|error| Failure::Error(format!("invalid dnsbl configuration: {error}")))
}
