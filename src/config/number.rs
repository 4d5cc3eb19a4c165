//! Numbers as options carry them: plain digits, sizes, durations.
//!
//! Nothing is guessed: a text that is not wholly understood is no number, so that `--port=587x` never ends in
//! a default.

use std::time::Duration;

/// A plain decimal number: digits only, no sign, no blanks, within 64 bits.
#[must_use]
pub fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A number of bytes: digits, optionally followed by `k`, `m` or `g` (either case; powers of 1024).
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit {
        None => 1,
        Some('k' | 'K') => 1 << 10,
        Some('m' | 'M') => 1 << 20,
        Some('g' | 'G') => 1 << 30,
        Some(_) => return None,
    };
    digits(number)?.checked_mul(factor)
}

/// A duration: whole seconds, or digits followed by `s`, `m`, `h`, `d` or `w`; at most [`LONGEST`].
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit {
        None | Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some('w') => 604_800,
        Some(_) => return None,
    };
    seconds_within(digits(number)?.checked_mul(factor)?)
}

/// A duration in plain whole seconds, at most [`LONGEST`].
#[must_use]
pub fn seconds(text: &str) -> Option<Duration> {
    seconds_within(digits(text)?)
}

/// The longest duration an option can give: what 32 bits of seconds hold, about 136 years. Adding it to the
/// present moment never overflows.
pub const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// Options say "no limit" with zero; the program says it with `None`.
#[must_use]
pub fn limit(value: Duration) -> Option<Duration> {
    (!value.is_zero()).then_some(value)
}

fn seconds_within(value: u64) -> Option<Duration> {
    let value = Duration::from_secs(value);
    (value <= LONGEST).then_some(value)
}

fn split_unit(text: &str) -> (&str, Option<char>) {
    match text.chars().next_back() {
        Some(unit) if !unit.is_ascii_digit() => (text.strip_suffix(unit).unwrap_or(text), Some(unit)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_are_a_number() {
        assert_eq!(digits("587"), Some(587));
        for bad in ["", "587x", "+5", "-1", " 5", "5 ", "1_000", "18446744073709551616", "٣"] {
            assert_eq!(digits(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes_take_binary_units() {
        assert_eq!(size("10"), Some(10));
        assert_eq!(size("10k"), Some(10_240));
        assert_eq!(size("3M"), Some(3 << 20));
        assert_eq!(size("1g"), Some(1 << 30));
        for bad in ["", "k", "10kb", "10 k", "1.5m", "99999999999999999g", "10é"] {
            assert_eq!(size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn durations_take_units_and_have_an_end() {
        assert_eq!(duration("300"), Some(Duration::from_secs(300)));
        assert_eq!(duration("5d"), Some(Duration::from_secs(432_000)));
        assert_eq!(duration("2w"), Some(Duration::from_secs(1_209_600)));
        for bad in ["", "d", "5y", "4294967296", "99999999d"] {
            assert_eq!(duration(bad), None, "{bad:?}");
        }
        assert_eq!(seconds("5d"), None);
    }

    #[test]
    fn zero_means_no_limit() {
        assert_eq!(limit(Duration::ZERO), None);
        assert_eq!(limit(Duration::from_secs(1)), Some(Duration::from_secs(1)));
    }
}
