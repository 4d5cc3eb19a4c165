//! Envelope files of all generations, read and written.

use proptest::prelude::*;

use super::*;

fn golden(middle: &str) -> String {
    format!("X-MailRelay-Format: #2821.8\r\n{middle}X-MailRelay-End: 1\r\n")
}

fn submitted() -> String {
    golden(
        "X-MailRelay-Content: 8bit\r\n\
         X-MailRelay-From: a@example.com\r\n\
         X-MailRelay-ToCount: 2\r\n\
         X-MailRelay-To-Remote: b@example.net\r\n\
         X-MailRelay-To-Remote: c@example.net\r\n\
         X-MailRelay-Authentication: bob\r\n\
         X-MailRelay-Client: 127.0.0.1\r\n\
         X-MailRelay-ClientCertificate: \r\n\
         X-MailRelay-MailFromAuthIn: <>\r\n\
         X-MailRelay-MailFromAuthOut: \r\n\
         X-MailRelay-ForwardTo: \r\n\
         X-MailRelay-ForwardToAddress: \r\n\
         X-MailRelay-ClientAccountSelector: \r\n\
         X-MailRelay-Utf8MailboxNames: 0\r\n",
    )
}

fn parse(text: &str) -> Result<Envelope, EnvelopeError> {
    Envelope::parse(text.as_bytes())
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_submitted_message_reads_and_writes_the_same_bytes() {
    let envelope = parse(&submitted()).unwrap();
    let expected = Envelope {
        body: Body::EightBit,
        sender: "a@example.com".to_owned(),
        remote: vec!["b@example.net".to_owned(), "c@example.net".to_owned()],
        authentication: "bob".to_owned(),
        client: "127.0.0.1".to_owned(),
        mail_auth_in: "<>".to_owned(),
        ..Envelope::default()
    };
    assert_eq!(envelope, expected);
    assert_eq!(String::from_utf8(envelope.to_bytes()).unwrap(), submitted());
}

#[test]
fn local_recipients_are_written_before_remote_ones() {
    let local = "X-MailRelay-To-Local: al\r\nX-MailRelay-To-Remote: x@remote.example\r\n";
    let text = submitted()
        .replace("X-MailRelay-To-Remote: b@example.net\r\nX-MailRelay-To-Remote: c@example.net\r\n", local);
    let envelope = parse(&text).unwrap();
    assert_eq!(
        (&envelope.local[..], &envelope.remote[..]),
        (&["al".into()][..], &["x@remote.example".into()][..])
    );
    assert_eq!(String::from_utf8(envelope.to_bytes()).unwrap(), text);
    let swapped = "X-MailRelay-To-Remote: x@remote.example\r\nX-MailRelay-To-Local: al\r\n";
    assert_eq!(parse(&text.replace(local, swapped)).unwrap(), envelope);
}

#[test]
fn a_certificate_is_folded() {
    let folded = "X-MailRelay-ClientCertificate: -----BEGIN CERTIFICATE-----\r\n \
                  MIIDCTCCAfGgAwIBAgIUTh3iiKZ61YLq8VU96Sb8Tmfg0UUwDQYJKoZIhvcNAQEL\r\n \
                  -----END CERTIFICATE-----\r\n";
    let text = submitted().replace("X-MailRelay-ClientCertificate: \r\n", folded);
    let envelope = parse(&text).unwrap();
    assert_eq!(envelope.client_certificate.lines().count(), 3);
    assert!(envelope.client_certificate.ends_with("\n-----END CERTIFICATE-----"));
    assert_eq!(String::from_utf8(envelope.to_bytes()).unwrap(), text);
}

#[test]
fn trailing_lines_are_kept() {
    let mut text = submitted();
    text.push_str("X-MailRelay-Reason: no mail\r\nX-MailRelay-ReasonCode: 550\r\n");
    let envelope = parse(&text).unwrap();
    assert_eq!(envelope.to_bytes(), text.as_bytes());
    let state = RetryState::of(&envelope);
    assert_eq!((state.reason.as_deref(), state.reason_code), (Some("no mail"), Some(550)));

    text.push_str("  indented\t \n\n\u{e9} unterminated");
    let expected =
        format!("{}  indented\r\n\r\n\u{e9} unterminated\r\n", &text[..text.find("  ind").unwrap()]);
    assert_eq!(parse(&text).unwrap().to_bytes(), expected.as_bytes());
}

#[test]
fn older_formats_are_read_and_written_as_the_newest() {
    let head = "X-MailRelay-Content: 8bit\r\nX-MailRelay-From: a@example.com\r\nX-MailRelay-ToCount: 1\r\n\
                X-MailRelay-To-Remote: b@example.net\r\nX-MailRelay-Authentication: \r\n\
                X-MailRelay-Client: 10.0.0.1\r\n";
    let certificate = "X-MailRelay-ClientCertificate: \r\n";
    let auth = "X-MailRelay-MailFromAuthIn: a+3Db\r\nX-MailRelay-MailFromAuthOut: \r\n";
    let forward = "X-MailRelay-ForwardTo: x.com\r\nX-MailRelay-ForwardToAddress: 10.0.0.2:25\r\n";
    let utf8 = "X-MailRelay-Utf8MailboxNames: 1\r\n";
    let formats = [
        ("#2821.3", String::new()),
        ("#2821.4", format!("X-MailRelay-ClientName: x\r\n{certificate}")),
        ("#2821.5", format!("{certificate}{auth}")),
        ("#2821.6", format!("{certificate}{auth}{forward}")),
        ("#2821.7", format!("{certificate}{auth}{forward}{utf8}")),
    ];
    for (format, rest) in formats {
        let text = golden(&format!("{head}{rest}")).replace("#2821.8", format);
        let envelope = parse(&text).unwrap();
        assert_eq!((envelope.client.as_str(), envelope.utf8_mailboxes), ("10.0.0.1", rest.contains(utf8)));
        assert_eq!(envelope.forward_to_address.is_empty(), !rest.contains(forward));
        assert_eq!(envelope.trailer, Vec::<Vec<u8>>::new(), "{format}");
        let written = String::from_utf8(envelope.to_bytes()).unwrap();
        assert!(written.starts_with("X-MailRelay-Format: #2821.8\r\n"));
        assert_eq!(written.lines().count(), 15);
        assert_eq!(parse(&written).unwrap(), envelope);
    }
}

#[test]
fn hand_made_files_are_read() {
    // LF, any order, only what is required, an unknown line, and no last line end.
    let text = "X-MailRelay-ToCount: 1\nX-Note: kept \nX-MailRelay-To-Remote: b@x\nX-MailRelay-From:\n\
                X-MailRelay-Format: #2821.8\nX-MailRelay-Utf8MailboxNames:\t1\n folded\nX-MailRelay-End";
    let envelope = parse(text).unwrap();
    assert_eq!((envelope.sender.as_str(), &envelope.remote[..]), ("", &["b@x".to_owned()][..]));
    assert!(!envelope.utf8_mailboxes);
    assert_eq!(envelope.trailer, [b"X-Note: kept"]);
    assert!(envelope.to_bytes().ends_with(b"X-MailRelay-End: 1\r\nX-Note: kept\r\n"));
    assert_eq!(AppendStyle::of(text.as_bytes()), AppendStyle { line_end: "\n", terminated: false });
}

#[test]
fn damage_is_told_as_2_6_does() {
    let good = submitted();
    let cut = |at: &str| good[..good.find(at).unwrap()].to_owned();
    let expected = |name: &str| format!("cannot read envelope file: expected \"X-MailRelay-{name}:\"");
    assert_eq!(refusal(""), expected("Format"));
    assert_eq!(refusal("hello\r\n"), expected("Format"));
    assert_eq!(
        refusal(&good.replace("#2821.8", "#2821.2")),
        "cannot read envelope file: unknown format id: #2821.2"
    );
    assert_eq!(refusal(&cut("X-MailRelay-From")), expected("From"));
    assert_eq!(refusal(&cut("X-MailRelay-ToCount")), expected("ToCount"));
    assert_eq!(refusal(&cut("X-MailRelay-To-Remote: c")), "cannot read envelope file: bad 'to' line");
    assert_eq!(refusal(&cut("X-MailRelay-End")), "cannot read envelope file: no end line");
    assert_eq!(refusal(&good.replace("ToCount: 2", "ToCount: 1")), expected("Authentication"));
    assert_eq!(refusal(&good.replace("From: ", "From:")), expected("From"));
    assert_eq!(refusal(&good.replace("ForwardToAddress", "forwardtoaddress")), expected("ForwardToAddress"));
    assert_eq!(
        refusal(&good.replace("ToCount: 2", "ToCount: two")),
        "string conversion error: invalid format: expected unsigned integer: two"
    );
    assert_eq!(
        refusal(&good.replace("ToCount: 2", "ToCount: 99999999999999999999999")),
        "string conversion error: over/underflow: 99999999999999999999999"
    );
    assert_eq!(
        refusal(&good.replace("AuthIn: <>", "AuthIn: a+4")),
        "cannot read envelope file: invalid mail-from-auth-in encoding"
    );
    assert_eq!(
        refusal(&good.replace("AuthOut: ", "AuthOut: \u{e9}")),
        "cannot read envelope file: invalid mail-from-auth-out encoding"
    );
    let twice = good.replace("X-MailRelay-Client:", "X-MailRelay-From: x\r\nX-MailRelay-Client:");
    assert_eq!(refusal(&twice), "cannot read envelope file: duplicate \"X-MailRelay-From:\"");
}

#[test]
fn envelopes_have_limits() {
    let mut text = submitted();
    text.push_str(&" ".repeat(MAX_ENVELOPE - text.len()));
    assert!(parse(&text).is_ok());
    text.push(' ');
    assert_eq!(parse(&text), Err(EnvelopeError::TooLarge));
}

#[test]
fn xtext_is_normalised_when_written() {
    let text = submitted().replace("ForwardTo: ", "ForwardTo: a=b c+x+2b");
    let written = String::from_utf8(parse(&text).unwrap().to_bytes()).unwrap();
    assert!(written.contains("ForwardTo: a+3Db+20cx+2B\r\n"), "{written}");
    assert_eq!(xtext::encode("caf\u{e9}+1=2 ".as_bytes()), "caf+C3+A9+2B1+3D2+20");
    assert_eq!(xtext::decode("caf+C3+A9+2B1+3D2+20"), "caf\u{e9}+1=2 ".as_bytes());
}

#[test]
fn addresses_that_would_break_the_protocol_are_found() {
    let check = |sender: &str, recipient: &str| {
        let remote = vec![recipient.to_owned()];
        Envelope { sender: sender.to_owned(), remote, ..Envelope::default() }.check_addresses()
    };
    for good in ["b@x", "\"a b<\\\">\"@x", "\u{e9}@x", "postmaster", "a'b\\c@x"] {
        assert_eq!(check("", good), Ok(()), "{good}");
        assert_eq!(check(good, "b@x"), Ok(()), "{good}");
    }
    for bad in ["a b@x", "a<b@x", "a>@x", "a\r@x", "a\n@x", "a\0@x", "\"a b@x", "\"a\nb\"@x", "\u{fffd}@x"] {
        assert_eq!(check("", bad), Err(InvalidAddress), "{bad:?}");
        assert_eq!(check(bad, "b@x"), Err(InvalidAddress), "{bad:?}");
    }
    assert_eq!(check("", ""), Err(InvalidAddress));
}

#[test]
fn a_line_end_in_an_address_makes_no_line() {
    let envelope = Envelope {
        sender: "a\r\nX-MailRelay-End: 1".to_owned(),
        remote: vec!["b\r\nX-MailRelay-End: 1".to_owned()],
        ..Envelope::default()
    };
    let read = Envelope::parse(&envelope.to_bytes()).unwrap();
    assert_eq!(read.remote.len(), 1);
    assert_eq!(read.trailer, Vec::<Vec<u8>>::new());
    assert_eq!(read.check_addresses(), Err(InvalidAddress));
}

#[test]
fn reasons_are_one_printable_line() {
    let lines_of = |reason: &str, code, rejected| {
        failure_lines(&FailNote { reason: reason.to_owned(), code, rejected, ..FailNote::default() })
    };
    let line = |reason: &str| String::from_utf8(lines_of(reason, None, Vec::new()).remove(0)).unwrap();
    assert_eq!(line("one\ntwo\t\\\0\r\u{e9}~"), "X-MailRelay-Reason: one\\ntwo\\t\\\\\\0\\r\\xc3\\xa9~");
    assert!(line(&"x".repeat(1_000_000)).len() < 1100);
    let refusal = Rejected { address: "b@x".to_owned(), code: 550, text: "no".to_owned() };
    let lines = lines_of("r", Some(0), vec![refusal; 10_000]);
    assert_eq!(lines[1], b"X-MailRelay-ReasonCode:");
    assert_eq!(lines[2], b"X-MailRelay-RecipientReason: b@x 550 no");
    assert!(lines.iter().map(Vec::len).sum::<usize>() < 40_000);
}

#[test]
fn a_retry_keeps_what_permanent_failures_left() {
    let note = RetryNote { reason: "later".to_owned(), attempts: 2, ..RetryNote::default() };
    let failure =
        |reason: &str| failure_lines(&FailNote { reason: reason.to_owned(), ..FailNote::default() });
    let mut trailer: Vec<Vec<u8>> = failure("first");
    let kept = trailer.len();
    replace_retry_lines(&mut trailer, &note);
    let length = trailer.len();
    replace_retry_lines(&mut trailer, &note);
    assert_eq!(trailer.len(), length);
    trailer.extend(failure("second"));
    replace_retry_lines(&mut trailer, &note);
    assert_eq!(trailer.len(), length + 2);
    assert_eq!(trailer[0], b"X-MailRelay-Reason: first");
    assert_eq!(trailer[kept], b"X-MailRelay-Reason: second");
    let state = RetryState::of(&Envelope { trailer, ..Envelope::default() });
    assert_eq!((state.attempts, state.reason.as_deref()), (2, Some("later")));
}

#[test]
fn an_attempt_belongs_to_its_reason() {
    let attempt = |at| Some(Attempt { at, relay: "192.0.2.1:25".to_owned() });
    let state = |trailer: &Vec<Vec<u8>>| {
        RetryState::of(&Envelope { trailer: trailer.clone(), ..Envelope::default() })
    };
    let note = RetryNote { attempts: 2, give_up: Some(9000), attempt: attempt(1000), ..RetryNote::default() };
    let mut trailer = Vec::new();
    replace_retry_lines(&mut trailer, &note);
    let length = trailer.len();
    assert_eq!((state(&trailer).last_attempt, state(&trailer).give_up), (attempt(1000), Some(9000)));
    replace_retry_lines(&mut trailer, &RetryNote { attempt: attempt(2000), ..note.clone() });
    assert_eq!((state(&trailer).last_attempt, trailer.len()), (attempt(2000), length));
    // One that has reached nobody.
    trailer.extend(failure_lines(&FailNote::default()));
    assert_eq!((state(&trailer).last_attempt, state(&trailer).give_up), (None, None));
    trailer.extend(failure_lines(&FailNote { attempt: attempt(3000), ..FailNote::default() }));
    assert_eq!(state(&trailer).last_attempt, attempt(3000));
    // What is noted of a failure for good stays.
    let length = trailer.len() + length;
    replace_retry_lines(&mut trailer, &note);
    replace_retry_lines(&mut trailer, &note);
    assert!(trailer.contains(&b"X-MailRelay-LastAttempt: 3000 192.0.2.1:25".to_vec()));
    assert!(trailer.len() < length, "{trailer:?}");
}

/// A value as the reader gives it: no white space at its ends.
fn value() -> impl Strategy<Value = String> {
    "[ -~\u{e9}\u{4e00}]{0,40}".prop_map(|text| text.trim_matches([' ', '\t']).to_owned())
}

fn folded() -> impl Strategy<Value = String> {
    "([!-~][ -~\n]{0,40}[!-~])?"
}

fn envelopes() -> impl Strategy<Value = Envelope> {
    let body =
        prop_oneof![Just(Body::SevenBit), Just(Body::EightBit), Just(Body::BinaryMime), Just(Body::Unknown)];
    let recipients = || prop::collection::vec(value(), 0..4);
    let trailer = prop::collection::vec("[ -~\t]{0,30}", 0..4);
    let xtexts = prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..10));
    (body, value(), recipients(), recipients(), folded(), xtexts, value(), any::<bool>(), trailer).prop_map(
        |(body, text, local, remote, certificate, xtexts, address, utf8_mailboxes, trailer)| {
            let [mail_auth_in, mail_auth_out, forward_to] = xtexts.map(|bytes| xtext::encode(&bytes));
            Envelope {
                body,
                sender: text.clone(),
                local,
                remote,
                authentication: text.clone(),
                client: text.clone(),
                client_certificate: certificate,
                mail_auth_in,
                mail_auth_out,
                forward_to,
                forward_to_address: address,
                client_account_selector: text,
                utf8_mailboxes,
                trailer: trailer.into_iter().map(|line| line.trim_ascii_end().as_bytes().to_vec()).collect(),
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(envelope in envelopes()) {
        prop_assert_eq!(Envelope::parse(&envelope.to_bytes()), Ok(envelope.clone()));
        let lf: Vec<u8> = envelope.to_bytes().into_iter().filter(|byte| *byte != b'\r').collect();
        prop_assert_eq!(Envelope::parse(&lf), Ok(envelope));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Envelope::parse(&bytes);
    }

    #[test]
    fn any_text_made_of_our_lines_is_stable_when_rewritten(
        lines in prop::collection::vec(
            prop_oneof![
                "X-MailRelay-(Format: #2821.8|From: |ToCount: [01]|To-Remote: .|End: 1|Reason: x|X: y)",
                "[ -~\r\t]{0,20}",
            ],
            0..10,
        ),
    ) {
        if let Ok(envelope) = parse(&lines.join("\n")) {
            prop_assert_eq!(Envelope::parse(&envelope.to_bytes()), Ok(envelope.clone()));
            let _ = RetryState::of(&envelope);
        }
    }

    #[test]
    fn xtext_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(xtext::decode(&xtext::encode(&bytes)), bytes);
    }
}
