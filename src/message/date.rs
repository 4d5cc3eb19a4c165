//! Values of the `Date:` and `Message-ID:` header fields (RFC 5322 sections 3.3 and 3.6.4).

use jiff::Zoned;
use jiff::fmt::strtime;

/// RFC 5322 section 3.3 `date-time` with a two-digit day: `Fri, 20 Nov 2026 07:09:14 -0330`.
const DATE_TIME: &str = "%a, %d %b %Y %H:%M:%S %z";

/// The date of a message, in the zone of `time`: `Fri, 20 Nov 2026 07:09:14 -0330`.
#[must_use]
pub fn date_time(time: &Zoned) -> String {
    // A zoned time has every part that the format names, so this cannot fail; an empty date would still be legal mail.
    strtime::format(DATE_TIME, time).unwrap_or_default()
}

/// A message id with its angle brackets: `<1795170440.361955.9143@example.org>`, from the time to the
/// microsecond and the process id, which together do not repeat on one host.
#[must_use]
pub fn message_id(time: &Zoned, process: u32, domain: &str) -> String {
    let stamp = time.timestamp();
    let micros = stamp.subsec_microsecond().unsigned_abs();
    format!("<{}.{micros:06}.{process}@{domain}>", stamp.as_second())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::Offset;

    use super::*;

    fn time(utc: &str, offset_minutes: i32) -> Zoned {
        let zone = Offset::from_seconds(offset_minutes * 60).unwrap().to_time_zone();
        utc.parse::<Timestamp>().unwrap().to_zoned(zone)
    }

    #[test]
    fn date_has_weekday_two_digit_day_and_numeric_zone() {
        let newfoundland = time("2026-11-20T10:39:14Z", -210);
        assert_eq!(date_time(&newfoundland), "Fri, 20 Nov 2026 07:09:14 -0330");
        assert_eq!(date_time(&time("2026-11-02T23:59:59Z", 0)), "Mon, 02 Nov 2026 23:59:59 +0000");
    }

    #[test]
    fn message_id_has_seconds_microseconds_process_and_domain() {
        let now = time("2026-11-20T11:07:20.001955Z", 0);
        assert_eq!(message_id(&now, 9143, "ex.org"), "<1795172840.001955.9143@ex.org>");
    }
}
