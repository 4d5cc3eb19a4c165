//! The client's side against known answers, and against a server that says anything.

use super::*;

fn account(proof: Proof) -> Credentials {
    Credentials { user: "bob".to_owned(), proof }
}

fn password() -> Proof {
    Proof::Password(Secret::from("pass2"))
}

fn exchange(mechanism: Mechanism, proof: Proof) -> Exchange {
    Exchange::new(mechanism, &account(proof), "rOprNGfwEbeRWgbNEkqO", None).unwrap()
}

fn text(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

#[test]
fn plain_and_login_say_name_and_password() {
    let mut plain = exchange(Mechanism::Plain, password());
    assert_eq!(text(&plain.initial().unwrap()), "\0bob\0pass2");
    assert_eq!(plain.respond(b"what?"), Err(Refused));
    let mut login = exchange(Mechanism::Login, password());
    assert_eq!(text(&login.initial().unwrap()), "bob");
    assert_eq!(text(&login.respond("Kennwort, bitte!".as_bytes()).unwrap()), "pass2");
    assert_eq!(login.respond(b"again"), Err(Refused));
}

#[test]
fn cram_answers_the_challenge() {
    let words = b"<13328.1795170795@test.example.com>";
    let alice = Credentials { user: "alice".to_owned(), proof: Proof::Password(Secret::from("pass1")) };
    let mut cram = Exchange::new(Mechanism::Cram(Hash::Md5), &alice, "", None).unwrap();
    assert_eq!(cram.initial(), None);
    assert_eq!(text(&cram.respond(words).unwrap()), "alice 585959f762a576fe05c87a8e609361bc");
    let key = Proof::Key(HmacKey::new(Hash::Md5, &Secret::from("pass1")));
    let masked = Credentials { user: "alice".to_owned(), proof: key };
    let mut cram = Exchange::new(Mechanism::Cram(Hash::Md5), &masked, "", None).unwrap();
    assert_eq!(text(&cram.respond(words).unwrap()), "alice 585959f762a576fe05c87a8e609361bc");
    assert!(Exchange::new(Mechanism::Cram(Hash::Sha1), &masked, "", None).is_none());
    assert!(Exchange::new(Mechanism::Plain, &masked, "", None).is_none());
}

#[test]
fn bearer_tokens_are_wrapped_as_each_mechanism_wants() {
    let token = || Proof::Token(Secret::from("tok"));
    let mut xoauth2 = exchange(Mechanism::XOAuth2, token());
    assert_eq!(text(&xoauth2.initial().unwrap()), "user=bob\u{1}auth=Bearer tok\u{1}\u{1}");
    assert_eq!(text(&xoauth2.respond(b"{\"status\":\"401\"}").unwrap()), "");
    assert_eq!(xoauth2.respond(b""), Err(Refused));
    let mut bearer = exchange(Mechanism::OAuthBearer, token());
    assert_eq!(text(&bearer.initial().unwrap()), "n,a=bob,\u{1}auth=Bearer tok\u{1}\u{1}");
    assert_eq!(text(&bearer.respond(b"{}").unwrap()), "\u{1}");
    let whole = Proof::Bearer(Secret::from("whole"));
    assert_eq!(text(&exchange(Mechanism::XOAuth2, whole.clone()).initial().unwrap()), "whole");
    assert!(Exchange::new(Mechanism::OAuthBearer, &account(whole), "", None).is_none());
}

/// RFC 7677 §3.
#[test]
fn scram_is_the_example_of_the_standard() {
    let user = Credentials { user: "user".to_owned(), proof: Proof::Password(Secret::from("pencil")) };
    let start = || {
        let mut scram = Exchange::new(Mechanism::ScramSha256, &user, "rOprNGfwEbeRWgbNEkqO", None).unwrap();
        assert_eq!(text(&scram.initial().unwrap()), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        scram
    };
    let words = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let mut scram = start();
    assert_eq!(text(&scram.respond(words.as_bytes()).unwrap()), proof);
    assert!(!scram.is_satisfied(), "the server has not shown that it knows the password");
    assert_eq!(text(&scram.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap()), "");
    assert!(scram.is_satisfied());
    let mut scram = start();
    scram.respond(words.as_bytes()).unwrap();
    assert_eq!(scram.respond(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Err(Refused));
    for bad in [
        "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=xOprNGfwEbeRWgbNEkqO%h,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=rOprNGfwEbeRWgbNEkqO%h,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095",
        "r=rOprNGfwEbeRWgbNEkqO%h,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
        "r=rOprNGfwEbeRWgbNEkqO%h,s=*,i=4096",
        "e=other-error",
        "",
    ] {
        assert_eq!(start().respond(bad.as_bytes()), Err(Refused), "{bad}");
    }
}

#[test]
fn the_order_is_the_safest_first() {
    let names = |proof: Proof| usable(&proof).into_iter().map(Mechanism::name).collect::<Vec<_>>().join(" ");
    assert_eq!(
        names(password()),
        "SCRAM-SHA-256-PLUS SCRAM-SHA-256 CRAM-SHA512 CRAM-SHA256 CRAM-SHA1 CRAM-MD5 PLAIN LOGIN"
    );
    assert_eq!(names(Proof::Key(HmacKey::new(Hash::Sha1, &Secret::from("x")))), "CRAM-SHA1");
    assert_eq!(names(Proof::Bearer(Secret::from("x"))), "XOAUTH2");
    assert_eq!(names(Proof::Token(Secret::from("x"))), "XOAUTH2 OAUTHBEARER");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]
    #[test]
    fn no_words_of_a_server_upset_the_client(
        words in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..60), 0..4),
    ) {
        for proof in [password(), Proof::Token(Secret::from("t"))] {
            for mechanism in usable(&proof) {
                let Some(mut exchange) = Exchange::new(mechanism, &account(proof.clone()), "n", Some(b"x")) else {
                    continue;
                };
                exchange.initial();
                for challenge in &words {
                    if exchange.respond(challenge).is_err() {
                        break;
                    }
                }
            }
        }
    }
}
