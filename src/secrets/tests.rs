//! Secrets files: every form of line, every fault, and changes while we run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::sasl::client::Proof;
use crate::sasl::server::{Accounts, Found};
use crate::sasl::{Hash, HmacKey, Secret};

fn read(text: &str) -> (Secrets, Report) {
    read_bytes(text.as_bytes())
}

fn read_bytes(bytes: &[u8]) -> (Secrets, Report) {
    let credential = |name: &str| match name {
        "al" => Ok(b"pass cred\r\n".to_vec()),
        _ => Err(format!("no credential \"{name}\"")),
    };
    parse(bytes, Path::new("/etc/emailrelay.auth"), Secret::from("pepper"), &credential)
}

fn good(text: &str) -> Secrets {
    let (secrets, report) = read(text);
    assert_eq!(report, Report::default(), "{text}");
    secrets
}

fn errors(text: &str) -> Vec<String> {
    read(text).1.errors
}

fn warnings(text: &str) -> Vec<String> {
    let report = read(text).1;
    assert!(report.errors.is_empty(), "{report:?}");
    report.warnings
}

fn password(secrets: &Secrets, user: &str) -> Option<(String, u32)> {
    let found = secrets.password(user.as_bytes())?;
    Some((String::from_utf8(found.value.expose().to_vec()).unwrap(), found.line))
}

fn pass(text: &str) -> Hold {
    Hold::Proof(Proof::Password(Secret::from(text)))
}

fn login(user: &str, hold: Hold, line: u32) -> Account {
    Account::Login(vec![ClientEntry { user: user.to_owned(), hold, line: Some(line) }])
}

#[test]
fn the_sample_with_one_of_each() {
    let secrets = good(
        "# relay accounts\n\
         server plain dora pass1\n\
         server plain:b Ym9i cGFzczI= # bob pass2\n\
         server md5 erik hNtQOHXk3ILKXdDP23to/+nwgSPLCb207nxW2b7nKNk=\n\
         server none 10.1.2.* office\n\
         server none fd00:1::/32 vpn\n\
         server none / local-socket\n\
         client plain relay@example.com s3cret+21\n\
         client plain:b = = direct",
    );
    assert_eq!(password(&secrets, "dora"), Some(("pass1".to_owned(), 2)));
    assert_eq!(password(&secrets, "bob"), Some(("pass2".to_owned(), 3)));
    let key = HmacKey::new(Hash::Md5, &Secret::from("pass1"));
    assert_eq!(secrets.key(Hash::Md5, b"erik"), Some(Found { value: &key, line: 4 }));
    assert_eq!(secrets.key(Hash::Sha1, b"erik"), None);
    let trust = |peer: Option<&str>| {
        secrets.trust(peer.map(|ip| ip.parse().unwrap())).map(|trust| (trust.keyword.as_str(), trust.line))
    };
    assert_eq!(trust(Some("10.1.2.9")), Some(("office", 5)));
    assert_eq!(trust(Some("fd00:1::9")), Some(("vpn", 6)));
    assert_eq!(trust(None), Some(("local-socket", 7)));
    assert_eq!(trust(Some("10.1.3.9")), None);
    assert_eq!(secrets.account(""), Some(&login("relay@example.com", pass("s3cret!"), 8)));
    assert_eq!(secrets.account("direct"), Some(&Account::Direct));
    assert_eq!(secrets.account("other"), None);
    let kinds = secrets.kinds();
    assert_eq!((kinds.plain, kinds.scram, kinds.masked), (true, false, vec![Hash::Md5]));
}

#[test]
fn blanks_case_line_ends_and_comments() {
    let secrets = good(
        "\u{feff}\r\n  SERVER \t Plain al p#1 # note\r\n\t# server plain no no\r\nserver PLAIN:B Ym9i Zg\r\nserver login carl a=b\r\n\
         server plain:x dan d+c3+BC\r\n\
         server MD5 al 944823172.2195514485.3486539210.4285037531.595718377.3032287691.3646323950.3643336638",
    );
    assert_eq!(password(&secrets, "al").unwrap().0, "p#1");
    assert_eq!(password(&secrets, "bob").unwrap().0, "f");
    assert_eq!(password(&secrets, "carl").unwrap().0, "a=b");
    assert_eq!(password(&secrets, "dan").unwrap().0, "dü");
    assert_eq!(password(&secrets, "Al"), None);
    assert!(secrets.key(Hash::Md5, b"al").is_some());
    assert!(read("").1.errors.is_empty());
}

#[test]
fn client_lines_and_selectors() {
    let secrets = good(
        "client plain bob pa+20ss\nclient plain al pw2 sel\nclient md5 al hNtQOHXk3ILKXdDP23to/+nwgSPLCb207nxW2b7nKNk= sel\n\
         client plain:b = = noauth\nclient plain = = equals\n\
         client oauth bob dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB0b2sBAQ== o\n\
         client oauth:t bob tok t\nclient oauth-file bob /run/token f\nclient oauth:x bob /usr/bin/token+20-x x",
    );
    assert_eq!(secrets.account(""), Some(&login("bob", pass("pa ss"), 1)));
    assert!(matches!(secrets.account("sel"), Some(Account::Login(entries)) if entries.len() == 2));
    assert_eq!(secrets.account("noauth"), Some(&Account::Direct));
    assert_eq!(secrets.account("equals"), Some(&login("=", pass("="), 5)));
    let whole = "user=someuser@example.com\u{1}auth=Bearer tok\u{1}\u{1}";
    let bearer = Hold::Proof(Proof::Bearer(Secret::from(whole)));
    assert_eq!(secrets.account("o"), Some(&login("bob", bearer, 6)));
    let token = Hold::Proof(Proof::Token(Secret::from("tok")));
    assert_eq!(secrets.account("t"), Some(&login("bob", token, 7)));
    assert_eq!(secrets.account("f"), Some(&login("bob", Hold::TokenFile("/run/token".into()), 8)));
    let words = vec!["/usr/bin/token".to_owned(), "-x".to_owned()];
    assert_eq!(secrets.account("x"), Some(&login("bob", Hold::TokenProgram(words), 9)));
    assert!(!format!("{secrets:?}").contains("pa ss") && !format!("{secrets:?}").contains("-x"));
}

#[test]
fn the_old_order_means_what_it_meant() {
    let old = "login client myname@gmail.com mypassword\nAPOP server user1 password1\nNONE server *.*.*.* x\n\
         CRAM-MD5 server al 944823172.2195514485.3486539210.4285037531.595718377.3032287691.3646323950.3643336638\n\
         cram-md5 server bo hNtQOHXk3ILKXdDP23to/+nwgSPLCb207nxW2b7nKNk=\nCRAM-MD5 server cy short\n\
         LOGIN server user1 password1\nplain server user1 password1\nplain client myname@gmail.com mypassword\n";
    let (secrets, report) = read(old);
    assert_eq!(report.errors, Vec::<String>::new());
    assert_eq!(report.warnings, ["secrets file [/etc/emailrelay.auth] uses the old field order"]);
    assert_eq!(password(&secrets, "user1"), Some(("password1".to_owned(), 2)));
    assert_eq!(password(&secrets, "cy").unwrap().0, "short");
    assert!(secrets.key(Hash::Md5, b"al").is_some() && secrets.key(Hash::Md5, b"bo").is_some());
    assert_eq!(secrets.account(""), Some(&login("myname@gmail.com", pass("mypassword"), 1)));
    assert_eq!(secrets.trust(Some("203.0.113.5".parse().unwrap())).unwrap().keyword, "x");
    assert_eq!(
        errors("login server a b\nplain server a c\n"),
        ["emailrelay.auth(2): duplicate server secret"]
    );
    assert_eq!(
        errors("login client a b\nplain client a c\n"),
        ["emailrelay.auth(2): duplicate client secret"]
    );
}

#[test]
fn every_error_is_listed_with_its_line() {
    let text = "server plain al\nfoo plain a b\nserver plain al pass1\nserver LOGIN al sesame2\nserver none 10.0.0.0/8 x\n\
        server none 10.*.*.* y\nclient plain a b\nclient plain c d\nclient plain:b = =\nserver plain b p+2\nserver plain b+ pw\n\
        server plain:b * Zg==\nserver plain:b Zg== *\nserver plain:b Zg cred:no\nserver md5 x sesame\nserver sha1 x sesame3\n\
        server scram-sha-256 x sesame\nclient oauth:x b bin/token s\nAPOP foo a b\nserver md5 m 1.2.3.4.5.6.7.8\n\
        server apop m 1.2.3.4.5.6.7.8\nserver plain b\u{fc} x\nserver argon2id x sesame\nserver scrypt x $scrypt$ln=40,r=8,p=1$a$b\n\
        server argon2id x +2\nclient argon2id x y\n";
    let expected = [
        "(1): too few fields",
        "(2): invalid value in first field: [foo]",
        "(4): duplicate server secret",
        "(6): duplicate server trust address",
        "(8): duplicate client secret",
        "(9): duplicate client secret",
        "(10): invalid xtext encoding of secret",
        "(11): invalid xtext encoding of id",
        "(12): invalid base64 encoding of id",
        "(13): invalid base64 encoding of secret",
        "(14): no credential \"no\"",
        "(15): invalid base64 encoding of secret",
        "(16): invalid base64 encoding of secret",
        "(17): invalid scram-sha-256 keys",
        "(18): the program must be an absolute path",
        "(19): invalid value in first field: [APOP]",
        "(21): duplicate server secret",
        "(22): invalid xtext encoding of id",
        "(23): invalid argon2id hash",
        "(24): invalid scrypt hash",
        "(25): invalid xtext encoding of secret",
    ];
    let got = errors(text);
    let got: Vec<_> = got.iter().map(|error| error.strip_prefix("emailrelay.auth").unwrap()).collect();
    assert_eq!(got, expected);
    assert!(!got.concat().contains("sesame"));
    assert_eq!(errors("server md5 x Zm9v"), ["emailrelay.auth(1): invalid md5 hash state"]);
}

#[test]
fn warnings_name_what_has_no_effect() {
    let text = "server plain al p sel\nserver plain bo p a more\nserver bcrypt x $2b$\nserver sha384 x Zg==\n\
        server oauth x Zg==\nserver none 127.0.0.1/8 x\nserver none 10.0.0.0/255.0.0.0 x\nclient none 10.0.0.1 x\n";
    let expected = [
        "(1): selector ignored on a server line",
        "(2): too many fields",
        "(2): selector ignored on a server line",
        "(3): unknown secret type: [bcrypt]: line ignored",
        "(4): unknown secret type: [sha384]: line ignored",
        "(5): oauth is for client lines only: line ignored",
        "(6): address bits behind the prefix are ignored: [127.0.0.1/8]",
        "(7): address range can never match: [10.0.0.0/255.0.0.0]",
        "(8): unknown secret type: [none]: line ignored",
    ];
    let got = warnings(text);
    let got: Vec<_> = got.iter().map(|text| text.strip_prefix("emailrelay.auth").unwrap()).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_secret_may_be_a_credential_of_the_service() {
    let secrets = good("server plain al cred:al\nclient plain:b Zg== cred:al\n");
    assert_eq!(password(&secrets, "al").unwrap().0, "pass cred");
    assert_eq!(secrets.account(""), Some(&login("f", pass("pass cred"), 2)));
}

#[test]
fn a_changed_file_is_used_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.auth");
    fs::write(&path, "server plain al one\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let start = Instant::now();
    let (store, report) = Store::open(&path, start).unwrap();
    assert_eq!(report, Report::default());
    let current = || password(&store.current(), "al").unwrap().0;
    assert!(!store.is_due(start) && store.is_due(start + Duration::from_secs(1)));
    assert_eq!(store.refresh(start), None);

    replace(&path, "server plain al two\n");
    assert_eq!(store.refresh(start), Some(Refreshed::Read { warnings: vec![] }));
    assert_eq!((current().as_str(), store.refresh(start)), ("two", None));

    replace(&path, "server plain al\nx\n");
    let broken = ["a.auth(1): too few fields", "a.auth(2): too few fields"].map(str::to_owned).to_vec();
    assert_eq!(store.refresh(start), Some(Refreshed::Broken { errors: broken }));
    assert_eq!((current().as_str(), store.refresh(start)), ("two", None), "said once");

    fs::remove_file(&path).unwrap();
    let gone = Some(Refreshed::Gone { reason: "no such file or directory".to_owned() });
    assert_eq!(store.refresh(start), gone);
    assert_eq!(store.refresh(start + Duration::from_secs(59)), None);
    assert_eq!(store.refresh(start + Duration::from_secs(60)), gone);
    assert_eq!(current(), "two");

    replace(&path, "server plain al three\n");
    assert_eq!(store.refresh(start), Some(Refreshed::Read { warnings: vec![] }));
    assert_eq!(current(), "three");
}

/// As editors do: a new file under the old name, so that even the coarsest clock shows the change.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn files_that_cannot_be_used_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let text = |path: &Path| Store::open(path, Instant::now()).unwrap_err().to_string();
    let shown = directory.path().display();
    assert_eq!(text(directory.path()), format!("cannot read secrets file: {shown}: is a directory"));
    let path = directory.path().join("x");
    assert_eq!(text(&path), format!("cannot read secrets file: {shown}/x: no such file or directory"));
    fs::write(&path, "server\n").unwrap();
    assert_eq!(text(&path), "invalid secrets file");
    let large = fs::File::create(&path).unwrap();
    large.set_len(super::store::MAX_FILE + 1).unwrap();
    assert_eq!(text(&path), format!("cannot read secrets file: {shown}/x: file too large"));
    fs::write(&path, "server plain a b\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let report = Store::open(&path, Instant::now()).unwrap().1;
    assert_eq!(report.warnings, [format!("secrets file [{shown}/x] can be read by others")]);
}

#[test]
fn slow_hashes_are_read_and_cost_something() {
    let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let (secrets, report) =
        read(&format!("server argon2id al {hash}\nserver plain bo x\nserver ARGON2ID c+20d {hash}\n"));
    assert_eq!((report.errors, report.warnings), (vec![], vec![]));
    assert!(secrets.kinds().hashed && secrets.kinds().plain);
    for user in ["al", "c d"] {
        assert!(secrets.hash(user.as_bytes()).unwrap().value.is_of(&Secret::from("password")), "{user}");
    }
    assert_eq!(secrets.hash(b"c d").unwrap().line, 3);
    assert!(secrets.is_costly(b"al") && secrets.is_costly(b"nobody") && !secrets.is_costly(b"bo"));
    assert!(!read("server plain bo x\n").0.is_costly(b"nobody"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_upset_the_reader(bytes: Vec<u8>) {
        read_bytes(&bytes);
    }

    #[test]
    fn no_words_upset_the_reader(
        lines in proptest::collection::vec(
            "(server|client|login|none|apop|cram-md5|#|x)[ \t](server|client|plain|plain:b|md5|sha1|none|oauth|oauth:x|scram-sha-256|argon2id|scrypt)[ \t][a-z0-9+=./:*]{0,9}[ \t][a-zA-Z0-9+=.,/]{0,50}([ \t][a-z#]{0,3}){0,2}",
            0..6,
        ),
    ) {
        let (_, report) = read(&lines.join("\n"));
        proptest::prop_assert!(report.errors.iter().all(|error| error.starts_with("emailrelay.auth(")));
    }
}
