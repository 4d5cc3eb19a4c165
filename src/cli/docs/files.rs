//! The manual pages of section 5: the configuration file, from the option table, and the spool directory.

use std::fs;
use std::io;
use std::path::Path;

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::super::table::{self, Opt, Section};
use super::text::More;
use crate::VERSION;

/// Terms and what they mean.
type Terms = &'static [(&'static str, &'static str)];

/// Writes the pages.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("emailrelay.conf.5"), configuration().to_roff())?;
    fs::write(directory.join("emailrelay-spool.5"), spool().to_roff())
}

/// The beginning of a page.
fn page(name: &str, about: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [name, "5", "", &format!("E-MailRelay {VERSION}"), "E-MailRelay"]);
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
    page
}

fn paragraphs(page: &mut Roff, more: More) {
    for (title, paragraphs) in more {
        page.control("SH", [*title]);
        for paragraph in *paragraphs {
            page.control("PP", []).text([roman(*paragraph)]);
        }
    }
}

/// Lines as they are.
fn example(page: &mut Roff, lines: &str) {
    page.control("PP", []).control("nf", []);
    for line in lines.lines() {
        page.text([roman(format!("    {line}"))]);
    }
    page.control("fi", []);
}

fn terms(page: &mut Roff, title: &str, terms: Terms) {
    page.control("SH", [title]);
    for (term, meaning) in terms {
        page.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
    }
}

fn configuration() -> Roff {
    let mut page = page("emailrelay.conf", "configuration of E-MailRelay");
    paragraphs(&mut page, CONFIGURATION);
    for section in Section::ALL {
        let rows = || table::all().filter(|opt| opt.section == section && opt.is_visible() && opt.in_file);
        if rows().next().is_some() {
            page.control("SH", [section.title().to_uppercase().as_str()]);
            rows().for_each(|opt| option(&mut page, opt));
        }
    }
    page.control("SH", ["EXAMPLES"]);
    CONFIGURATION_EXAMPLES.iter().for_each(|(about, lines)| {
        page.control("PP", []).text([roman(*about)]);
        example(&mut page, lines);
    });
    paragraphs(&mut page, CONFIGURATION_END);
    page
}

fn option(page: &mut Roff, opt: &Opt) {
    let mut term: Vec<Inline> = vec![bold(opt.name)];
    if !opt.metavar.is_empty() {
        term.extend([roman(" "), italic(opt.metavar)]);
    }
    let mut help = opt.help.replace("--", "");
    if !opt.default.is_empty() {
        help = format!("{help} Default: {}.", opt.default);
    }
    page.control("TP", []).text(term).text([roman(help)]);
}

fn spool() -> Roff {
    let mut page = page("emailrelay-spool", "the spool directory of E-MailRelay");
    paragraphs(&mut page, SPOOL);
    terms(&mut page, "FILES OF A MESSAGE", FILES);
    terms(&mut page, "OTHER FILES", OTHERS);
    page.control("SH", ["THE ENVELOPE"]);
    page.control("PP", []).text([roman(ENVELOPE)]);
    FIELDS.iter().for_each(|(term, meaning)| {
        page.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
    });
    terms(&mut page, "BEHIND THE END OF THE ENVELOPE", TRAILER);
    page.control("SH", ["EXAMPLES"]);
    page.control("PP", []).text([roman("The envelope of a message that was refused:")]);
    example(&mut page, REFUSED);
    page.control("PP", []).text([roman("A message put into the spool by hand, content first:")]);
    example(&mut page, BY_HAND);
    paragraphs(&mut page, SPOOL_END);
    page
}

const CONFIGURATION: More = &[(
    "DESCRIPTION",
    &[
        "One option per line: its name without dashes, then blanks or an equals sign, then its value, which may stand in double quotes. Lines that \
         begin with # are comments. Each program reads the same file, takes the options of its role, skips those of other roles, and refuses to start \
         for any that no role knows, with the number of the line.",
        "An option of the command line wins over one of the file. Options with a prefix and a dash, such as in-port, belong to an instance of that name. \
         A value @app at the beginning of a path is the directory of the program; @cred/NAME is a credential that systemd has handed over.",
        "Times are seconds, or numbers followed by s, m, h, d or w; sizes are bytes, or numbers followed by k, m or g.",
    ],
)];

const CONFIGURATION_EXAMPLES: &[(&str, &str)] = &[
    (
        "Store and forward for a small network:",
        "spool-dir /var/spool/emailrelay\nforward-to smtp.example.com:587\nremote-clients\nclient-tls\nclient-tls-required\nclient-tls-verify <auto>\nclient-auth @cred/client-auth",
    ),
    (
        "Mailboxes by POP, filled by a verifier:",
        "pop-auth @cred/pop-auth\npop-by-name\naddress-verifier /usr/local/lib/emailrelay/verifier.sh\nfilter deliver:",
    ),
    (
        "Two instances, each with its own port and spool directory:",
        "in-port 25\nin-spool-dir /var/spool/emailrelay-in\nout-port 587\nout-spool-dir /var/spool/emailrelay-out\nout-forward-to smtp.example.com:25",
    ),
];

const CONFIGURATION_END: More = &[
    (
        "FILES",
        &[
            "/etc/emailrelay.conf; an example with every option is emailrelay.conf.example in the documentation directory.",
        ],
    ),
    (
        "SEE ALSO",
        &[
            "emailrelay(1), emailrelay-smtp(1), emailrelay-forward(1), emailrelay-pop(1), emailrelay-admin(1), emailrelay-spool(5)",
        ],
    ),
];

const SPOOL: More = &[(
    "DESCRIPTION",
    &[
        "A message is two plain files with the same beginning, its id. The content is the message as it was received; the envelope says from whom it \
         is and to whom it goes, and its last suffix is the state of the message. To change a state is to rename the envelope, and whoever renames \
         it has the message. Both files are on the disk before the message is acknowledged.",
        "The directory belongs to the user and group emailrelay, mode 2770; members of the group may put messages there. Any number of programs may \
         share it, E-MailRelay 2.5 and 2.6 among them.",
    ],
)];

const FILES: Terms = &[
    ("ID.content", "Header and body (RFC 5322), lines ended by CR and LF."),
    ("ID.envelope.new", "The envelope of a message that is being received, filters included."),
    ("ID.envelope", "The message waits: to be sent, or for a POP client."),
    (
        "ID.envelope.busy",
        "It is being sent. The sender holds a lock on the file; without one it is taken back.",
    ),
    (
        "ID.envelope.bad",
        "It has failed for good. emailrelay-notify(1) reports it, emailrelay-resubmit(1) or a rename to ID.envelope lets it be tried again.",
    ),
    ("ID.envelope.hold", "An administrator keeps it back."),
    (
        "ID.envelope.local, ID.content.local",
        "A message for a local user, set aside by a version up to 2.4. Nothing reads it; emailrelay-queue(1) imports it.",
    ),
];

const OTHERS: Terms = &[
    (
        "forward.request",
        "There is something to send: emailrelay-forward.path starts the forwarder. Anybody may make it.",
    ),
    (
        "forward.backoff",
        "Next hops that the forwarder leaves alone for a while after failures, and until when. It may be removed while no forwarder runs.",
    ),
    ("smtp.disabled", "New SMTP clients are sent away with 421 while it exists."),
    ("dnsbl.stop", "No block list is asked until the time in it, in seconds since 1970."),
    ("NAME/", "A mailbox: messages for POP clients (pop-by-name), or a maildir if it has tmp, new and cur."),
];

const ENVELOPE: &str = "Lines of a field each, in this order; each begins with X-MailRelay-, which is left out here. Fields from Authentication to \
                        Utf8MailboxNames may be missing when it is read. A line that begins with a blank continues the one before.";

const FIELDS: Terms = &[
    ("Format: #2821.8", "Formats from #2821.3, of version 1.0, are read."),
    ("Content:", "7bit, 8bit, binarymime or unknown: BODY= of MAIL."),
    ("From:", "Sender without brackets; empty for the null sender."),
    ("ToCount:", "Number of the To lines that follow."),
    ("To-Local:", "A mailbox, by the address verifier. It is not sent to."),
    ("To-Remote:", "A recipient to send to, without brackets."),
    ("Authentication:", "Who has logged in, as xtext (RFC 3461), or the keyword of a trusted address."),
    ("Client:", "The client's address; /uid=N for a user of this machine."),
    ("ClientCertificate:", "The client's verified certificate, as PEM text in continuation lines."),
    ("MailFromAuthIn:, MailFromAuthOut:", "AUTH= of MAIL as received and as to be sent, as xtext or <>."),
    ("ForwardTo:", "A hint for filters, usually a domain."),
    ("ForwardToAddress:", "host:port to send to, in place of forward-to."),
    ("ClientAccountSelector:", "Which account of client-auth is used."),
    ("Utf8MailboxNames:", "1 if the message needs SMTPUTF8."),
    ("End: 1", "Behind it are free lines, which programs and people may add to."),
];

const TRAILER: Terms = &[
    (
        "Reason:, ReasonCode:",
        "Why the last attempt failed, and the reply code if there was a reply. One pair for each failure for good.",
    ),
    ("LastAttempt:", "When that attempt ended, in seconds since 1970, and the next hop, if one was reached."),
    ("RecipientReason:", "Recipient, code and text of a refusal of one recipient."),
    (
        "NextAttempt:, Attempts:, FirstTry:, GiveUp:",
        "When it is tried again, in seconds since 1970, how often it was tried, since when, and when it is given up. Attempts: 0 if it was \
         brought back.",
    ),
    (
        "Interrupted:",
        "How often in a row the forwarder has died with the message in hand, and when that was found. After five times it is set aside.",
    ),
    ("InDoubt:", "When a next hop was sent all of it and gave no reply, and which."),
    ("Delivered:", "A local recipient that has it already."),
    (
        "Notified:, Delayed:",
        "When emailrelay-notify(1) has reported the failure, or the delay; nobody if nobody could be told.",
    ),
    (
        "SplitFrom:",
        "The message whose other recipients were still being tried when these were refused for good.",
    ),
    ("SplitGroup:, SplitGroupCount:", "The messages that a split: filter has made."),
];

const REFUSED: &str = "X-MailRelay-Format: #2821.8
X-MailRelay-Content: 8bit
X-MailRelay-From: a@example.com
X-MailRelay-ToCount: 1
X-MailRelay-To-Remote: b@example.net
X-MailRelay-Authentication:
X-MailRelay-Client: 192.0.2.7
X-MailRelay-ClientCertificate:
X-MailRelay-MailFromAuthIn:
X-MailRelay-MailFromAuthOut:
X-MailRelay-ForwardTo:
X-MailRelay-ForwardToAddress:
X-MailRelay-ClientAccountSelector:
X-MailRelay-Utf8MailboxNames: 0
X-MailRelay-End: 1
X-MailRelay-Reason: 5.1.1 no such user
X-MailRelay-ReasonCode: 550";

const BY_HAND: &str = "cp message /var/spool/emailrelay/mine.content
cp envelope /var/spool/emailrelay/mine.envelope.tmp
mv /var/spool/emailrelay/mine.envelope.tmp /var/spool/emailrelay/mine.envelope
touch /var/spool/emailrelay/forward.request";

const SPOOL_END: More = &[(
    "SEE ALSO",
    &[
        "emailrelay(1), emailrelay-submit(1), emailrelay-queue(1), emailrelay-notify(1), emailrelay-resubmit(1), emailrelay.conf(5)",
    ],
)];
