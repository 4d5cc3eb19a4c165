//! Reports as text.

use super::*;

fn report() -> Report {
    Report {
        action: Action::Failed,
        to: "a@example.com".to_owned(),
        domain: "relay.example.com".to_owned(),
        queue_id: "emailrelay.1.1795170755.1".to_owned(),
        date: "Fri, 20 Nov 2026 10:32:36 +0000".to_owned(),
        message_id: "<1795170756.000001.1@relay.example.com>".to_owned(),
        boundary: "0123456789abcdef".to_owned(),
        arrival: Some("Fri, 20 Nov 2026 10:32:35 +0000".to_owned()),
        known_by: vec!["Subject: hello\u{7}".to_owned()],
        original_id: Some("<x@example.com>".to_owned()),
        returned: Returned::Headers,
        returned_8bit: false,
        attempt: Some(Attempt {
            date: "Fri, 20 Nov 2026 10:32:40 +0000".to_owned(),
            remote: Some("[192.0.2.1]".to_owned()),
        }),
        tried_until: None,
        utf8: false,
    }
}

fn recipient(address: &str, reply: Option<u16>, reason: &str) -> Recipient {
    let status = status::of(reply, reason);
    Recipient { address: address.to_owned(), status, reply, reason: reason.to_owned() }
}

#[test]
fn a_failure_is_told_to_people_and_to_programs() {
    let recipients = [
        recipient("b@example.net", Some(550), "5.1.1 no such user"),
        recipient("c@example.net", None, "message is too old: peer disconnected"),
    ];
    let report = report();
    let fields: String = recipients.iter().map(|recipient| report.recipient(recipient)).collect();
    let text = [
        report.opening(&recipients),
        fields,
        report.returned(),
        "Subject: hello\r\n".to_owned(),
        report.closing(),
    ]
    .concat();
    let expected = "From: Mail Delivery System <postmaster@relay.example.com>
To: <a@example.com>
Subject: Your e-mail could not be delivered
Date: Fri, 20 Nov 2026 10:32:36 +0000
Message-ID: <1795170756.000001.1@relay.example.com>
In-Reply-To: <x@example.com>
References: <x@example.com>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary=\"0123456789abcdef\"
Content-Transfer-Encoding: 7bit

This is a report in several parts.

--0123456789abcdef
Content-Description: Notification
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

This is the mail system of relay.example.com.

Your message could not be delivered to the recipients below, and will
not be tried again.

    Subject: hello\u{20}

<b@example.net>:
    550 5.1.1 no such user

<c@example.net>:
    message is too old: peer disconnected

The header of the message is below.

--0123456789abcdef
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.com
Arrival-Date: Fri, 20 Nov 2026 10:32:35 +0000
X-EMailRelay-Id: emailrelay.1.1795170755.1

Final-Recipient: rfc822; b@example.net
Action: failed
Status: 5.1.1
Remote-MTA: dns; [192.0.2.1]
Diagnostic-Code: smtp; 550 5.1.1 no such user
Last-Attempt-Date: Fri, 20 Nov 2026 10:32:40 +0000

Final-Recipient: rfc822; c@example.net
Action: failed
Status: 4.4.7
Remote-MTA: dns; [192.0.2.1]
Diagnostic-Code: x-emailrelay; message is too old: peer disconnected
Last-Attempt-Date: Fri, 20 Nov 2026 10:32:40 +0000

--0123456789abcdef
Content-Description: Undelivered message header
Content-Type: text/rfc822-headers
Content-Transfer-Encoding: 7bit

Subject: hello

--0123456789abcdef--
";
    assert_eq!(text.replace("\r\n", "\n"), expected);
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
}

#[test]
fn a_delay_tells_until_when_it_is_tried() {
    let late = |remote: Option<&str>| {
        let attempt = Attempt { date: "Fri".to_owned(), remote: remote.map(str::to_owned) };
        let until = Some("Wed, 25 Nov 2026 10:32:35 +0000".to_owned());
        let report =
            Report { action: Action::Delayed, attempt: Some(attempt), tried_until: until, ..report() };
        report.recipient(&recipient("b@example.net", Some(450), "4.2.0 greylisted"))
    };
    let fields = late(Some("mx.example.net"));
    let end = "Remote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; 450 4.2.0 greylisted\r\n\
               Last-Attempt-Date: Fri\r\nWill-Retry-Until: Wed, 25 Nov 2026 10:32:35 +0000\r\n";
    assert!(fields.ends_with(end), "{fields}");
    assert!(!late(None).contains("Remote-MTA"));
}

#[test]
fn long_fields_are_folded_and_have_nothing_but_ascii() {
    let odd = recipient("b@example.net", Some(550), &"weit \u{fc}ber das Ende\u{1b} ".repeat(20));
    let fields = report().recipient(&odd);
    assert!(fields.lines().all(|line| line.len() <= LINE + 2), "{fields}");
    assert!(fields.bytes().all(|byte| (b' '..=b'~').contains(&byte) || matches!(byte, b'\r' | b'\n')));
}

#[test]
fn addresses_beyond_ascii_have_a_type_of_their_own() {
    let fields = report().recipient(&recipient("j\u{fc}rg+x@example.net", Some(550), "no"));
    assert!(fields.contains("Final-Recipient: utf-8; j\\x{FC}rg\\x{2B}x@example.net\r\n"), "{fields}");
}

#[test]
fn eight_bits_are_announced_wherever_they_are() {
    let plain = [recipient("b@x", None, "no")];
    let odd = [recipient("j\u{fc}rg@x", None, "no")];
    assert!(!report().is_8bit(&plain));
    assert!(report().is_8bit(&odd));
    assert!(report().opening(&odd).matches("Content-Transfer-Encoding: 8bit").count() == 2);
    let returned = Report { returned_8bit: true, utf8: true, ..report() };
    assert!(returned.is_8bit(&plain) && returned.returned().contains("message/global-headers"));
    assert!(!Report { returned: Returned::Nothing, ..returned }.is_8bit(&plain));
}

#[test]
fn a_crowd_is_named_in_the_fields_only() {
    let crowd: Vec<Recipient> =
        (0..60).map(|number| recipient(&format!("u{number}@x"), None, "no")).collect();
    let opening = report().opening(&crowd);
    assert!(opening.contains("<u49@x>") && !opening.contains("<u50@x>") && opening.contains("and 10 more."));
}
