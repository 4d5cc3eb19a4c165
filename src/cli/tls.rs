//! TLS options: what they mean together.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::build::Remarks;
use super::merge::Entries;
use super::typed::{Failure, Values};
use crate::config::tls::{
    self, CertificateFiles, ClientTls, ServerTls, TlsKeywords, TlsStart, Verify, certificate_files,
};
use crate::tls::LIBRARY;

/// Options that make TLS happen.
const USES: [&str; 4] = ["server-tls", "server-tls-connection", "client-tls", "client-tls-connection"];

/// The keywords of `--tls-config`, if any instance uses TLS.
///
/// # Errors
/// Keywords that leave no protocol version; TLS that is not built in.
pub(super) fn keywords<'a>(
    process: &Values,
    mut instances: impl Iterator<Item = &'a Entries>,
    remarks: &mut Remarks,
) -> Result<TlsKeywords, Failure> {
    if !instances.any(|entries| USES.iter().any(|name| entries.contains_key(name))) {
        return Ok(TlsKeywords::default());
    }
    if LIBRARY.is_none() {
        return Err(Failure::Usage("TLS is not built into this version".to_owned()));
    }
    let text = process.text("tls-config").unwrap_or_default();
    let parsed = tls::keywords(&text).map_err(Failure::Error)?;
    remarks.log.extend(parsed.warnings);
    Ok(parsed.settings)
}

/// The servers' side.
///
/// # Errors
/// A value that is none.
pub(super) fn server(values: &Values, keywords: TlsKeywords) -> Result<Option<ServerTls>, Failure> {
    let Some(start) = start(values, "server-tls", "server-tls-connection") else { return Ok(None) };
    let certificate = certificate(values, "server-tls-certificate")?;
    let certificate = certificate.ok_or_else(|| empty("server-tls-certificate"))?;
    let verify = verify(values, "server-tls-verify")?;
    if verify == Verify::SystemAndName {
        return Err(unknown("server-tls-verify", "<auto>", "<default> or <none>"));
    }
    let required = values.on("server-tls-required");
    Ok(Some(ServerTls { start, required, certificate, verify, keywords }))
}

/// The side of forwarding.
///
/// # Errors
/// A value that is none.
pub(super) fn client(
    values: &Values,
    keywords: TlsKeywords,
    remarks: &mut Remarks,
) -> Result<Option<ClientTls>, Failure> {
    let Some(start) = start(values, "client-tls", "client-tls-connection") else { return Ok(None) };
    let verify = verify(values, "client-tls-verify")?;
    let name = |option| match values.text(option) {
        Some(name) if name.is_empty() => Err(empty(option)),
        name => Ok(name),
    };
    let verify_name = name("client-tls-verify-name")?;
    let chain_only = matches!(verify, Verify::System | Verify::Authorities(_)) && !keywords.no_verify;
    if chain_only && verify_name.is_none() && !keywords.verify_host {
        remarks.log.push(
            "--client-tls-verify without --client-tls-verify-name: host name is not verified".to_owned(),
        );
    }
    Ok(Some(ClientTls {
        start,
        required: values.on("client-tls-required"),
        certificate: certificate(values, "client-tls-certificate")?,
        verify,
        verify_name,
        server_name: name("client-tls-server-name")?,
        keywords,
    }))
}

fn start(values: &Values, on_command: &str, at_once: &str) -> Option<TlsStart> {
    let at_once = values.on(at_once).then_some(TlsStart::AtOnce);
    at_once.or(values.on(on_command).then_some(TlsStart::OnCommand))
}

/// How a directory would be given with a certificate for each name. Nobody means a file of such a name.
const SNI: &[u8] = b"sni:";

fn certificate(values: &Values, option: &str) -> Result<Option<CertificateFiles>, Failure> {
    let Some(list) = values.path(option) else { return Ok(None) };
    let files: Vec<PathBuf> = split(&list).into_iter().map(PathBuf::from).collect();
    if files.is_empty() {
        return Err(empty(option));
    }
    // It has been taken for a path relative to the working directory.
    let by_name = |file: &PathBuf| file.iter().any(|part| part.as_bytes().starts_with(SNI));
    if files.iter().any(by_name) {
        return Err(Failure::Usage(format!("--{option}=sni: is not built into this version")));
    }
    Ok(certificate_files(&files))
}

fn verify(values: &Values, option: &str) -> Result<Verify, Failure> {
    let Some(value) = values.path(option) else { return Ok(Verify::Absent) };
    Ok(match value.as_bytes() {
        b"" => return Err(empty(option)),
        b"<none>" => Verify::None,
        b"<default>" => Verify::System,
        b"<auto>" => Verify::SystemAndName,
        // Such values are never paths.
        [b'<', .., b'>'] => {
            return Err(unknown(option, &value.to_string_lossy(), "<default>, <auto> or <none>"));
        }
        _ => Verify::Authorities(PathBuf::from(value)),
    })
}

/// The items of a list of paths.
pub(super) fn split(list: &OsString) -> Vec<OsString> {
    let items = list.as_bytes().split(|byte| *byte == b',').filter(|item| !item.is_empty());
    items.map(|item| std::ffi::OsStr::from_bytes(item).to_owned()).collect()
}

fn empty(option: &str) -> Failure {
    Failure::Usage(format!("the --{option} value must not be empty"))
}

fn unknown(option: &str, value: &str, known: &str) -> Failure {
    Failure::Usage(format!("invalid value for --{option}: \"{value}\": use a file, a directory, {known}"))
}
