//! Address lists, good and bad.

use proptest::prelude::*;

use super::*;

/// `Name|local@domain`, the local part as it goes into an envelope.
fn shown(value: &[u8]) -> Result<Vec<String>, ListError> {
    let show = |address: &Address| match &address.name {
        Some(name) => format!("{name}|{address}"),
        None => address.to_string(),
    };
    Ok(parse(value)?.iter().map(show).collect())
}

#[test]
fn address_lists() {
    let table: &[(&str, &[&str])] = &[
        ("", &[]),
        (" ", &[]),
        ("a@b", &["a@b"]),
        ("user@domain, Name <other@domain>", &["user@domain", "Name|other@domain"]),
        ("\"quoted name\" <a@b>", &["quoted name|a@b"]),
        ("\"Smith, \\\"Joe\\\"\" <a@b>", &["Smith, \"Joe\"|a@b"]),
        ("Joe Q. Public <a@b>", &["Joe Q. Public|a@b"]),
        ("a@b (comment (nested) \\) here), (x) c (y) . d @ e (z)", &["a@b", "c.d@e"]),
        // brackets with no name
        ("<a@b>", &["a@b"]),
        (" <a@b>, <c@d>", &["a@b", "c@d"]),
        // bare local parts, as cron writes them
        ("root (Cron Daemon)", &["root"]),
        ("root", &["root"]),
        ("Root <root>, <bin>", &["Root|root", "bin"]),
        // groups
        ("team: a@b, C <c@d>;", &["a@b", "C|c@d"]),
        ("undisclosed-recipients:;", &[]),
        ("undisclosed recipients: ;, x@y", &["x@y"]),
        ("a@b, g: c@d; , e@f", &["a@b", "c@d", "e@f"]),
        ("g: a@b; h: c@d;", &["a@b", "c@d"]),
        ("undisclosed-recipients:", &[]),
        // empty members, trailing comma
        ("a@b,", &["a@b"]),
        (",, a@b ,, c@d , ", &["a@b", "c@d"]),
        // domain literals, routes
        ("d@[1.2.3.4], e@[IPv6:::1]", &["d@[1.2.3.4]", "e@[IPv6:::1]"]),
        ("<@hop1,@hop2:joe@x>", &["joe@x"]),
        ("Joe <@hop1:joe@x>", &["Joe|joe@x"]),
        // quoted local parts
        ("\"a,b\"@x.com", &["\"a,b\"@x.com"]),
        ("\"joe\"@x.com", &["joe@x.com"]),
        ("a.\"b c\".d@x", &["\"a.b c.d\"@x"]),
        // UTF-8, encoded words
        (
            "J\u{f6}rg M\u{fc}ller <j\u{f6}rg@b\u{fc}cher.example>",
            &["J\u{f6}rg M\u{fc}ller|j\u{f6}rg@b\u{fc}cher.example"],
        ),
        ("=?iso-8859-1?Q?J=F6rg,_x?= <j@x>", &["=?iso-8859-1?Q?J=F6rg,_x?=|j@x"]),
        ("a@b,\r\n\tc@d", &["a@b", "c@d"]),
    ];
    for (value, expected) in table {
        let expected: Vec<String> = expected.iter().map(|&text| text.to_owned()).collect();
        assert_eq!(shown(value.as_bytes()), Ok(expected), "{value:?}");
    }
}

#[test]
fn latin_1_in_display_names_is_ignored() {
    assert_eq!(shown(b"J\xf6rg <a@b>, \"M\xfcller\" <c@d>").unwrap(), ["Jrg|a@b", "Mller|c@d"]);
}

#[test]
fn bad_lists_are_refused() {
    use ListError::{Grammar, Token};
    let table: &[(&[u8], ListError)] = &[
        (b"a b", Grammar),
        (b"@", Grammar),
        (b"a@", Grammar),
        (b"@b", Grammar),
        (b"a@b@c", Grammar),
        (b"a@b c@d", Grammar),
        (b"a..b@c", Grammar),
        (b"<>", Grammar),
        (b"<a@b", Grammar),
        (b"<a@b> c", Grammar),
        (b"<<a@b>>", Grammar),
        (b"a@b>", Grammar),
        (b"a@b;", Grammar),
        (b":a@b;", Grammar),
        (b"g: h: a@b;;", Grammar),
        (b"x@y <a@b>", Grammar),
        (b"<@hop>", Grammar),
        (b"<@hop,a@b>", Grammar),
        (b"a@\"b\"", Grammar),
        (b"a@b[c]", Grammar),
        (b"j\xf6rg@x", Grammar),
        (b"a@\xfc", Grammar),
        (b"a@b, \"c", Token(5)),
        (b"a\x00@b", Token(1)),
        (b"a@b (", Token(4)),
    ];
    for (value, expected) in table {
        assert_eq!(parse(value), Err(*expected), "{}", String::from_utf8_lossy(value));
    }
}

#[test]
fn several_fields_add_up_and_errors_name_the_line() {
    let lines = ["To: a@b,", " c@d", "Subject: s", "TO : a@b", "Cc: x", " y"];
    let headers = Headers::new(lines.iter().map(|line| line.as_bytes().to_vec()).collect());
    let all: Vec<String> = addresses(&headers, "to").unwrap().iter().map(Address::to_string).collect();
    assert_eq!(all, ["a@b", "c@d", "a@b"]);
    let error = addresses(&headers, "cc").unwrap_err();
    assert_eq!(error.to_string(), "rfc-5322/6532 parsing error: invalid address-list: line 5");
    let error = HeaderError { error: ListError::Token(7), line: 3 };
    assert_eq!(error.to_string(), "rfc-5322/6532 parsing error: parsing error at position 7: line 3");
}

#[test]
fn long_and_deep_input_is_read_in_one_pass() {
    let deep = [b"(".repeat(200_000), b")".repeat(200_000), b"a@b".to_vec()].concat();
    assert_eq!(shown(&deep).unwrap(), ["a@b"]);
    assert_eq!(parse(&b"a@b,".repeat(100_000)).unwrap().len(), 100_000);
    assert!(parse(&b"=?x,".repeat(100_000)).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&value);
    }

    #[test]
    fn any_specials_are_read_without_panic(value in "[a-z<>:;@,.\"\\\\()\\[\\] ?=\u{e9}]{0,40}") {
        if let Ok(addresses) = parse(value.as_bytes()) {
            for address in addresses {
                let _ = address.envelope_form(Some("x.com"));
            }
        }
    }

    #[test]
    fn an_envelope_form_is_read_back_as_the_same_address(local in "[ -~\u{a1}-\u{ff}]{1,20}", domain in "[a-z]{1,9}(\\.[a-z]{2,3})?") {
        let address = Address { name: None, local, domain: Some(domain) };
        let text = address.envelope_form(None).unwrap();
        prop_assert_eq!(parse(text.as_bytes()).unwrap(), vec![address]);
    }
}
