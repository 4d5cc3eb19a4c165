//! Added, replaced and hidden header fields.

use std::ffi::OsString;
use std::path::Path;

use super::super::options::{self, Request};
use super::*;

fn composed(arguments: &[&str], header: &str) -> Result<Submission, Fault> {
    let options = match options::parse(arguments.iter().map(OsString::from), Path::new("/")).unwrap() {
        Request::Submit(options) => *options,
        other => panic!("{other:?}"),
    };
    let headers = Headers::new(header.lines().map(|line| line.as_bytes().to_vec()).collect());
    let zone = jiff::tz::Offset::from_seconds(-210 * 60).unwrap().to_time_zone();
    let now = "2026-11-20T10:39:14.361955Z".parse::<jiff::Timestamp>().unwrap().to_zoned(zone);
    compose(&options, headers, &Stamp { now, process: 9143 })
}

/// As [`composed`], but as `sendmail` does it.
fn posted(name: &str, recipients: &[&str], header: &str) -> (Vec<String>, String) {
    let Ok(Request::Submit(options)) = options::parse([], Path::new("/")) else { panic!("plain options") };
    let options = Options {
        from: Some("root".into()),
        domain: Some("x.org".into()),
        recipients: recipients.iter().map(OsString::from).collect(),
        header_recipients: true,
        add_from: Some(name.to_owned()),
        ..*options
    };
    let headers = Headers::new(header.lines().map(|line| line.as_bytes().to_vec()).collect());
    let submission = compose(&options, headers, &Stamp { now: jiff::Zoned::now(), process: 1 }).unwrap();
    let text = String::from_utf8(submission.headers.to_bytes()).unwrap();
    (submission.messages[0].envelope.recipients.clone(), text.replace("\r\n", "\n"))
}

#[test]
fn sendmail_adds_what_is_missing_and_nothing_else() {
    let both = |to: &[&str]| to.iter().map(|to| (*to).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        posted("", &["b@x"], "To: a@x\n"),
        (both(&["a@x", "b@x"]), "From: root@x.org\nTo: a@x\n".to_owned())
    );
    for (name, from) in [
        ("The Root", "The Root <root@x.org>"),
        ("R. \"\\\u{7}", "\"R. \\\"\\\\\" <root@x.org>"),
        ("J\u{f6}rg", "J\u{f6}rg <root@x.org>"),
    ] {
        assert_eq!(posted(name, &["b"], "Subject: s\n").1, format!("From: {from}\nSubject: s\n"));
    }
    let own = "Sender: s@x\nFrom: me@x\nTo: a@x\n";
    assert_eq!(posted("Name", &[], own).1, own);
    assert_eq!(posted("", &["b@x"], "Sender: s@x\n").1, "From: root@x.org\nSender: s@x\n");
}

/// The envelope's `sender>recipient,...`, one for each message.
fn envelopes(arguments: &[&str], header: &str) -> Vec<String> {
    let submission = composed(arguments, header).unwrap();
    let show = |Outgoing { envelope, .. }: &Outgoing| {
        format!("{}>{}", envelope.sender, envelope.recipients.join(","))
    };
    submission.messages.iter().map(show).collect()
}

/// The header of each message.
fn headers(arguments: &[&str], header: &str) -> Vec<String> {
    let submission = composed(arguments, header).unwrap();
    let show = |Outgoing { bcc, .. }: &Outgoing| {
        let bytes = match bcc {
            Bcc::AsIs => submission.headers.to_bytes(),
            Bcc::Removed => submission.headers.to_bytes_replacing(BCC, None),
            Bcc::Replaced(line) => submission.headers.to_bytes_replacing(BCC, Some(line)),
        };
        String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
    };
    submission.messages.iter().map(show).collect()
}

fn error(arguments: &[&str], header: &str) -> String {
    composed(arguments, header).unwrap_err().to_string()
}

#[test]
fn the_sender_comes_from_the_option_else_from_the_header() {
    let table = [
        (&["-f", "f@x", "t@x"] as &[_], "From: a@b", "f@x>t@x"),
        (&["-f", "", "t@x"], "From: a@b", "a@b>t@x"),
        (&["t@x"], "From: Joe <a@b>", "a@b>t@x"),
        (&["t@x"], "From: <a@b>", "a@b>t@x"),
        (&["t@x"], "From: root (Cron Daemon)", "root>t@x"),
        (&["t@x"], "Sender: s@x\nFrom: a@b", "a@b>t@x"),
        (&["t@x"], "From: a@b, c@d\nSender: s@x", "s@x>t@x"),
        (&["t@x"], "From: a@b\nfrom: c@d\nSender: s@x", "s@x>t@x"),
        (&["t@x"], "From: a@b, c@d", "a@b>t@x"),
        (&["t@x"], "From: a@b, c@d\nSender: s@x, u@x", "a@b>t@x"),
        (&["t@x"], "From: nobody:;\nSender: s@x, u@x", "s@x>t@x"),
        (&["t@x"], "Resent-From: r@x", "anonymous>t@x"),
        (&["-f", "<>", "t@x"], "From: a@b", ">t@x"),
        (&["-f", "\\a@b", "t@x"], "", "a@b>t@x"),
        (&["-f", "Joe <joe@x>", "t@x"], "", "Joe <joe@x>>t@x"),
    ];
    for (arguments, header, expected) in table {
        assert_eq!(envelopes(arguments, header), [expected], "{arguments:?} {header:?}");
    }
}

#[test]
fn recipients_come_from_the_command_line_else_from_the_header() {
    let header = "Bcc: b@x\nCc: c@x\nTo: t@x, t@x\nTO : u@x\nResent-To: r@x\nFrom: f@x";
    assert_eq!(envelopes(&[], header), ["f@x>t@x,t@x,u@x,c@x,b@x"]);
    assert_eq!(envelopes(&["--to=\\o@x", "\\p@x", "root"], header), ["f@x>o@x,p@x,root"]);
    assert_eq!(
        envelopes(&[], "To: root\nCc: \"a,b\"@x.com, d@[1.2.3.4]"),
        ["anonymous>root,\"a,b\"@x.com,d@[1.2.3.4]"]
    );
    assert_eq!(
        envelopes(&[], "To: J\u{f6}rg <joe@b\u{fc}cher.example>"),
        ["anonymous>joe@xn--bcher-kva.example"]
    );
    assert_eq!(envelopes(&["--domain=ex.org", "root"], "From: bin"), ["bin@ex.org>root@ex.org"]);
    assert_eq!(envelopes(&["--domain=ex.org"], "To: root, a@b"), ["anonymous>root@ex.org,a@b"]);
}

#[test]
fn headers_that_are_not_needed_are_not_parsed() {
    assert_eq!(envelopes(&["-f", "f@x", "t@x"], "From: <<\nTo: >>\nBcc: \""), ["f@x>t@x"]);
}

#[test]
fn bad_addresses_and_headers_are_refused() {
    let table = [
        (&["-f", "@x", "t@x"] as &[_], "", "invalid sender address: [@x]"),
        (&["-f", "f@x", "a\tb@x"], "", "invalid recipient address: [a\tb@x]"),
        (&["-f", "f@x", "t@x", ""], "", "invalid recipient address: []"),
        (&["t@x"], "Subject: s\nFrom: <>", "rfc-5322/6532 parsing error: invalid address-list: line 2"),
        (&[], "To: a@b\nCc: \"x", "rfc-5322/6532 parsing error: parsing error at position 1: line 2"),
        (&[], "Subject: s\nTo: x:;", "no recipients"),
        (&["-t"], "Subject: s", "content-to option used but no envelope-to addresses have been defined"),
    ];
    for (arguments, header, expected) in table {
        assert_eq!(error(arguments, header), expected);
    }
}

#[test]
fn added_headers_come_in_front_in_a_fixed_order() {
    let all = headers(&["-dFt", "--content-message-id=ex.org", "-f", "f@x", "a@x", "b@x"], "Subject: s");
    let expected = "To: a@x,b@x\nFrom: f@x\nMessage-ID: <1795171154.361955.9143@ex.org>\n\
                    Date: Fri, 20 Nov 2026 07:09:14 -0330\nSubject: s\n";
    assert_eq!(all, [expected]);
    assert!(headers(&["-I", "a@x"], "")[0].ends_with("9143@local>\n"));
}

#[test]
fn date_and_message_id_are_kept_when_there() {
    let header = "date : x\nMESSAGE-ID: y\n";
    assert_eq!(headers(&["-dI", "a@x"], header), [header]);
}

#[test]
fn replaced_headers_take_only_their_own_lines() {
    assert_eq!(
        headers(&["-F", "-f", "new@x", "t@x"], "From: old@x\nSubject: s\nSender: a,\n b\nTo: z@z"),
        ["From: new@x\nSubject: s\nTo: z@z\n"]
    );
    assert_eq!(
        headers(&["-t", "t@x"], "From: f@x\nTo: a@x,\n b@x\nSubject: s\nCc: c@x\nBcc: d@x"),
        ["To: t@x\nFrom: f@x\nSubject: s\n"]
    );
    assert_eq!(headers(&["-F", "t@x"], "Subject: s"), ["From: anonymous:;\nSubject: s\n"]);
    assert_eq!(headers(&["-F", "-f", "<>", "t@x"], ""), ["From: anonymous:;\n"]);
}

#[test]
fn content_to_does_not_show_blind_recipients() {
    let header = "To: a@x\nCc: c@x\nBcc: b@x\n";
    assert_eq!(headers(&["-t"], header), ["To: a@x,c@x\n"]);
    assert_eq!(headers(&["-t"], "Bcc: b@x\n"), ["To: undisclosed-recipients:;\n"]);
    assert_eq!(envelopes(&["-t"], header), ["anonymous>a@x,c@x,b@x"]);
}

#[test]
fn bcc_is_removed_when_it_gave_recipients() {
    let header = "To: a@x\nBcc: b@x,\n c@x\nSubject: s\n";
    assert_eq!(headers(&[], header), ["To: a@x\nSubject: s\n"]);
    assert_eq!(headers(&["--keep-bcc"], header), [header]);
    assert_eq!(headers(&["t@x"], header), [header]);
}

#[test]
fn bcc_split_makes_a_message_for_each_blind_recipient() {
    let header = "To: a@x\nCc: c@x\nBcc: \"B B\" <b@x>, =?utf-8?q?d?= <d@x>\nSubject: s\nbcc: e@x\n";
    assert_eq!(
        envelopes(&["-b"], header),
        ["anonymous>a@x,c@x", "anonymous>b@x", "anonymous>d@x", "anonymous>e@x"]
    );
    let with = |line: &str| format!("To: a@x\nCc: c@x\n{line}Subject: s\n{line}");
    assert_eq!(
        headers(&["-b"], header),
        [with(""), with("bcc: \"B B\" <b@x>\n"), with("bcc: d@x\n"), with("bcc: e@x\n")]
    );
}

#[test]
fn bcc_split_with_content_to_keeps_both_kinds_apart() {
    let all = headers(&["-bt"], "Cc: c@x\nBcc: b@x, d@x\n");
    assert_eq!(all, ["To: c@x\n", "To: c@x\nbcc: b@x\n", "To: c@x\nbcc: d@x\n"]);
}

#[test]
fn bcc_split_changes_nothing_for_one_or_for_typed_recipients() {
    assert_eq!(envelopes(&["-b"], "To: a@x\nBcc: b@x"), ["anonymous>a@x,b@x"]);
    assert_eq!(headers(&["-b"], "To: a@x\nBcc: b@x"), ["To: a@x\n"]);
    assert_eq!(envelopes(&["-b", "t@x"], "Bcc: b@x, c@x"), ["anonymous>t@x"]);
    assert_eq!(headers(&["-b", "t@x"], "Bcc: b@x, c@x"), ["Bcc: b@x, c@x\n"]);
}

#[test]
fn bcc_split_without_open_recipients_makes_no_message_for_nobody() {
    assert_eq!(envelopes(&["-b"], "Bcc: b@x, c@x"), ["anonymous>b@x", "anonymous>c@x"]);
}

#[test]
fn long_to_lines_are_folded() {
    let recipients: Vec<String> = (0..200).map(|number| format!("recipient-{number}@example.com")).collect();
    let line = to_line(&recipients);
    assert!(line.split("\r\n").all(|part| part.len() <= MAX_LINE));
    let unfolded = line.replace("\r\n", "");
    let read = list::parse(unfolded.strip_prefix("To:").unwrap().as_bytes()).unwrap();
    assert_eq!(read.iter().map(Address::to_string).collect::<Vec<_>>(), recipients);
}

#[test]
fn envelope_details_come_from_options() {
    let arguments = ["-a", "bob", "-i", "", "-o", "x y", "-f", "j\u{f6}rg@x", "t@x"];
    let envelope = composed(&arguments, "").unwrap().messages.remove(0).envelope;
    assert_eq!(envelope.authentication, b"bob");
    assert_eq!((envelope.mail_auth_in, envelope.mail_auth_out), (Some(vec![]), Some(b"x y".to_vec())));
    assert!(envelope.utf8_mailboxes);
    let plain = composed(&["t@x"], "").unwrap().messages.remove(0).envelope;
    assert_eq!((plain.mail_auth_in, plain.utf8_mailboxes), (None, false));
}

#[test]
fn notes_tell_what_was_decided() {
    let notes = composed(&["-F"], "From: a@b\nTo: t@x\nBcc: b@x").unwrap().notes;
    let expected = [
        "content: from/sender: [a@b]",
        "content: to/cc: [t@x]",
        "content: bcc: [b@x]",
        "content: added: From: a@b",
    ];
    assert_eq!(notes, expected);
}
