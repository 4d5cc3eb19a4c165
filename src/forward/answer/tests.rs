//! Every row of the table, and what E-MailRelay 2.6 says in its place.

use super::*;

const NOW: Policy = Policy { compat26: false, in_doubt: InDoubt::Retry };
const OLD: Policy = Policy { compat26: true, in_doubt: InDoubt::Retry };
const ONCE: Policy = Policy { compat26: false, in_doubt: InDoubt::Fail };

fn reply(code: u16, text: &str) -> Reply {
    Reply { code, text: text.to_owned() }
}

/// A result with one recipient for each code, its text the code in words; 250 is acceptance.
fn result(outcome: Outcome, codes: &[u16]) -> MessageResult {
    let recipients = codes.iter().enumerate().map(|(at, &code)| Recipient {
        address: format!("r{at}@to.net"),
        result: match code {
            250 => RecipientResult::Accepted,
            code => RecipientResult::Refused(reply(code, &format!("no r{at}"))),
        },
    });
    MessageResult { recipients: recipients.collect(), outcome, reset_code: Some(250) }
}

fn brief(answer: &Answer) -> String {
    match answer {
        Answer::Accepted => "accepted".to_owned(),
        Answer::Refused { code, text } => format!("{code} {text}"),
    }
}

#[test]
fn decisions_about_messages() {
    let rows: &[(Outcome, &[u16], &str, &str)] = &[
        (Outcome::Sent(reply(250, "ok")), &[250], "accepted", "accepted"),
        (Outcome::Sent(reply(250, "ok")), &[250, 550], "accepted", "452 one or more recipients rejected"),
        (Outcome::MailRefused(reply(554, "5.7.1 not you")), &[], "554 5.7.1 not you", "554 5.7.1 not you"),
        (Outcome::MailRefused(reply(451, "later\nplease")), &[], "451 later please", "451 later please"),
        (Outcome::DataRefused(reply(554, "no")), &[250], "554 no", "452 forwarding failed"),
        (
            Outcome::ContentRefused(reply(554, "5.6.0 rejected")),
            &[250],
            "554 5.6.0 rejected",
            "554 5.6.0 rejected",
        ),
        (Outcome::ContentRefused(reply(550, "")), &[250], "550 error", "550 error"),
        // What makes no sense is temporary.
        (Outcome::ContentRefused(reply(354, "go on")), &[250], "452 go on", "452 go on"),
        (Outcome::SomeRefused, &[250, 553], "550 no r1", "452 one or more recipients rejected"),
        (Outcome::SomeRefused, &[550, 554], "550 no r0", "452 one or more recipients rejected"),
        (Outcome::SomeRefused, &[550, 450, 452], "451 no r1", "452 one or more recipients rejected"),
        (Outcome::SomeRefused, &[], "452 forwarding failed", "452 one or more recipients rejected"),
        (Outcome::AllRefused, &[450], "451 no r0", "452 all recipients rejected"),
        (Outcome::AllRefused, &[550], "550 no r0", "452 all recipients rejected"),
        (
            Outcome::Local(LocalRefusal::Size),
            &[],
            "552 message size exceeds fixed maximum message size",
            "452 failed",
        ),
        (
            Outcome::Local(LocalRefusal::EightBit),
            &[],
            "554 cannot send 8-bit message to 7-bit server",
            "452 failed",
        ),
    ];
    for (outcome, codes, now, old) in rows {
        let result = result(outcome.clone(), codes);
        assert_eq!(brief(&of_message(&result, NOW)), *now, "{outcome:?} {codes:?}");
        assert_eq!(brief(&of_message(&result, OLD)), *old, "{outcome:?} {codes:?}");
    }
}

#[test]
fn ends_of_sessions() {
    let busy = || FaultKind::UnexpectedResponse(reply(421, "busy"));
    let failed = "452 forwarding failed";
    let rows = [
        (busy(), Stage::Greeting, failed, failed),
        (busy(), Stage::Hello, failed, failed),
        (busy(), Stage::Mail, "421 busy", "421 busy"),
        (busy(), Stage::Recipients, "451 busy", "452 one or more recipients rejected"),
        (busy(), Stage::Data, "421 busy", failed),
        (busy(), Stage::Content, "421 busy", "421 busy"),
        (busy(), Stage::FinalReply, "421 busy", "421 busy"),
        (FaultKind::UnexpectedResponse(reply(554, "go away")), Stage::Greeting, failed, failed),
        (FaultKind::UnexpectedResponse(reply(250, "what")), Stage::Data, failed, failed),
        (FaultKind::InvalidResponse, Stage::Mail, failed, failed),
        (FaultKind::ResponseTimeout(60), Stage::FinalReply, failed, failed),
        (FaultKind::Disconnected(None), Stage::Content, failed, failed),
        (FaultKind::TlsNotOffered, Stage::Hello, failed, failed),
    ];
    for (kind, stage, now, old) in rows {
        let fault = Fault { kind, stage };
        assert_eq!(brief(&of_fault(&fault, NOW)), now, "{fault:?}");
        assert_eq!(brief(&of_fault(&fault, OLD)), old, "{fault:?}");
    }
}

#[test]
fn who_wants_no_doubles_tells_the_client_not_to_try_again() {
    let lost = |stage| Fault { kind: FaultKind::Disconnected(None), stage };
    let text = "554 forwarding failed: the message may have been delivered";
    assert_eq!(brief(&of_fault(&lost(Stage::FinalReply), ONCE)), text);
    assert_eq!(brief(&of_fault(&lost(Stage::Content), ONCE)), "452 forwarding failed");
}

#[test]
fn texts_are_one_line_of_bounded_length() {
    let Answer::Refused { code, text } = Answer::refused(250, &format!("a\r\nb{}", "ü".repeat(MAX_TEXT)))
    else {
        panic!("accepted");
    };
    assert_eq!(code, 452);
    assert!(text.starts_with("a  bü") && text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 2);
}
