//! Exit codes and texts against the tables of the specification.

use super::*;

fn failure() -> Failure {
    Failure::rejected("no", "why")
}

#[test]
fn every_exit_code_means_what_it_meant() {
    for number in 0..=4_294_966_u32 {
        // Every code that a program can have, and the two ends of what `exit:` takes.
        if number > 255 && number != 4_294_966 {
            continue;
        }
        for position in [Position::Server, Position::Client, Position::Routing] {
            let outcome = code::outcome(number, position, failure);
            let (verdict, flag) = match (number, position) {
                (0 | 101, _) => (Verdict::Ok, false),
                (100, _) => (Verdict::Abandon, false),
                (102, Position::Server) => (Verdict::Abandon, true),
                (102, _) => (Verdict::Ok, true),
                (103, Position::Server) => (Verdict::Ok, true),
                (103, _) => (Verdict::Ok, false),
                (104, Position::Server) => (Verdict::Fail(failure()), true),
                (104, _) => (Verdict::Abandon, true),
                (105, Position::Client | Position::Routing) => (Verdict::Fail(failure()), true),
                _ => (Verdict::Fail(failure()), false),
            };
            assert_eq!((&outcome.verdict, outcome.flag), (&verdict, flag), "{number} {position:?}");
        }
    }
}

#[test]
fn texts_are_found_in_the_output() {
    let long = format!("<<{}>>", "é".repeat(300));
    let cut = "é".repeat(200);
    for (output, code, response, reason) in [
        ("<<550 go away>>\n<<second>>\n", Some(550), "go away", "second"),
        ("[[450  later]]", Some(450), " later", " later"),
        ("<<554>>", Some(554), "rejected", "rejected"),
        ("<<650 x>>", None, "650 x", "650 x"),
        ("<<5500 x>>", None, "5500 x", "5500 x"),
        ("<<250 ok>>", None, "250 ok", "250 ok"),
        ("<< 550 x>>", None, " 550 x", " 550 x"),
        ("<<550\tx>>", None, "550\tx", "550\tx"),
        ("<<>>\n<<why>>", None, "rejected", "why"),
        ("<<a>>b>>", None, "a", "a"),
        ("x <<a>>\n <<b>>\n<<c]]\n[[d>>\n", None, "rejected", "rejected"),
        ("noise\r\n\r\n<<a>>\r<<b>>\r\n", None, "a", "b"),
        ("<<a>>\n<<>>\n", None, "a", "a"),
        ("", None, "rejected", "rejected"),
        (&long, None, &cut, &cut),
    ] {
        let failure = text::from_program(output.as_bytes());
        let found = (failure.code, failure.response.as_str(), failure.reason.as_str());
        assert_eq!(found, (code, response, reason), "{output}");
    }
    assert_eq!(text::from_program(b"<<a\xffb>>").response, "a?b");
}
