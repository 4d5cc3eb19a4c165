//! What holds for any input, however it is cut.

use proptest::prelude::*;

use super::super::*;
use super::driver::{Driver, Effect};

/// Lines of dialogues, good and bad.
fn script() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("USER alice\r\n".to_owned()),
        Just("PASS secret 1\r\n".to_owned()),
        Just("PASS wrong\r\n".to_owned()),
        Just("AUTH PLAIN\r\n".to_owned()),
        Just("AUTH LOGIN YWxpY2U=\r\n".to_owned()),
        Just("c2VjcmV0IDE=\r\n".to_owned()),
        Just("AGFsaWNlAHNlY3JldCAx\r\n".to_owned()),
        Just("APOP alice good\r\n".to_owned()),
        Just("CAPA\r\nSTAT\r\nLIST\r\nUIDL\r\n".to_owned()),
        Just("RETR 1\r\nTOP 2 1\r\nDELE 1\r\n".to_owned()),
        Just("RSET\r\nNOOP\r\n".to_owned()),
        Just("*\r\n".to_owned()),
        Just("QUIT\r\n".to_owned()),
        "[A-Z]{0,4} ?[0-9]{0,2}\r\n",
        "[a-z \r\n]{0,12}",
        "x{200,600}\r\n",
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat().into_bytes())
}

fn run(pieces: &[&[u8]], block: usize) -> (Vec<u8>, Vec<Effect>) {
    let mut driver = Driver::new();
    driver.block = block;
    driver.connected();
    pieces.iter().for_each(|piece| driver.feed(piece));
    (driver.sent, driver.effects.into_iter().filter(|effect| *effect != Effect::CloseContent).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same(script in script(), cuts in proptest::collection::vec(1_usize..20, 0..40), block in 1_usize..9) {
        let whole = run(&[&script], BLOCK);
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut rest = &script[..];
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(run(&pieces, block), whole);
    }

    #[test]
    fn no_bytes_upset_a_session(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let (sent, effects) = run(&pieces, BLOCK);
        prop_assert!(sent.ends_with(b"\r\n"));
        prop_assert!(effects.len() <= 2);
    }

    #[test]
    fn only_quit_deletes(script in script()) {
        let (_, effects) = run(&[&script], BLOCK);
        let deletes = effects.iter().filter(|effect| matches!(effect, Effect::Deleted(_))).count();
        let quits = script.windows(6).any(|word| word == b"QUIT\r\n");
        prop_assert!(deletes == 0 || (deletes == 1 && quits));
    }
}
