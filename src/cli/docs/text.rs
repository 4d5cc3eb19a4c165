//! What manual pages say beyond the options: files, exit codes, examples.

/// Headings and their paragraphs.
pub(super) type More = &'static [(&'static str, &'static [&'static str])];

pub(super) const RELAY: More = &[
    (
        "FILES",
        &[
            "/etc/emailrelay.conf: options, one per line, without dashes; see emailrelay.conf(5).",
            "/var/spool/emailrelay: two files per message; see emailrelay-spool(5).",
        ],
    ),
    ("EXIT STATUS", &["0 when it ended in order, 1 when it could not start."]),
    (
        "EXAMPLES",
        &[
            "emailrelay --as-server --remote-clients --spool-dir /var/spool/emailrelay",
            "emailrelay --as-proxy smtp.example.com:25 --no-daemon --log --no-syslog",
        ],
    ),
    (
        "SEE ALSO",
        &[
            "emailrelay-submit(1), emailrelay-passwd(1), emailrelay-notify(1), emailrelay-resubmit(1), emailrelay-queue(1), emailrelay.conf(5), \
             emailrelay-spool(5), systemctl(1)",
        ],
    ),
];

pub(super) const SMTP: More = &[
    (
        "SOCKETS",
        &[
            "It listens on the sockets that systemd holds, by their names: smtp, submission, and submit for emailrelay-submit(1). \
         See emailrelay-smtp.socket and emailrelay-submit.socket.",
        ],
    ),
    ("EXAMPLES", &["systemctl enable --now emailrelay-smtp.socket emailrelay-submit.socket"]),
    ("SEE ALSO", &["emailrelay(1), emailrelay.conf(5), systemd.socket(5)"]),
];

pub(super) const FORWARD: More = &[
    (
        "EXIT STATUS",
        &[
            "0 when nothing is left to do, 75 when messages wait for another attempt, 1 when it could not start.",
        ],
    ),
    ("EXAMPLES", &["emailrelay-forward --forward-to smtp.example.com:25 --spool-dir /var/spool/emailrelay"]),
    ("SEE ALSO", &["emailrelay(1)"]),
];

pub(super) const POP: More = &[
    (
        "EXAMPLES",
        &[
            "emailrelay-pop --interface localhost --pop-port 1110 --pop-auth ./pop.auth --spool-dir /var/spool/emailrelay",
        ],
    ),
    ("SEE ALSO", &["emailrelay(1), emailrelay.conf(5), systemd.socket(5)"]),
];

pub(super) const ADMIN: More = &[
    (
        "EXAMPLES",
        &[
            "systemctl enable --now emailrelay-admin.socket",
            "echo list | socat - UNIX-CONNECT:/run/emailrelay/admin.sock",
            "emailrelay-admin --admin 10026 --spool-dir ./spool",
        ],
    ),
    ("SEE ALSO", &["emailrelay(1), emailrelay-smtp(1), emailrelay-spool(5)"]),
];

pub(super) const SUBMIT: More = &[
    (
        "AS SENDMAIL",
        &[
            "Called as sendmail it takes -t, -i, -oi, -f, -r, -F, -bs, -bp, -bi, -q and recipients, mixed as they come, and accepts the other \
         options of that program without effect. Text without a header is a body, and the From line of a mailbox file in front of the header is \
         dropped. Called as mailq it lists what waits, as newaliases it does nothing.",
        ],
    ),
    (
        "LOG",
        &[
            "What is stored is in the journal, or in syslog where there is no journal, with the facility mail: by this program, or by the SMTP \
         server that has stored it.",
        ],
    ),
    (
        "FILES",
        &[
            "/var/spool/emailrelay: written by who may.",
            "/run/emailrelay/submit: for everybody else, the socket of the SMTP server, which knows the caller's user id from the kernel.",
            "/etc/emailrelay.conf: as sendmail, domain and spool-dir are read from it.",
        ],
    ),
    (
        "EXIT STATUS",
        &[
            "0 when the message is durable; 64 usage, 65 the message cannot be sent as it is, 66 no input, 75 try again later, 77 not permitted.",
        ],
    ),
    (
        "EXAMPLES",
        &["printf 'Subject: hello\\n\\nHello\\n' | emailrelay-submit --from me@example.com you@example.com"],
    ),
    ("SEE ALSO", &["emailrelay(1)"]),
];

pub(super) const PASSWD: More = &[
    ("EXIT STATUS", &["0 when it printed a line, or with --check when the password is right; else 1."]),
    ("EXAMPLES", &["echo \"server md5 alice $(emailrelay-passwd)\" >> /etc/emailrelay.auth"]),
    ("SEE ALSO", &["emailrelay(1)"]),
];

pub(super) const NOTIFY: More = &[
    (
        "WHAT IS REPORTED",
        &[
            "A message that has failed for good (ID.envelope.bad) is reported to its sender and then deleted, or kept and marked with --keep. A message \
             that has been tried for as long as --delay says is reported once as late. Each report is a delivery status notification (RFC 3464) with the \
             null sender; it is durable before the message goes, so that whatever ends the program a report is made twice at most, and none is lost.",
            "Nothing is reported to the null sender, and nothing about reports and automatic replies. Such messages stay and are marked, with a warning; \
             with --postmaster they are reported there.",
        ],
    ),
    (
        "EXIT STATUS",
        &[
            "0 when all is done; 1 without a spool directory; 64 usage; 75 when something is left for the next run.",
        ],
    ),
    (
        "EXAMPLES",
        &[
            "systemctl enable --now emailrelay-notify.timer",
            "emailrelay-notify --dry-run /var/spool/emailrelay",
            "emailrelay-notify --keep --return headers --postmaster postmaster@example.com",
            "emailrelay-notify --command 'procmail -d' /var/spool/emailrelay",
        ],
    ),
    ("SEE ALSO", &["emailrelay(1), emailrelay-resubmit(1), emailrelay-spool(5)"]),
];

pub(super) const RESUBMIT: More = &[
    ("EXIT STATUS", &["0, or 1 without a spool directory, or 64 usage."]),
    (
        "EXAMPLES",
        &[
            "emailrelay-resubmit /var/spool/emailrelay",
            "emailrelay-resubmit --only 4xx,none --older-than 1h --dry-run",
        ],
    ),
    ("SEE ALSO", &["emailrelay(1), emailrelay-notify(1), emailrelay-spool(5)"]),
];

pub(super) const QUEUE: More = &[
    (
        "MESSAGES",
        &[
            "It works on the directory alone, with the locks of the other programs, and is safe beside them. What a process is at work on is never touched: \
             that is said, and the exit status is 75. A .busy file that nobody has held for as long as --stale-after says was left behind; it is taken \
             back before something is done with its message.",
            "A mailbox below the spool directory is a spool directory as well: -s /var/spool/emailrelay/alice.",
        ],
    ),
    (
        "JSON",
        &[
            "With --json each command prints one object: command is its name, and messages (list, show), results (hold, release, retry, fail, delete, \
             import-local) or problems (check) a list, with one element on a line.",
            "Of messages: id, state (ready, busy, failed, held, new), size (bytes, null without content), arrived (seconds since 1970), age (seconds), \
             sender (empty for the null sender, null if the envelope cannot be read), recipients, mailboxes (local recipients), attempts, next_attempt \
             (seconds since 1970, or null), reason, reason_code, error (why the envelope cannot be read, or null). show adds envelope, an object with the \
             fields of the file by their own names and the lines behind them as Trailer, and header, a list of lines.",
            "Of results: id, done, busy (another process is at work on it), error (or null); import-local adds to, a list.",
            "Of problems: kind (orphan, stale-busy, unreadable-envelope, missing-content, local-message), id (or null), file, detail.",
        ],
    ),
    (
        "LOCAL MESSAGES",
        &[
            "E-MailRelay up to 2.4 set messages for local users aside, as ID.envelope.local and ID.content.local. import-local delivers them to the mailboxes of \
             these users, below the spool directory as --filter deliver: does or below --delivery-dir; sends them on with --to; or gives them to a command. \
             Each is removed when it is, durably, where it had to go.",
        ],
    ),
    (
        "EXIT STATUS",
        &[
            "0 when all is done; 1 when check has found something; 64 usage; 65 a message is not in a state for that; 66 no such message, or no spool \
             directory; 74 trouble of the system's; 75 another process is at work on a message; 77 not permitted. Of several messages the highest counts.",
        ],
    ),
    (
        "EXAMPLES",
        &[
            "emailrelay-queue list",
            "emailrelay-queue list --state failed --json",
            "emailrelay-queue list --state failed --ids | emailrelay-queue delete -",
            "emailrelay-queue retry emailrelay.1234.1795170755.1",
            "emailrelay-queue check -s /var/spool/emailrelay",
            "emailrelay-queue import-local --dry-run",
            "emailrelay-queue import-local --command 'procmail -d'",
        ],
    ),
    ("SEE ALSO", &["emailrelay(1), emailrelay-resubmit(1), emailrelay-notify(1), emailrelay-spool(5)"]),
];

pub(super) const POKE: More = &[
    ("EXIT STATUS", &["0; 1 when there is no answer, or one that begins with error: or usage:; 64 usage."]),
    (
        "EXAMPLES",
        &[
            "emailrelay-poke",
            "emailrelay-poke 10026 forward",
            "emailrelay-poke /run/emailrelay/admin.sock flush",
        ],
    ),
    ("SEE ALSO", &["emailrelay-admin(1), emailrelay-queue(1)"]),
];

pub(super) const FILTER_COPY: More = &[
    (
        "EXIT STATUS",
        &[
            "As a filter: 100 when all sub-directories have the envelope and the original is gone, 0 when it could not be removed, else 1. With \
             --spool-dir: 0 or 1.",
        ],
    ),
    (
        "EXAMPLES",
        &[
            "emailrelay --as-server --filter /usr/lib/emailrelay/emailrelay-filter-copy",
            "emailrelay-filter-copy -v -d /var/spool/emailrelay",
        ],
    ),
    (
        "SEE ALSO",
        &["emailrelay(1), of which --filter=copy:pop is the same without a program; emailrelay-spool(5)"],
    ),
];

pub(super) const MULTICAST: More = &[
    (
        "EXIT STATUS",
        &[
            "100 when all sub-directories have the message and the original is gone; 0 when there are none, or it could not be removed; 1 when no \
             sub-directory has it; 2 usage.",
        ],
    ),
    ("EXAMPLES", &["emailrelay --as-server --filter /usr/lib/emailrelay/emailrelay-multicast"]),
    (
        "SEE ALSO",
        &[
            "emailrelay(1), of which --filter=copy:hardlink is the same without a program; emailrelay-spool(5)",
        ],
    ),
];
