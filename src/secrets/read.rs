//! From the bytes of a file to [`Secrets`], with everything that is to be said about it.

use std::collections::HashSet;
use std::collections::hash_map::Entry as Slot;
use std::path::{Path, PathBuf};

use super::client::{Account, ClientEntry, Hold};
use super::line::{self, Line, Side};
use super::table::{Entry, Secrets};
use super::trust::{Remark, Trust};
use crate::sasl::client::Proof;
use crate::sasl::encoding::{from_base64, from_xtext};
use crate::sasl::scram::ScramKeys;
use crate::sasl::{Function, Hash, HmacKey, PasswordHash, Secret};

/// What is to be said about a file. No text shows a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// With one of these the file is not used: `emailrelay.auth(2): duplicate server secret`.
    pub errors: Vec<String>,
    /// What deserves a look.
    pub warnings: Vec<String>,
}

/// Reads the bytes of the file `path`. `credential` reads a credential of the service by its name, for secrets that are
/// only named.
pub fn parse(
    bytes: &[u8],
    path: &Path,
    pepper: Secret,
    credential: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> (Secrets, Report) {
    let secrets = Secrets { pepper, ..Secrets::default() };
    let name = &path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut reader = Reader { secrets, report: Report::default(), name, credential, clients: HashSet::new() };
    let text = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let mut old = false;
    for (number, text) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        match line::split(text) {
            Ok(None) => {}
            Ok(Some(line)) => {
                old |= line.old;
                reader.line(number, &line);
            }
            Err(error) => reader.error(number, &error),
        }
    }
    if old {
        reader.report.warnings.push(format!("secrets file [{}] uses the old field order", path.display()));
    }
    (reader.secrets, reader.report)
}

/// UTF-8's byte-order mark.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A secret that is only named: the service's credential of that name.
const CREDENTIAL: &[u8] = b"cred:";

/// Words of programs that print tokens.
const MAX_WORDS: usize = 32;

struct Reader<'a> {
    secrets: Secrets,
    report: Report,
    /// What lines are reported by.
    name: &'a str,
    credential: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    /// Types and selectors that have been there.
    clients: HashSet<(String, String)>,
}

impl Reader<'_> {
    fn error(&mut self, number: u32, text: &str) {
        self.report.errors.push(format!("{}({number}): {text}", self.name));
    }

    fn warn(&mut self, number: u32, text: &str) {
        self.report.warnings.push(format!("{}({number}): {text}", self.name));
    }

    fn line(&mut self, number: u32, line: &Line<'_>) {
        if line.more {
            self.warn(number, "too many fields");
        }
        let done = match line.side {
            Side::Server => {
                if !line.selector.is_empty() {
                    self.warn(number, "selector ignored on a server line");
                }
                self.server(number, line)
            }
            Side::Client => self.client(number, line),
        };
        if let Err(text) = done {
            self.error(number, &text);
        }
    }

    fn server(&mut self, number: u32, line: &Line<'_>) -> Result<(), String> {
        match Kind::of(&line.kind) {
            Kind::Plain { base64 } => {
                let (id, value) = (id(line, base64)?, self.secret(line, base64)?);
                let same = |entry: &Entry<Secret>| line.old && entry.value == value;
                match self.secrets.plain.entry(id) {
                    // 1.x needed a line for each mechanism.
                    Slot::Occupied(entry) if same(entry.get()) => Ok(()),
                    Slot::Occupied(_) => Err(DUPLICATE_SERVER.to_owned()),
                    Slot::Vacant(slot) => {
                        slot.insert(Entry { value, line: number });
                        Ok(())
                    }
                }
            }
            Kind::Masked(hash) => {
                let value = self.masked(hash, line)?;
                put(&mut self.secrets.keys, (hash, id(line, false)?), value, number)
            }
            Kind::Scram => {
                let text = self.named(line.secret)?.unwrap_or(Secret::new(line.secret.to_vec()));
                let keys =
                    std::str::from_utf8(text.expose()).ok().and_then(|text| ScramKeys::parse(text.trim()));
                put(
                    &mut self.secrets.scram,
                    id(line, false)?,
                    keys.ok_or("invalid scram-sha-256 keys")?,
                    number,
                )
            }
            Kind::Slow(function) => {
                let text = match self.named(line.secret)? {
                    Some(secret) => secret,
                    None => Secret::new(decode(line.secret, false, "secret")?),
                };
                let text = std::str::from_utf8(text.expose()).unwrap_or_default();
                let hash = PasswordHash::parse(function, text.trim()).map_err(|error| error.to_string())?;
                put(&mut self.secrets.hashes, id(line, false)?, hash, number)
            }
            Kind::None => self.trust(number, line),
            Kind::OAuth(_) => {
                self.warn(number, "oauth is for client lines only: line ignored");
                Ok(())
            }
            Kind::Unknown => {
                self.unknown(number, line);
                Ok(())
            }
        }
    }

    fn trust(&mut self, number: u32, line: &Line<'_>) -> Result<(), String> {
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let range = text(line.id);
        let trust = Trust { keyword: text(line.secret), range: range.clone(), line: number };
        match self.secrets.trusted.add(trust) {
            Some(Remark::Duplicate) => return Err("duplicate server trust address".to_owned()),
            Some(Remark::HostBits) => {
                self.warn(
                    number,
                    &format!("address bits behind the prefix are ignored: [{}]", range.escape_debug()),
                );
            }
            Some(Remark::NeverMatches) => {
                self.warn(number, &format!("address range can never match: [{}]", range.escape_debug()));
            }
            None => {}
        }
        Ok(())
    }

    fn client(&mut self, number: u32, line: &Line<'_>) -> Result<(), String> {
        let selector = String::from_utf8_lossy(line.selector).into_owned();
        if line.kind == "plain:b" && line.id == b"=" && line.secret == b"=" {
            return self.account(selector, None, line);
        }
        let hold = match Kind::of(&line.kind) {
            Kind::Plain { base64 } => Hold::Proof(Proof::Password(self.secret(line, base64)?)),
            Kind::Masked(hash) => Hold::Proof(Proof::Key(self.masked(hash, line)?)),
            Kind::OAuth(OAuth::Whole) => Hold::Proof(Proof::Bearer(self.secret(line, true)?)),
            Kind::OAuth(OAuth::Token) => Hold::Proof(Proof::Token(self.secret(line, false)?)),
            Kind::OAuth(OAuth::File) => Hold::TokenFile(PathBuf::from(utf8(from_xtext(line.secret))?)),
            Kind::OAuth(OAuth::Program) => Hold::TokenProgram(words(line.secret)?),
            Kind::Scram | Kind::Slow(_) | Kind::None | Kind::Unknown => {
                self.unknown(number, line);
                return Ok(());
            }
        };
        let base64 = matches!(Kind::of(&line.kind), Kind::Plain { base64: true });
        let user = String::from_utf8(id(line, base64)?).map_err(|_| "id is not valid utf-8")?;
        self.account(selector, Some(ClientEntry { user, hold, line: Some(number) }), line)
    }

    /// Adds an entry, or the statement that there is none, for a selector.
    fn account(
        &mut self,
        selector: String,
        entry: Option<ClientEntry>,
        line: &Line<'_>,
    ) -> Result<(), String> {
        let kind = if line.kind.starts_with("plain") || line.kind == "login" { "plain" } else { &line.kind };
        let fresh = self.clients.insert((kind.to_owned(), selector.clone()));
        let account = self.secrets.clients.entry(selector);
        let account = account.or_insert_with(|| match entry {
            Some(_) => Account::Login(Vec::new()),
            None => Account::Direct,
        });
        match (account, entry) {
            (Account::Login(entries), Some(entry)) if fresh => entries.push(entry),
            (Account::Direct, None) if fresh => {}
            (Account::Login(entries), Some(entry))
                if line.old && entries.iter().any(|e| e.user == entry.user && e.hold == entry.hold) => {}
            _ => return Err("duplicate client secret".to_owned()),
        }
        Ok(())
    }

    fn unknown(&mut self, number: u32, line: &Line<'_>) {
        self.warn(number, &format!("unknown secret type: [{}]: line ignored", line.kind.escape_debug()));
    }

    fn secret(&self, line: &Line<'_>, base64: bool) -> Result<Secret, String> {
        let secret = match self.named(line.secret)? {
            Some(secret) => secret,
            None => Secret::new(decode(line.secret, base64, "secret")?),
        };
        if secret.is_empty() { Err("empty secret".to_owned()) } else { Ok(secret) }
    }

    fn masked(&self, hash: Hash, line: &Line<'_>) -> Result<HmacKey, String> {
        let named = self.named(line.secret)?;
        let text = named.as_ref().map_or(line.secret, |secret| secret.expose().trim_ascii());
        HmacKey::from_masked(hash, text).map_err(|error| error.to_string())
    }

    /// The content of a credential without its line end, if one is named.
    fn named(&self, field: &[u8]) -> Result<Option<Secret>, String> {
        let Some(name) = field.strip_prefix(CREDENTIAL) else { return Ok(None) };
        let mut bytes = (self.credential)(&String::from_utf8_lossy(name))?;
        let line_end = bytes.ends_with(b"\n").then(|| if bytes.ends_with(b"\r\n") { 2 } else { 1 });
        bytes.truncate(bytes.len() - line_end.unwrap_or(0));
        Ok(Some(Secret::new(bytes)))
    }
}

/// What a type word means.
enum Kind {
    Plain { base64: bool },
    Masked(Hash),
    Scram,
    Slow(Function),
    None,
    OAuth(OAuth),
    Unknown,
}

enum OAuth {
    /// The complete string.
    Whole,
    Token,
    File,
    Program,
}

impl Kind {
    /// `word` is in lower case.
    fn of(word: &str) -> Self {
        match word {
            "plain:b" => Self::Plain { base64: true },
            "plain" | "login" => Self::Plain { base64: false },
            _ if word.starts_with("plain:") => Self::Plain { base64: false },
            "cram-md5" | "apop" => Self::Masked(Hash::Md5),
            "scram-sha-256" => Self::Scram,
            "none" => Self::None,
            "oauth" => Self::OAuth(OAuth::Whole),
            "oauth:t" => Self::OAuth(OAuth::Token),
            "oauth-file" => Self::OAuth(OAuth::File),
            "oauth:x" => Self::OAuth(OAuth::Program),
            word => match (Hash::by_name(word), Function::by_name(word)) {
                (Some(hash), _) => Self::Masked(hash),
                (None, Some(function)) => Self::Slow(function),
                (None, None) => Self::Unknown,
            },
        }
    }
}

fn put<K: Eq + std::hash::Hash, T>(
    map: &mut std::collections::HashMap<K, Entry<T>>,
    key: K,
    value: T,
    line: u32,
) -> Result<(), String> {
    match map.entry(key) {
        Slot::Occupied(_) => Err(DUPLICATE_SERVER.to_owned()),
        Slot::Vacant(slot) => {
            slot.insert(Entry { value, line });
            Ok(())
        }
    }
}

fn id(line: &Line<'_>, base64: bool) -> Result<Vec<u8>, String> {
    let id = decode(line.id, base64, "id")?;
    if id.is_empty() { Err("empty id".to_owned()) } else { Ok(id) }
}

fn decode(field: &[u8], base64: bool, what: &str) -> Result<Vec<u8>, String> {
    let (decoded, encoding) =
        if base64 { (from_base64(field), "base64") } else { (from_xtext(field), "xtext") };
    decoded.ok_or_else(|| format!("invalid {encoding} encoding of {what}"))
}

fn utf8(bytes: Option<Vec<u8>>) -> Result<String, String> {
    let bytes = bytes.ok_or("invalid xtext encoding of secret")?;
    String::from_utf8(bytes).map_err(|_| "secret is not valid utf-8".to_owned())
}

/// A program with its arguments: xtext, blanks between the words.
fn words(field: &[u8]) -> Result<Vec<String>, String> {
    let words: Vec<String> = utf8(from_xtext(field))?.split_ascii_whitespace().map(str::to_owned).collect();
    if !words.first().is_some_and(|program| program.starts_with('/')) {
        return Err("the program must be an absolute path".to_owned());
    }
    if words.len() > MAX_WORDS { Err("too many arguments".to_owned()) } else { Ok(words) }
}

const DUPLICATE_SERVER: &str = "duplicate server secret";
