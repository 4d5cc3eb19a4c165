//! The tables of E-MailRelay 2.6's outcomes, row by row, beside what we make of them.

use super::*;
use crate::smtp::client::LocalRefusal;

const NOW: Policy = Policy { compat26: false, in_doubt: InDoubt::Retry };
const OLD: Policy = Policy { compat26: true, in_doubt: InDoubt::Retry };

fn reply(code: u16, text: &str) -> Reply {
    Reply { code, text: text.to_owned() }
}

/// A result with one recipient for each code; 250 is acceptance, 0 is not tried.
fn result(outcome: Outcome, codes: &[u16], reset_code: Option<u16>) -> MessageResult {
    let recipients = codes.iter().enumerate().map(|(at, &code)| Recipient {
        address: format!("r{at}@to.net"),
        result: match code {
            0 => RecipientResult::NotTried,
            250 => RecipientResult::Accepted,
            code => RecipientResult::Refused(reply(code, "no")),
        },
    });
    MessageResult { recipients: recipients.collect(), outcome, reset_code }
}

/// Kind, code and reason on one line.
fn brief(disposition: &Disposition) -> String {
    let line = |kind: &str, failure: &Failure| {
        let code = failure.code.map_or("-".to_owned(), |code| code.to_string());
        let doubt = if failure.in_doubt { " in doubt" } else { "" };
        format!("{kind}{doubt} {code} {}", failure.reason)
    };
    match disposition {
        Disposition::Sent => "sent".to_owned(),
        Disposition::SentSome { retry: true, failure, .. } => line("some+retry", failure),
        Disposition::SentSome { retry: false, failure, .. } => line("some+bad", failure),
        Disposition::Permanent(failure) => line("bad", failure),
        Disposition::Temporary(failure) => line("retry", failure),
        Disposition::SessionFault { text } => format!("session {text}"),
    }
}

#[test]
fn replies_about_the_message() {
    let rows: &[(Outcome, &str, &str)] = &[
        (Outcome::Sent(reply(250, "ok")), "sent", "sent"),
        (Outcome::Sent(reply(299, "")), "sent", "sent"),
        (Outcome::MailRefused(reply(550, "no")), "bad 550 no", "bad 550 no"),
        (
            Outcome::MailRefused(reply(451, "later\nplease")),
            "retry 451 later\nplease",
            "bad 451 later\nplease",
        ),
        (Outcome::MailRefused(reply(500, "")), "bad 500 error", "bad 500 error"),
        (Outcome::DataRefused(reply(554, "no")), "bad 554 no", "bad - smtp error: unexpected response: no"),
        (
            Outcome::DataRefused(reply(451, "later")),
            "retry 451 later",
            "bad - smtp error: unexpected response: later",
        ),
        (Outcome::ContentRefused(reply(552, "too big")), "bad 552 too big", "bad 552 too big"),
        (Outcome::ContentRefused(reply(452, "full")), "retry 452 full", "bad 452 full"),
        (Outcome::ContentRefused(reply(421, "bye")), "retry 421 bye", "bad 421 bye"),
        (Outcome::ContentRefused(reply(354, "what")), "retry 354 what", "bad 354 what"),
    ];
    for (outcome, now, old) in rows {
        let result = result(outcome.clone(), &[250, 250], None);
        assert_eq!(brief(&of_message(result.clone(), NOW)), *now, "{outcome:?}");
        assert_eq!(brief(&of_message(result, OLD)), *old, "{outcome:?} with 2.6");
    }
}

#[test]
fn local_refusals_are_permanent() {
    let rows = [
        (LocalRefusal::EightBit, "bad - cannot send 8-bit message to 7-bit server"),
        (LocalRefusal::BinaryMime, "bad - cannot send binarymime message to a non-chunking server"),
        (LocalRefusal::Utf8, "bad - cannot send utf8 message to non-smtputf8 server"),
        (LocalRefusal::Size, "bad 552 message size exceeds fixed maximum message size"),
        (LocalRefusal::Address, "bad - invalid address in envelope"),
        (LocalRefusal::NoRecipients, "bad - no remote recipients"),
    ];
    for (refusal, expected) in rows {
        let result = result(Outcome::Local(refusal), &[0, 0], None);
        assert_eq!(brief(&of_message(result.clone(), NOW)), expected);
        assert_eq!(brief(&of_message(result, OLD)), expected);
    }
}

#[test]
fn refused_recipients() {
    const SOME: &str = "one or more recipients rejected";
    const ALL: &str = "all recipients rejected";
    let sent = || Outcome::Sent(reply(250, "ok"));
    let rows: &[(Outcome, &[u16], &str, String)] = &[
        (Outcome::SomeRefused, &[550, 250], "bad 550", format!("bad 250 {SOME}")),
        (Outcome::SomeRefused, &[250, 450], "retry 450", format!("bad 250 {SOME}")),
        (Outcome::SomeRefused, &[450, 550, 250], "bad 550", format!("bad 250 {SOME}")),
        (Outcome::SomeRefused, &[450, 452], "retry 450", format!("bad 250 {SOME}")),
        (Outcome::AllRefused, &[550, 551], "bad 550", format!("bad 250 {ALL}")),
        (Outcome::AllRefused, &[550, 450], "retry 450", format!("bad 250 {ALL}")),
        (sent(), &[250, 550], "some+bad 550", format!("some+bad - {SOME}")),
        (sent(), &[450, 250], "some+retry 450", format!("some+bad - {SOME}")),
        (sent(), &[550, 450, 250], "some+retry 450", format!("some+bad - {SOME}")),
        (Outcome::ContentRefused(reply(552, "big")), &[450, 250], "bad 552 big", "bad 552 big".to_owned()),
        (
            Outcome::ContentRefused(reply(452, "full")),
            &[550, 250],
            "retry 452 full",
            "bad 452 full".to_owned(),
        ),
    ];
    for (outcome, codes, now, old) in rows {
        let text = if *outcome == Outcome::AllRefused { ALL } else { SOME };
        let reason =
            if matches!(outcome, Outcome::ContentRefused(_)) { String::new() } else { format!(" {text}") };
        let result = result(outcome.clone(), codes, Some(250));
        assert_eq!(brief(&of_message(result.clone(), NOW)), format!("{now}{reason}"), "{codes:?}");
        assert_eq!(brief(&of_message(result, OLD)), *old, "{codes:?} with 2.6");
    }
}

#[test]
fn each_refusal_is_recorded_with_its_reply() {
    for policy in [NOW, OLD] {
        let judged = of_message(result(Outcome::SomeRefused, &[250, 550, 450], Some(250)), policy);
        let Disposition::Permanent(failure) = judged else { panic!("{judged:?}") };
        let recorded: Vec<_> = failure
            .rejected
            .iter()
            .map(|r| (r.address.as_str(), r.reply.code, r.reply.text.as_str()))
            .collect();
        assert_eq!(recorded, [("r1@to.net", 550, "no"), ("r2@to.net", 450, "no")]);
    }
}

#[test]
fn only_served_recipients_leave_the_envelope() {
    for policy in [NOW, OLD] {
        let outcome = Outcome::Sent(reply(250, "ok"));
        let judged = of_message(result(outcome, &[250, 550, 250, 450], None), policy);
        let Disposition::SentSome { remaining, .. } = judged else { panic!("{judged:?}") };
        assert_eq!(remaining, ["r1@to.net", "r3@to.net"]);
        // No other disposition takes anybody out of the envelope: nobody was served.
        for outcome in [
            Outcome::SomeRefused,
            Outcome::AllRefused,
            Outcome::DataRefused(reply(550, "")),
            Outcome::ContentRefused(reply(550, "")),
        ] {
            let judged = of_message(result(outcome, &[250, 550], Some(250)), policy);
            assert!(matches!(judged, Disposition::Permanent(_)), "{judged:?}");
        }
    }
}

#[test]
fn faults() {
    use FaultKind::{
        Disconnected, FlowControlTimeout, InvalidResponse, Overflow, ResponseTimeout, UnexpectedResponse,
    };
    let unexpected = |code| UnexpectedResponse(reply(code, "go away"));
    let reset = || Disconnected(Some("connection reset by peer".to_owned()));
    let rows = [
        (
            unexpected(554),
            Stage::Greeting,
            "session smtp error: unexpected response: 554 go away",
            "bad - smtp error: unexpected response: go away",
        ),
        (
            unexpected(504),
            Stage::Hello,
            "session smtp error: unexpected response: 504 go away",
            "bad - smtp error: unexpected response: go away",
        ),
        (Disconnected(None), Stage::Greeting, "session peer disconnected", "bad - peer disconnected"),
        (
            ResponseTimeout(60),
            Stage::Hello,
            "session smtp error: response timeout after 60s",
            "bad - smtp error: response timeout after 60s",
        ),
        (Disconnected(None), Stage::Idle, "session peer disconnected", "session peer disconnected"),
        (
            unexpected(421),
            Stage::Mail,
            "retry 421 smtp error: unexpected response: 421 go away",
            "bad 421 go away",
        ),
        (
            unexpected(421),
            Stage::Recipients,
            "retry 421 smtp error: unexpected response: 421 go away",
            "bad - one or more recipients rejected",
        ),
        (
            unexpected(421),
            Stage::Data,
            "retry 421 smtp error: unexpected response: 421 go away",
            "bad - smtp error: unexpected response: go away",
        ),
        (
            unexpected(421),
            Stage::Content,
            "retry 421 smtp error: unexpected response: 421 go away",
            "bad - smtp error: unexpected response: go away",
        ),
        (
            unexpected(251),
            Stage::Mail,
            "retry 251 smtp error: unexpected response: 251 go away",
            "bad - smtp error: unexpected response",
        ),
        (
            unexpected(354),
            Stage::Mail,
            "retry 354 smtp error: unexpected response: 354 go away",
            "bad - smtp error: unexpected response: go away",
        ),
        (
            InvalidResponse,
            Stage::Recipients,
            "retry - smtp error: invalid response",
            "bad - smtp error: invalid response",
        ),
        (
            Overflow,
            Stage::Mail,
            "retry - smtp error: overflow on input",
            "bad - smtp error: overflow on input",
        ),
        (
            ResponseTimeout(60),
            Stage::Data,
            "retry - smtp error: response timeout after 60s",
            "bad - smtp error: response timeout after 60s",
        ),
        (
            FlowControlTimeout(60),
            Stage::Content,
            "retry - smtp error: flow-control timeout after 60s",
            "bad - smtp error: flow-control timeout after 60s",
        ),
        (
            reset(),
            Stage::Content,
            "retry - peer disconnected: connection reset by peer",
            "bad - peer disconnected: connection reset by peer",
        ),
        (
            reset(),
            Stage::FinalReply,
            "retry in doubt - peer disconnected: connection reset by peer",
            "bad in doubt - peer disconnected: connection reset by peer",
        ),
        (
            ResponseTimeout(600),
            Stage::FinalReply,
            "retry in doubt - smtp error: response timeout after 600s",
            "bad in doubt - smtp error: response timeout after 600s",
        ),
        (
            InvalidResponse,
            Stage::FinalReply,
            "retry in doubt - smtp error: invalid response",
            "bad in doubt - smtp error: invalid response",
        ),
    ];
    for (kind, stage, now, old) in rows {
        let fault = Fault { kind, stage };
        assert_eq!(brief(&of_fault(&fault, NOW)), now, "{fault:?}");
        assert_eq!(brief(&of_fault(&fault, OLD)), old, "{fault:?} with 2.6");
    }
}

#[test]
fn in_doubt_may_be_final_by_choice() {
    let policy = Policy { compat26: false, in_doubt: InDoubt::Fail };
    let fault = |stage| Fault { kind: FaultKind::Disconnected(None), stage };
    assert_eq!(brief(&of_fault(&fault(Stage::FinalReply), policy)), "bad in doubt - peer disconnected");
    assert_eq!(brief(&of_fault(&fault(Stage::Content), policy)), "retry - peer disconnected");
}

#[test]
fn the_refused_fail_whatever_becomes_of_the_others() {
    let failure = |outcome, codes: &[u16]| match of_message(result(outcome, codes, None), NOW) {
        Disposition::SentSome { failure, .. }
        | Disposition::Temporary(failure)
        | Disposition::Permanent(failure) => failure,
        other => panic!("{other:?}"),
    };
    let refused = |outcome, codes: &[u16]| {
        let refused = failure(outcome, codes).refused()?;
        let addresses = refused.rejected.into_iter().map(|rejection| rejection.address);
        Some((refused.code, refused.reason, addresses.collect::<Vec<_>>().join(" ")))
    };
    let some = |code, addresses: &str| Some((Some(code), ALL_REJECTED.to_owned(), addresses.to_owned()));
    assert_eq!(refused(Outcome::Sent(reply(250, "ok")), &[550, 450, 250]), some(550, "r0@to.net"));
    assert_eq!(refused(Outcome::AllRefused, &[450, 551, 550]), some(551, "r1@to.net r2@to.net"));
    assert_eq!(refused(Outcome::DataRefused(reply(451, "later")), &[250, 550]), some(550, "r1@to.net"));
    assert_eq!(refused(Outcome::Sent(reply(250, "ok")), &[450, 250]), None);
}
