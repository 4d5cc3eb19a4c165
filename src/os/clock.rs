//! The time of day.

use std::env;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The system's zone.
const LOCALTIME: &str = "/etc/localtime";

/// The file is read again after so long, for long-lived processes whose administrator changes the zone.
const AGE: Duration = Duration::from_secs(300);

static ZONE: Mutex<Option<(TimeZone, Instant)>> = Mutex::new(None);

/// The time now, in the zone of `TZ` or `/etc/localtime`; UTC without either.
///
/// `Zoned::now` would list the whole zone database first, to find the name of the zone, which takes a third of the time
/// in which a process is to be ready. Offsets are all that logs and mail show.
pub fn now() -> Zoned {
    if env::var_os("TZ").is_some() {
        return Zoned::now();
    }
    let mut zone = ZONE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = zone.take().filter(|(_, read)| read.elapsed() < AGE);
    let (current, _) = zone.insert(known.unwrap_or_else(|| (read_zone(), Instant::now())));
    Timestamp::now().to_zoned(current.clone())
}

/// Time since 1970; zero by a clock that is set to a time before.
#[must_use]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970.
#[must_use]
pub fn unix_now() -> u64 {
    unix_time().as_secs()
}

fn read_zone() -> TimeZone {
    let zone = fs::read(LOCALTIME).ok().and_then(|bytes| TimeZone::tzif(LOCALTIME, &bytes).ok());
    zone.unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_that_of_the_zone_database() {
        let (ours, theirs) = (now(), Zoned::now());
        assert_eq!(ours.offset(), theirs.offset());
        assert!(theirs.timestamp().as_second() - ours.timestamp().as_second() < 60);
    }
}
