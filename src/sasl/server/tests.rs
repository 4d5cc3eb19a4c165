//! The server's side against known answers, against our own client, and against anything at all.

use super::*;
use crate::sasl::client::{self, Credentials, Proof};
use crate::sasl::encoding::{base64, from_base64, hex};
use crate::sasl::scram::{ITERATIONS, ScramKeys};
use crate::sasl::{Function, Hash, HmacKey, Mechanism, PasswordHash, Secret};

/// The password is `password`.
const ERIK: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

/// One account for each kind of entry.
struct Table {
    plain: Vec<(&'static str, Secret)>,
    keys: Vec<(&'static str, HmacKey)>,
    scram: Vec<(&'static str, ScramKeys)>,
    hashes: Vec<(&'static str, PasswordHash)>,
    pepper: Secret,
}

impl Table {
    fn new() -> Self {
        let pass = |text| Secret::from(text);
        Self {
            plain: vec![
                ("alice", pass("pass1")),
                ("a b,=", pass("p q")),
                ("empty", pass("")),
                ("j\u{f6}rg", pass("caf\u{e9}")),
            ],
            keys: vec![("carl", HmacKey::new(Hash::Md5, &pass("pass3")))],
            scram: vec![("dora", ScramKeys::new(&pass("pass4"), b"salt", ITERATIONS))],
            hashes: vec![("erik", PasswordHash::parse(Function::Argon2id, ERIK).unwrap())],
            pepper: pass("pepper"),
        }
    }
}

fn find<'a, T>(list: &'a [(&str, T)], user: &[u8]) -> Option<Found<&'a T>> {
    let at = list.iter().position(|(name, _)| name.as_bytes() == user)?;
    Some(Found { value: &list[at].1, line: at as u32 + 1 })
}

impl Accounts for Table {
    fn password(&self, user: &[u8]) -> Option<Found<&Secret>> {
        find(&self.plain, user)
    }
    fn key(&self, hash: Hash, user: &[u8]) -> Option<Found<&HmacKey>> {
        find(&self.keys, user).filter(|found| found.value.hash() == hash)
    }
    fn scram(&self, user: &[u8]) -> Option<Found<&ScramKeys>> {
        find(&self.scram, user)
    }
    fn hash(&self, user: &[u8]) -> Option<Found<&PasswordHash>> {
        find(&self.hashes, user)
    }
    fn pretend(&self, _: &Secret) {}
    fn pepper(&self) -> &Secret {
        &self.pepper
    }
}

fn fresh() -> Fresh {
    let mut random = [7; 18];
    random[..8].copy_from_slice(&13328_u64.to_be_bytes());
    Fresh { random, time: 1_795_170_795, domain: "test.example.com".to_owned() }
}

fn start(mechanism: Mechanism) -> Exchange {
    Exchange::new(mechanism, &fresh(), Binding::default())
}

fn challenge(step: Step) -> String {
    match step {
        Step::Challenge(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn outcome(table: &Table, step: Step) -> Outcome {
    match step {
        Step::Password { user, password } => check_password(table, &user, &password),
        Step::Done(outcome) => outcome,
        other @ Step::Challenge(_) => panic!("{other:?}"),
    }
}

#[test]
fn plain_takes_the_name_with_or_without_an_authorisation_identity() {
    let table = Table::new();
    for (response, accepted, used) in [
        ("\0alice\0pass1", true, true),
        ("boss\0alice\0pass1", true, true),
        ("\0alice\0pass1\0", false, true),
        ("\0alice\0Pass1", false, true),
        ("\0alice\0", false, true),
        ("\0nobody\0pass1", false, false),
        ("\0nobody\0pepper", false, false),
        ("\0empty\0", false, true),
        ("\0carl\0pass3", false, false),
        ("\0dora\0pass4", true, true),
        ("\0dora\0pass5", false, true),
    ] {
        let got = outcome(&table, start(Mechanism::Plain).begin(&table, Some(response.as_bytes())));
        assert_eq!((got.accepted, got.used.is_some()), (accepted, used), "{response:?}");
        assert!(got.user.is_some());
    }
    for response in ["", "\0", "\0\0", "\0\0pass1", "alice pass1"] {
        let step = start(Mechanism::Plain).begin(&table, Some(response.as_bytes()));
        assert_eq!(step, Step::Done(Outcome::default()), "{response:?}");
    }
    let step = start(Mechanism::Plain).begin(&table, Some(b"\0alice"));
    assert_eq!(outcome(&table, step), Outcome { user: Some(b"alice".to_vec()), ..Outcome::default() });
    let mut exchange = start(Mechanism::Plain);
    assert_eq!(challenge(exchange.begin(&table, None)), "");
    assert!(outcome(&table, exchange.respond(&table, b"\0alice\0pass1")).accepted);
}

#[test]
fn login_asks_for_name_and_password() {
    let table = Table::new();
    let mut exchange = start(Mechanism::Login);
    assert_eq!(challenge(exchange.begin(&table, None)), "Username:");
    assert_eq!(challenge(exchange.respond(&table, b"alice")), "Password:");
    assert!(outcome(&table, exchange.respond(&table, b"pass1")).accepted);
    let mut exchange = start(Mechanism::Login);
    assert_eq!(challenge(exchange.begin(&table, Some(b"alice"))), "Password:");
    assert!(!outcome(&table, exchange.respond(&table, b"pass2")).accepted);
    let mut exchange = start(Mechanism::Login);
    assert_eq!(challenge(exchange.begin(&table, Some(b""))), "");
    assert_eq!(exchange.respond(&table, b"pass1"), Step::Done(Outcome::default()));
}

#[test]
fn cram_is_the_dialogue_that_was_seen() {
    let table = Table::new();
    let mut exchange = start(Mechanism::Cram(Hash::Md5));
    assert_eq!(
        base64(challenge(exchange.begin(&table, None)).as_bytes()),
        "PDEzMzI4LjE3OTUxNzA3OTVAdGVzdC5leGFtcGxlLmNvbT4="
    );
    let response = from_base64(b"YWxpY2UgNTg1OTU5Zjc2MmE1NzZmZTA1Yzg3YThlNjA5MzYxYmM=").unwrap();
    let got = outcome(&table, exchange.respond(&table, &response));
    assert!(got.accepted);
    assert_eq!(got.used, Some(Used { kind: "plaintext", line: Some(1) }));
    // The same answer a second time is an answer to nothing.
    assert_eq!(exchange.respond(&table, &response), Step::Done(Outcome::default()));
}

#[test]
fn cram_prefers_the_masked_line_and_needs_the_right_function() {
    let table = Table::new();
    let answer = |hash: Hash, user: &str, password: &str| {
        let mut exchange = start(Mechanism::Cram(hash));
        let words = challenge(exchange.begin(&table, None));
        let code = HmacKey::new(hash, &Secret::from(password)).code(words.as_bytes());
        outcome(&table, exchange.respond(&table, format!("{user} {}", hex(&code)).as_bytes()))
    };
    let got = answer(Hash::Md5, "carl", "pass3");
    assert_eq!((got.accepted, got.used), (true, Some(Used { kind: "md5", line: Some(1) })));
    assert_eq!(answer(Hash::Sha1, "carl", "pass3").used, None);
    assert!(answer(Hash::Sha512, "a b,=", "p q").accepted, "names may contain blanks");
    assert!(!answer(Hash::Sha256, "alice", "pass2").accepted);
    assert!(!answer(Hash::Sha256, "nobody", "pepper").accepted);
    for response in ["", "alice", " 585959f762a576fe05c87a8e609361bc"] {
        let mut exchange = start(Mechanism::Cram(Hash::Md5));
        exchange.begin(&table, None);
        assert_eq!(exchange.respond(&table, response.as_bytes()), Step::Done(Outcome::default()));
    }
}

/// RFC 1939 §7.
#[test]
fn apop_is_the_example_of_the_standard() {
    let table = Table { plain: vec![("mrose", Secret::from("tanstaaf"))], ..Table::new() };
    let judge = |user: &str, digest: &str| {
        let words = "<1896.697170952@dbc.mtview.ca.us>";
        check_apop(&table, words, user.as_bytes(), digest.as_bytes())
    };
    assert!(judge("mrose", "c4c9334bac560ecc979e58001b3e22fb").accepted);
    assert!(!judge("mrose", "c4c9334bac560ecc979e58001b3e22fa").accepted);
    assert_eq!(judge("carl", "c4c9334bac560ecc979e58001b3e22fb").used, None);
}

/// Runs our own client against our own server.
fn login(table: &Table, mechanism: Mechanism, user: &str, password: &str, binding: &Binding) -> Outcome {
    let account = Credentials { user: user.to_owned(), proof: Proof::Password(Secret::from(password)) };
    let exporter = binding.exporter.as_deref();
    let mut client =
        client::Exchange::new(mechanism, &account, "fyko+d2lbbFgONRv9qkxdawL", exporter).unwrap();
    let mut server = Exchange::new(mechanism, &fresh(), binding.clone());
    let initial = client.initial();
    let mut step = server.begin(table, initial.as_ref().map(Secret::expose));
    loop {
        match step {
            Step::Challenge(words) => match client.respond(&words) {
                Ok(answer) => step = server.respond(table, answer.expose()),
                Err(client::Refused) => return Outcome::default(),
            },
            done => {
                let outcome = outcome(table, done);
                assert!(!outcome.accepted || client.is_satisfied());
                return outcome;
            }
        }
    }
}

#[test]
fn our_own_client_logs_in_by_every_mechanism() {
    let table = Table::new();
    let binding = Binding { exporter: Some(vec![9; 32]), offered: true };
    let kinds = Kinds { plain: true, ..Kinds::default() };
    for mechanism in offered(&kinds, true).into_iter().filter(|m| *m != Mechanism::Apop) {
        // A client that could bind would not use the form without; ours says that it cannot.
        for (user, password) in [("alice", "pass1"), ("a b,=", "p q")] {
            let got = login(&table, mechanism, user, password, &binding);
            assert!(got.accepted, "{mechanism} {user}");
        }
        assert!(!login(&table, mechanism, "alice", "pass2", &binding).accepted, "{mechanism}");
        assert!(!login(&table, mechanism, "nobody", "pepper", &binding).accepted, "{mechanism}");
    }
    assert!(login(&table, Mechanism::ScramSha256, "dora", "pass4", &Binding::default()).accepted);
}

#[test]
fn scram_notices_what_was_changed_on_the_way() {
    let table = Table::new();
    let begin = |plus: bool, binding: Binding, first: &str| {
        let mechanism = if plus { Mechanism::ScramSha256Plus } else { Mechanism::ScramSha256 };
        Exchange::new(mechanism, &fresh(), binding).begin(&table, Some(first.as_bytes()))
    };
    let bound = Binding { exporter: Some(vec![9; 32]), offered: true };
    let goes_on = |step: Step| matches!(step, Step::Challenge(_));
    assert!(goes_on(begin(false, Binding::default(), "n,,n=alice,r=x")));
    assert!(goes_on(begin(false, Binding::default(), "y,a=boss,n=alice,r=x")));
    assert!(goes_on(begin(true, bound.clone(), "p=tls-exporter,,n=alice,r=x")));
    assert!(!goes_on(begin(false, bound.clone(), "y,,n=alice,r=x")), "a hidden offer");
    assert!(!goes_on(begin(true, bound.clone(), "n,,n=alice,r=x")));
    assert!(!goes_on(begin(true, bound.clone(), "p=tls-unique,,n=alice,r=x")));
    assert!(!goes_on(begin(false, bound.clone(), "p=tls-exporter,,n=alice,r=x")));
    for bad in
        ["", "n", "n,", "n,,", "n,,n=alice", "n,,n=,r=x", "n,,n=alice,r=", "n,b,n=alice,r=x", "n,,m=,n=a,r=x"]
    {
        assert!(!goes_on(begin(false, Binding::default(), bad)), "{bad}");
    }
    // Two ends of two different sessions.
    let other = Binding { exporter: Some(vec![8; 32]), offered: true };
    let account = Credentials { user: "alice".to_owned(), proof: Proof::Password(Secret::from("pass1")) };
    let mut client =
        client::Exchange::new(Mechanism::ScramSha256Plus, &account, "x", other.exporter.as_deref()).unwrap();
    let mut server = Exchange::new(Mechanism::ScramSha256Plus, &fresh(), bound);
    let first = client.initial().unwrap();
    let words = challenge(server.begin(&table, Some(first.expose())));
    let answer = client.respond(words.as_bytes()).unwrap();
    assert!(!outcome(&table, server.respond(&table, answer.expose())).accepted);
}

#[test]
fn an_unknown_user_has_the_same_salt_each_time() {
    let table = Table::new();
    let first = || challenge(start(Mechanism::ScramSha256).begin(&table, Some(b"n,,n=nobody,r=x")));
    assert_eq!(first(), first());
}

#[test]
fn what_is_offered_follows_from_the_entries() {
    let names = |kinds: Kinds, binding| {
        offered(&kinds, binding).into_iter().map(Mechanism::name).collect::<Vec<_>>().join(" ")
    };
    let plain = Kinds { plain: true, ..Kinds::default() };
    let all = "SCRAM-SHA-256 CRAM-SHA512 CRAM-SHA256 CRAM-SHA1 CRAM-MD5 PLAIN LOGIN APOP";
    assert_eq!(names(plain.clone(), false), all);
    assert_eq!(names(plain, true), format!("SCRAM-SHA-256-PLUS {all}"));
    let masked = Kinds { masked: vec![Hash::Md5, Hash::Sha256], ..Kinds::default() };
    assert_eq!(names(masked, true), "CRAM-SHA256 CRAM-MD5");
    assert_eq!(names(Kinds { scram: true, ..Kinds::default() }, false), "SCRAM-SHA-256 PLAIN LOGIN");
    assert_eq!(names(Kinds { hashed: true, ..Kinds::default() }, true), "PLAIN LOGIN");
    assert_eq!(names(Kinds::default(), true), "");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]
    #[test]
    fn no_bytes_upset_an_exchange_and_none_are_let_in(
        responses in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..60), 1..4),
        initial: bool,
    ) {
        let table = Table::new();
        for mechanism in Mechanism::ALL {
            let mut exchange = start(mechanism);
            let mut rest = responses.iter();
            let first = if initial { rest.next() } else { None };
            let mut step = exchange.begin(&table, first.map(Vec::as_slice));
            loop {
                match step {
                    Step::Challenge(_) => match rest.next() {
                        Some(response) => step = exchange.respond(&table, response),
                        None => break,
                    },
                    done => {
                        proptest::prop_assert!(!outcome(&table, done).accepted);
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn slow_hashes_and_other_spellings_are_checked() {
    let table = Table::new();
    let check = |user: &str, password: &str| {
        let outcome = check_password(&table, user.as_bytes(), &Secret::from(password));
        (outcome.accepted, outcome.user.unwrap(), outcome.used.map(|used| used.kind))
    };
    assert_eq!(check("erik", "password"), (true, b"erik".to_vec(), Some("argon2id")));
    assert_eq!(check("erik", "Password"), (false, b"erik".to_vec(), Some("argon2id")));
    let own = "j\u{f6}rg".as_bytes().to_vec();
    for (user, password) in
        [("j\u{f6}rg", "caf\u{e9}"), ("jo\u{308}rg", "cafe\u{301}"), ("j\u{f6}rg", "cafe\u{301}")]
    {
        assert_eq!(check(user, password), (true, own.clone(), Some("plaintext")), "{user} {password}");
    }
    let (accepted, user, _) = check("jo\u{308}rg", "cafe");
    assert_eq!((accepted, user), (false, "jo\u{308}rg".as_bytes().to_vec()), "as it was said");
    assert!(!check("j\u{f6}rg", "caf\u{e9}\u{7}").0);
}
