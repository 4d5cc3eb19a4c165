//! Reading a message from standard input or a file.

use std::ffi::OsString;
use std::path::Path;

use super::super::options::{self, Request};
use super::*;

fn options(arguments: &[&str]) -> Options {
    match options::parse(arguments.iter().map(OsString::from), Path::new("/")).unwrap() {
        Request::Submit(options) => *options,
        other => panic!("{other:?}"),
    }
}

/// The header and the body that come out, line ends shown as LF.
fn read_all(arguments: &[&str], input: Option<&[u8]>, typed: bool) -> Result<(String, String), Fault> {
    read_by(&options(arguments), input, typed)
}

fn read_by(options: &Options, input: Option<&[u8]>, typed: bool) -> Result<(String, String), Fault> {
    let input = input.map(|bytes| Input::new(io::Cursor::new(bytes.to_vec()), typed));
    let (headers, mut body) = read(options, input)?;
    let mut text = Vec::new();
    body.copy_to(|bytes| {
        text.extend_from_slice(bytes);
        Ok(())
    })?;
    let shown = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
    Ok((shown(headers.to_bytes()), shown(text)))
}

fn parts(arguments: &[&str], input: &str) -> (String, String) {
    read_all(arguments, Some(input.as_bytes()), false).unwrap()
}

fn pair(header: &str, body: &str) -> (String, String) {
    (header.to_owned(), body.to_owned())
}

#[test]
fn the_header_ends_at_the_first_empty_line() {
    assert_eq!(parts(&[], "A: b\r\nC: d\n\nx\n\ny"), pair("A: b\nC: d\n", "x\n\ny\n"));
    assert_eq!(parts(&[], "\nx\n"), pair("", "x\n"));
}

#[test]
fn input_without_an_empty_line_is_all_header() {
    assert_eq!(parts(&[], "x\ny"), pair("x\ny\n", ""));
    assert_eq!(parts(&[], ""), pair("", ""));
}

#[test]
fn a_free_form_header_ends_where_a_line_is_no_field() {
    let free = Options { free_form: true, ..options(&[]) };
    let parts = |input: &str| read_by(&free, Some(input.as_bytes()), false).unwrap();
    assert_eq!(parts("hello world\nsecond line\n"), pair("", "hello world\nsecond line\n"));
    assert_eq!(parts("Subject: x\r\nhello\r\n\r\nA: b"), pair("Subject: x\n", "hello\n\nA: b\n"));
    assert_eq!(parts("Subject: x\n y\n\n z"), pair("Subject: x\n y\n", " z\n"));
    assert_eq!(parts(" z\nA: b\n"), pair("", " z\nA: b\n"));
    assert_eq!(parts("From me@x Thu Nov 26\nA: b\n\nFrom x\n"), pair("A: b\n", "From x\n"));
    assert_eq!(parts("From me@x Thu Nov 26\nFrom here\n"), pair("", "From here\n"));
    assert_eq!(parts("A: b\nFrom me@x\n"), pair("A: b\n", "From me@x\n"));
    assert_eq!(parts("\nA: b\n"), pair("", "A: b\n"));
    assert_eq!(parts(""), pair("", ""));
    // A line is the body's whatever its length.
    let long = "x".repeat(MAX_HEADER + CHUNK);
    assert_eq!(parts(&format!("{long}\ny")), pair("", &format!("{long}\ny\n")));
    let typed = read_by(&free, Some(b"A: b\nhello\n.\nx\n"), true).unwrap();
    assert_eq!(typed, pair("A: b\n", "hello\n"));
    assert_eq!(read_by(&free, Some(b".\nx\n"), true).unwrap(), pair("", ""));
}

#[test]
fn body_option_takes_the_input_as_body() {
    assert_eq!(parts(&["-B"], "A: b\n\nx\n"), pair("", "A: b\n\nx\n"));
}

#[test]
fn content_values_come_first() {
    // Subject: s | (empty) | line
    let given = ["-C", "U3ViamVjdDogcw", "-C", "=", "-C", "bGluZQ=="];
    assert_eq!(parts(&given, "A: b\n\nx\n"), pair("Subject: s\nA: b\n", "line\nx\n"));
    assert_eq!(read_all(&given, None, false).unwrap(), pair("Subject: s\n", "line\n"));
    assert_eq!(parts(&["-C", "U3ViamVjdDogcw,", "-B"], "x\n"), pair("Subject: s\n", "x\n"));
}

#[test]
fn content_values_made_with_line_ends_are_split_there() {
    // "A: b\nC: d\r\n"
    assert_eq!(parts(&["-C", "QTogYgpDOiBkDQo="], "\nx"), pair("A: b\nC: d\n", "x\n"));
}

#[test]
fn bad_base64_is_an_error() {
    for value in ["!!", "QQQ!", "a b"] {
        assert!(matches!(read_all(&["-C", value], None, false), Err(Fault::Base64)), "{value}");
    }
}

#[test]
fn a_lone_dot_ends_typed_input_only() {
    assert_eq!(parts(&[], "A: b\n\nx\n.\ny\n"), pair("A: b\n", "x\n.\ny\n"));
    let typed = |input: &str| read_all(&[], Some(input.as_bytes()), true).unwrap();
    assert_eq!(typed("A: b\n\nx\n..\n.\ny\n"), pair("A: b\n", "x\n..\n"));
    assert_eq!(typed("A: b\n.\nC: d\n\nx\n"), pair("A: b\n", ""));
}

#[test]
fn the_header_is_limited() {
    let line = |length| format!("A: {}\n\nbody\n", "x".repeat(length));
    assert!(parts(&[], &line(MAX_HEADER - 5)).1 == "body\n");
    let too_big = read_all(&[], Some(line(MAX_HEADER - 4).as_bytes()), false);
    assert!(matches!(too_big, Err(Fault::HeaderSize(MAX_HEADER))));
    let full = format!("A: {}\r\n\r\nbody\r\n", "x".repeat(MAX_HEADER - 5));
    assert_eq!(parts(&[], &full).1, "body\n");
    let many = "A: b\n".repeat(MAX_HEADER / 6 + 1);
    assert!(matches!(read_all(&[], Some(many.as_bytes()), false), Err(Fault::HeaderSize(_))));
    let endless = "x".repeat(MAX_HEADER * 3);
    assert!(matches!(read_all(&[], Some(endless.as_bytes()), false), Err(Fault::HeaderSize(_))));
}

#[test]
fn the_body_is_passed_on_in_bounded_pieces() {
    let (_, mut body) =
        read(&options(&["-B"]), Some(Input::new(io::repeat(b'\n').take(1_000_000), false))).unwrap();
    let (mut total, mut largest) = (0, 0);
    body.copy_to(|bytes| {
        total += bytes.len();
        largest = largest.max(bytes.len());
        Ok(())
    })
    .unwrap();
    assert_eq!(total, 2_000_000);
    assert!(largest <= 2 * CHUNK);
}
