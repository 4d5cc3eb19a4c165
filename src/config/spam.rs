//! Options behind the address of `spam:` and `spam-edit:`.

use super::number;

/// How spamd is asked, and what is made of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpamOptions {
    /// `check`: asks for the verdict only, not for the message with its marks.
    pub check: bool,
    /// `user=NAME`: whose preferences hold.
    pub user: Option<String>,
    /// `max=BYTES`: a larger message passes without being asked about.
    pub max: Option<u64>,
    /// `code=550`: SMTP code of a refusal.
    pub code: Option<u16>,
    /// `onfault=pass`: a message that cannot be asked about passes.
    pub pass_on_fault: bool,
}

impl SpamOptions {
    /// Reads words separated by `;`. Those that are unknown come back.
    ///
    /// # Errors
    /// The value of a known one makes no sense.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        let mut options = Self::default();
        let mut unknown = Vec::new();
        for word in text.split(';').filter(|word| !word.is_empty()) {
            let invalid = || format!("invalid filter option: {word}");
            match word.split_once('=').unwrap_or((word, "")) {
                ("check", "") => options.check = true,
                ("user", name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    options.user = Some(name.to_owned());
                }
                ("max", bytes) => options.max = Some(number::size(bytes).ok_or_else(invalid)?),
                ("code", code) => {
                    let code = code.parse().ok().filter(|code| (400..600).contains(code));
                    options.code = Some(code.ok_or_else(invalid)?);
                }
                ("onfault", "pass") => options.pass_on_fault = true,
                ("onfault", "fail") => options.pass_on_fault = false,
                ("user" | "onfault", _) => return Err(invalid()),
                _ => unknown.push(word.to_owned()),
            }
        }
        Ok((options, unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_unknown_ones_come_back() {
        let (options, unknown) =
            SpamOptions::parse("check;user=me;max=1k;;code=550;onfault=pass;odd;x=1").unwrap();
        let expected = SpamOptions {
            check: true,
            user: Some("me".to_owned()),
            max: Some(1024),
            code: Some(550),
            pass_on_fault: true,
        };
        assert_eq!((options, unknown), (expected, vec!["odd".to_owned(), "x=1".to_owned()]));
        for bad in ["max=x", "code=250", "code=", "user=", "user=a b", "onfault=maybe"] {
            assert_eq!(SpamOptions::parse(bad), Err(format!("invalid filter option: {bad}")));
        }
    }
}
