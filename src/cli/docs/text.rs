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
            "emailrelay-submit(1), emailrelay-passwd(1), emailrelay-notify(1), emailrelay-resubmit(1), emailrelay.conf(5), \
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
         options of that program without effect. Called as mailq it lists what waits, as newaliases it does nothing.",
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
