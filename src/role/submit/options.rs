//! The options of `emailrelay-submit`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::role::words::{Arguments, HelpPart, Level, Spec, Takes, repeats, spec};

/// The spool directory of packaged installations.
const DEFAULT_SPOOL_DIR: &str = "/var/spool/emailrelay";
/// Stands for the program's own directory at the start of a path.
const APP: &[u8] = b"@app";
/// The domain of an added message id when none is given.
const DEFAULT_ID_DOMAIN: &str = "local";

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Print the usage text, the whole of it or the basic part.
    Help(HelpPart),
    /// Print the version.
    Version,
    /// Store a message.
    Submit(Box<Options>),
}

/// Errors on the command line, one text for each, sorted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UsageErrors(pub Vec<String>);

/// A submission as asked for on the command line.
#[derive(Debug)]
pub(super) struct Options {
    /// Envelope sender; never empty.
    pub(super) from: Option<OsString>,
    /// Envelope recipients, without the backslash that may come first.
    pub(super) recipients: Vec<OsString>,
    /// Read instead of standard input.
    pub(super) input_file: Option<PathBuf>,
    /// The spool directory.
    pub(super) spool_dir: PathBuf,
    /// It was named, so no other will do.
    pub(super) spool_named: bool,
    /// The socket of the SMTP role, to be used in any case.
    pub(super) socket: Option<PathBuf>,
    /// What is printed about each stored message.
    pub(super) report: Report,
    /// One message for each `Bcc` recipient.
    pub(super) bcc_split: bool,
    /// Leave `Bcc` fields in the content although they were used as recipients.
    pub(super) keep_bcc: bool,
    /// Add `Date`.
    pub(super) content_date: bool,
    /// Set `From` from the envelope sender.
    pub(super) content_from: bool,
    /// Add `Message-ID` with this domain.
    pub(super) content_message_id: Option<String>,
    /// Set `To` from the envelope recipients.
    pub(super) content_to: bool,
    /// Add `From` with this name in front of the envelope sender; an empty name is none.
    pub(super) add_from: Option<String>,
    /// Take recipients from the header although there are others.
    pub(super) header_recipients: bool,
    /// A lone dot never ends the message.
    pub(super) dots: bool,
    /// Copy the envelope into every sub-directory of the spool.
    pub(super) copy: bool,
    /// The authenticated id, for the envelope.
    pub(super) auth: OsString,
    /// The header ends where a line is no field, and the line of a mailbox in front of it is dropped.
    pub(super) free_form: bool,
    /// The input is body text only.
    pub(super) body: bool,
    /// Lines of content, each in base64.
    pub(super) content: Vec<OsString>,
    /// `AUTH=` value that came with the message.
    pub(super) from_auth_in: Option<OsString>,
    /// `AUTH=` value to send on.
    pub(super) from_auth_out: Option<OsString>,
    /// Do not read standard input.
    pub(super) no_stdin: bool,
    /// How much is told on standard error.
    pub(super) debug: usize,
    /// The largest content that is stored, in bytes.
    pub(super) size: Option<u64>,
    /// Added to addresses that have no domain.
    pub(super) domain: Option<String>,
}

/// What is printed about each stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// Nothing.
    Nothing,
    /// The path of the content file, below the spool directory as given.
    Path,
    /// The name of the content file.
    Name,
}

/// Names an option in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opt {
    From,
    Help,
    InputFile,
    SpoolDir,
    Verbose,
    BccSplit,
    ContentDate,
    ContentFrom,
    ContentMessageId,
    ContentTo,
    Copy,
    Filename,
    To,
    Version,
    Auth,
    Body,
    Content,
    FromAuthIn,
    FromAuthOut,
    NoStdin,
    Debug,
    Domain,
    KeepBcc,
    Size,
    Socket,
}

use Level::{Basic, Hidden, Special, Usual};
use Takes::{Nothing, Optional, Value};

/// All options, in the order of the help text.
#[rustfmt::skip]
pub(crate) const TABLE: &[Spec<Opt>] = &[
    spec(Opt::From, 'f', "from", Value("address"), Basic, "sets the envelope sender; the default comes from the message's From or Sender header"),
    spec(Opt::Help, 'h', "help", Nothing, Basic, "shows this help; with --verbose all options"),
    spec(Opt::InputFile, 'x', "input-file", Value("file"), Basic, "reads the message from a file instead of standard input"),
    spec(Opt::SpoolDir, 's', "spool-dir", Value("dir"), Basic, "sets the spool directory (default /var/spool/emailrelay)"),
    spec(Opt::Verbose, 'v', "verbose", Nothing, Basic, "prints the path of each new content file"),
    spec(Opt::BccSplit, 'b', "bcc-split", Nothing, Usual, "makes a message of its own for each Bcc recipient"),
    spec(Opt::ContentDate, 'd', "content-date", Nothing, Usual, "adds a Date header if there is none"),
    spec(Opt::ContentFrom, 'F', "content-from", Nothing, Usual, "sets the From header to the envelope sender"),
    spec(Opt::ContentMessageId, 'I', "content-message-id", Optional("domain"), Usual, "adds a Message-ID header if there is none (default domain: local)"),
    spec(Opt::ContentTo, 't', "content-to", Nothing, Usual, "sets the To header to the envelope recipients"),
    spec(Opt::Copy, 'c', "copy", Nothing, Usual, "copies the envelope into all sub-directories of the spool"),
    spec(Opt::Domain, ' ', "domain", Value("domain"), Usual, "is added to addresses that have no domain"),
    spec(Opt::Filename, 'n', "filename", Nothing, Usual, "prints the name of each new content file"),
    spec(Opt::KeepBcc, ' ', "keep-bcc", Nothing, Usual, "leaves Bcc headers in the message when they give the recipients"),
    spec(Opt::Size, ' ', "size", Value("bytes"), Usual, "refuses content that is bigger (default 0: no limit)"),
    spec(Opt::Socket, ' ', "socket", Value("path"), Usual, "hands the message to the SMTP server on this socket; the default where the spool may not be written is /run/emailrelay/submit"),
    repeats(spec(Opt::To, ' ', "to", Value("address"), Usual, "adds an envelope recipient; the default comes from the message's To, Cc and Bcc headers")),
    spec(Opt::Version, 'V', "version", Nothing, Usual, "shows the version"),
    spec(Opt::Auth, 'a', "auth", Value("name"), Special, "sets the authenticated id in the envelope"),
    spec(Opt::Body, 'B', "body", Nothing, Special, "takes the input as body text, without headers"),
    repeats(spec(Opt::Content, 'C', "content", Value("base64"), Special, "adds a line of content in front of the input")),
    spec(Opt::FromAuthIn, 'i', "from-auth-in", Value("name"), Special, "sets the envelope's AUTH value as received"),
    spec(Opt::FromAuthOut, 'o', "from-auth-out", Value("name"), Special, "sets the envelope's AUTH value to send"),
    spec(Opt::NoStdin, 'N', "no-stdin", Nothing, Special, "does not read standard input"),
    spec(Opt::Debug, ' ', "debug", Nothing, Hidden, "tells on standard error what is done; given twice, more of it"),
];

/// Reads a command line, without the program's name; `app` is the program's directory.
///
/// # Errors
/// All that is wrong with it, unless help is asked for.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    app: &Path,
) -> Result<Request, UsageErrors> {
    let arguments = Arguments::new(TABLE, arguments);
    if arguments.has(Opt::Help) {
        let part = if arguments.has(Opt::Verbose) { HelpPart::Full } else { HelpPart::Basic };
        return Ok(Request::Help(part));
    }
    if !arguments.errors.is_empty() {
        let mut errors: Vec<String> = arguments.errors.iter().map(|text| format!("error: {text}")).collect();
        errors.sort();
        errors.dedup();
        return Err(UsageErrors(errors));
    }
    if arguments.has(Opt::Version) {
        return Ok(Request::Version);
    }
    options(&arguments, app).map(|options| Request::Submit(Box::new(options)))
}

fn options(arguments: &Arguments<Opt>, app: &Path) -> Result<Options, UsageErrors> {
    let owned = |id| arguments.value(id).map(OsStr::to_owned);
    let filled = |id| owned(id).filter(|value| !value.is_empty());
    let path = |id| filled(id).map(|value| app_path(&value, app));
    let recipients = arguments.values(Opt::To).flat_map(address_items).chain(arguments.words.iter().cloned());
    Ok(Options {
        from: filled(Opt::From),
        recipients: recipients.collect(),
        input_file: path(Opt::InputFile),
        spool_dir: path(Opt::SpoolDir).unwrap_or_else(|| DEFAULT_SPOOL_DIR.into()),
        spool_named: arguments.has(Opt::SpoolDir),
        socket: path(Opt::Socket),
        report: match (arguments.has(Opt::Verbose), arguments.has(Opt::Filename)) {
            (true, _) => Report::Path,
            (false, true) => Report::Name,
            (false, false) => Report::Nothing,
        },
        bcc_split: arguments.has(Opt::BccSplit),
        keep_bcc: arguments.has(Opt::KeepBcc),
        content_date: arguments.has(Opt::ContentDate),
        content_from: arguments.has(Opt::ContentFrom),
        content_message_id: match (
            arguments.has(Opt::ContentMessageId),
            domain(arguments, Opt::ContentMessageId)?,
        ) {
            (true, given) => Some(given.unwrap_or_else(|| DEFAULT_ID_DOMAIN.to_owned())),
            (false, _) => None,
        },
        content_to: arguments.has(Opt::ContentTo),
        add_from: None,
        header_recipients: false,
        dots: false,
        free_form: false,
        copy: arguments.has(Opt::Copy),
        auth: owned(Opt::Auth).unwrap_or_default(),
        body: arguments.has(Opt::Body),
        content: arguments.values(Opt::Content).flat_map(comma_items).collect(),
        from_auth_in: owned(Opt::FromAuthIn),
        from_auth_out: owned(Opt::FromAuthOut),
        no_stdin: arguments.has(Opt::NoStdin),
        debug: arguments.count(Opt::Debug),
        size: size(arguments)?,
        domain: domain(arguments, Opt::Domain)?,
    })
}

fn size(arguments: &Arguments<Opt>) -> Result<Option<u64>, UsageErrors> {
    let Some(value) = arguments.value(Opt::Size) else { return Ok(None) };
    let digits = value.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|text| text.parse().ok()) {
        Some(0) => Ok(None),
        Some(limit) => Ok(Some(limit)),
        None => Err(invalid(Opt::Size, value)),
    }
}

fn domain(arguments: &Arguments<Opt>, id: Opt) -> Result<Option<String>, UsageErrors> {
    let Some(value) = arguments.value(id).filter(|value| !value.is_empty()) else { return Ok(None) };
    let sound = |c: char| !c.is_control() && !c.is_whitespace() && !"<>@,;\"".contains(c);
    match value.to_str().filter(|text| text.chars().all(sound)) {
        Some(domain) => Ok(Some(domain.to_owned())),
        None => Err(invalid(id, value)),
    }
}

fn invalid(id: Opt, value: &OsStr) -> UsageErrors {
    let name = TABLE.iter().find(|spec| spec.id == id).map_or("", |spec| spec.name);
    UsageErrors(vec![format!(
        "usage error: invalid value for --{name}: \"{}\"",
        value.to_string_lossy().escape_debug()
    )])
}

fn app_path(value: &OsStr, app: &Path) -> PathBuf {
    match value.as_bytes().strip_prefix(APP) {
        Some(rest) => {
            let mut path = app.as_os_str().to_owned();
            path.push(OsStr::from_bytes(rest));
            path.into()
        }
        None => value.into(),
    }
}

fn comma_items(value: &OsStr) -> Vec<OsString> {
    value.as_bytes().split(|&byte| byte == b',').map(|item| OsStr::from_bytes(item).to_owned()).collect()
}

/// The addresses of a comma list; commas between quotes belong to the address.
fn address_items(value: &OsStr) -> Vec<OsString> {
    let (mut quoted, mut escaped) = (false, false);
    let items = value.as_bytes().split(|&byte| {
        let ends = byte == b',' && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    let items = items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty());
    items.map(|item| OsStr::from_bytes(item).to_owned()).collect()
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
