//! Where the password comes from.

use std::io::{self, BufRead, IsTerminal};

use zeroize::Zeroizing;

use super::Fault;
use super::options::Options;
use crate::os::terminal::{Silent, Typed};
use crate::sasl::Secret;
use crate::sasl::encoding::from_base64;

/// Longest password, in bytes as given.
const MAX: usize = 4096;

/// The password, decoded; never empty.
///
/// # Errors
/// There is none, or it cannot be read or decoded.
pub(super) fn password(options: &Options) -> Result<Secret, Fault> {
    let given = match &options.password {
        Some(password) => password.clone(),
        None if io::stdin().is_terminal() => typed(options)?,
        None => line(io::stdin().lock())?,
    };
    finished(options, given.expose())
}

/// Trims, decodes, and refuses what is empty then.
fn finished(options: &Options, text: &[u8]) -> Result<Secret, Fault> {
    let text = if options.raw { text } else { text.trim_ascii() };
    let password = match options.base64 {
        true => Secret::new(from_base64(text).ok_or(Fault::Base64)?),
        false => Secret::new(text.to_vec()),
    };
    if password.is_empty() { Err(Fault::Empty) } else { Ok(password) }
}

/// One line, without its line end.
fn line(input: impl BufRead) -> Result<Secret, Fault> {
    // With room for all of it from the start: growing would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX + 3));
    input.take(MAX as u64 + 3).read_until(b'\n', &mut line)?;
    line.pop_if(|byte| *byte == b'\n');
    line.pop_if(|byte| *byte == b'\r');
    if line.len() > MAX { Err(Fault::TooLong(MAX)) } else { Ok(Secret::new(line.to_vec())) }
}

/// Asks for it, and unless there is a line to check it against asks again.
fn typed(options: &Options) -> Result<Secret, Fault> {
    let terminal = Silent::new(io::stdin())?;
    let ask = |prompt: &str| match terminal.ask(prompt, MAX)? {
        Typed::Line(text) => Ok(Secret::new(text)),
        Typed::Interrupted => Err(Fault::Interrupted),
        Typed::TooLong => Err(Fault::TooLong(MAX)),
    };
    let first = ask("Password: ")?;
    if options.check.is_none() && first != ask("Again: ")? {
        return Err(Fault::Differ);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::passwd::options::Form;

    fn read(text: &[u8], base64: bool, raw: bool) -> Result<Vec<u8>, String> {
        let options = Options { form: Form::Plain, password: None, base64, raw, check: None };
        let text = line(text).map_err(|fault| fault.to_string())?;
        finished(&options, text.expose()).map(|p| p.expose().to_vec()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn one_line_is_read_and_trimmed() {
        assert_eq!(read(b" \ta b \r\nsecond\n", false, false), Ok(b"a b".to_vec()));
        assert_eq!(read(b" a \r\n", false, true), Ok(b" a ".to_vec()));
        assert_eq!(read(b"c2VjcmV0\n", true, false), Ok(b"secret".to_vec()));
        assert_eq!(read(b"c2VjcmV0 \n", true, true), Err("exception: base64 encoding error".into()));
        for empty in [&b""[..], b"\n", b" \t\n"] {
            assert_eq!(read(empty, false, false), Err("invalid password".into()));
        }
        assert!(read(&[b'x'; MAX], false, false).is_ok());
        assert_eq!(
            read(&[b'x'; MAX + 1], false, false),
            Err("the password is longer than 4096 bytes".into())
        );
    }
}
