//! Reading from a terminal without showing what is typed.

use std::io::{self, Read, Stdin, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// A terminal that shows nothing; as before when dropped.
///
/// Keys that end programs are read as what they are, so that the terminal is never left silent.
pub struct Silent {
    input: Stdin,
    before: Termios,
}

/// What somebody typed.
#[derive(PartialEq, Eq)]
pub enum Typed {
    /// A line.
    Line(Vec<u8>),
    /// The key that interrupts.
    Interrupted,
    /// More than was asked for.
    TooLong,
}

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL: u8 = 0x15;
const DELETE: u8 = 0x7f;

impl Silent {
    /// Silences the terminal.
    ///
    /// # Errors
    /// It is none.
    pub fn new(input: Stdin) -> io::Result<Self> {
        let before = tcgetattr(&input)?;
        let mut silent = before.clone();
        silent
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(&input, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { input, before })
    }

    /// Asks on standard error for one line of at most `limit` bytes.
    ///
    /// # Errors
    /// The terminal has gone.
    pub fn ask(&self, prompt: &str, limit: usize) -> io::Result<Typed> {
        let mut out = io::stderr();
        out.write_all(prompt.as_bytes()).and_then(|()| out.flush())?;
        let typed = line(&mut self.input.lock(), limit);
        out.write_all(b"\n")?;
        typed
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that has gone.
        let _ = tcsetattr(&self.input, SetArg::TCSAFLUSH, &self.before);
    }
}

/// A line with the corrections that its author made.
fn line(input: &mut impl Read, limit: usize) -> io::Result<Typed> {
    let mut text = Zeroizing::new(Vec::with_capacity(limit));
    let mut byte = [0];
    loop {
        let ended = input.read(&mut byte)? == 0;
        match byte {
            _ if ended => return Ok(Typed::Line(text.to_vec())),
            [b'\n' | b'\r' | END] => return Ok(Typed::Line(text.to_vec())),
            [INTERRUPT] => return Ok(Typed::Interrupted),
            [BACKSPACE | DELETE] => {
                // A character of several bytes goes at once.
                while text.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            [KILL] => text.clear(),
            _ if text.len() == limit => return Ok(Typed::TooLong),
            [byte] => text.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Option<Vec<u8>> {
        match line(&mut &keys[..], 8) {
            Ok(Typed::Line(text)) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn keys_correct_end_and_interrupt() {
        assert_eq!(typed(b"secret\nmore"), Some(b"secret".to_vec()));
        assert_eq!(typed(b"sex\x7fc\x08cret\r"), Some(b"secret".to_vec()));
        assert_eq!(typed("\u{fc}\u{20ac}\x7f\x7f\x7fab\n".as_bytes()), Some(b"ab".to_vec()));
        assert_eq!(typed(b"wrong\x15right\x04"), Some(b"right".to_vec()));
        assert_eq!(typed(b"end"), Some(b"end".to_vec()));
        assert_eq!(typed(b"sec\x03"), None);
        assert_eq!(typed(b"123456789\n"), None);
    }
}
