//! Bounds on connections: how many in all, and how many from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::net::address::Endpoint;

/// A session that has been waiting for a command for less than this is at work, and does not have to make room.
pub const LEAST_IDLE: Duration = Duration::from_secs(10);

/// Counts the connections of one server role.
#[derive(Debug)]
pub struct ConnectionLimits {
    max_total: usize,
    max_per_address: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Connections by number. One that was told to make room is no longer among them.
    seats: HashMap<u64, Arc<Seat>>,
    next: u64,
    by_origin: HashMap<Origin, usize>,
}

/// Where a connection comes from, as far as there is a limit on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An address other than loopback, which all local programs share.
    Address(IpAddr),
    /// A user of this machine other than root.
    User(u32),
}

impl Origin {
    /// What is known of the peer of a connection; none if it is exempt.
    pub fn of(peer: &Endpoint) -> Option<Self> {
        let address = peer.ip().filter(|ip| !ip.is_loopback()).map(Self::Address);
        address.or_else(|| peer.user().filter(|uid| *uid != 0).map(Self::User))
    }
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are as many connections as allowed in all.
    Total,
    /// There are as many connections from this address as allowed.
    Address,
}

/// A counted connection; the count goes down on drop.
#[derive(Debug)]
pub struct Admission {
    limits: Arc<ConnectionLimits>,
    number: u64,
    seat: Arc<Seat>,
    origin: Option<Origin>,
}

/// A connection's place: it says here since when it has been idle, and hears when it has to make room.
#[derive(Debug, Default)]
pub struct Seat {
    idle_since: Mutex<Option<Instant>>,
    /// The client has shown who it is.
    known: AtomicBool,
    /// The client has closed the connection.
    gone: AtomicBool,
    vacate: Notify,
}

impl Seat {
    /// The session has been waiting for a command since then, or is doing something (`None`).
    pub fn set_idle(&self, since: Option<Instant>) {
        *self.lock() = since;
    }

    /// The client has shown who it is: it keeps its place for as long as there are others to make room.
    pub fn set_known(&self, known: bool) {
        self.known.store(known, Ordering::Relaxed);
    }

    /// The client has closed its side: it may not hear what it is told from now on.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Whether the client has closed its side.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Waits until the place has been given to another connection. Cancel-safe.
    pub async fn vacated(&self) {
        self.vacate.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.idle_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionLimits {
    /// Limits of at least one connection each.
    #[must_use]
    pub fn new(max_total: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            max_total: max_total.max(1),
            max_per_address: max_per_address.max(1),
            counts: Mutex::default(),
        })
    }

    /// The limit on all.
    #[must_use]
    pub fn max_total(&self) -> usize {
        self.max_total
    }

    /// The limit per address.
    #[must_use]
    pub fn max_per_address(&self) -> usize {
        self.max_per_address
    }

    /// How many connections there are now.
    #[must_use]
    pub fn total(&self) -> usize {
        self.lock().seats.len()
    }

    /// Counts a connection in. Those without an origin are exempt from the limit per address.
    ///
    /// At the limit on all, the connection that has been idle for longest has to make room, if for [`LEAST_IDLE`].
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn admit(self: &Arc<Self>, origin: Option<Origin>, now: Instant) -> Result<Admission, Refused> {
        let mut counts = self.lock();
        if origin.and_then(|from| counts.by_origin.get(&from)).is_some_and(|n| *n >= self.max_per_address) {
            return Err(Refused::Address);
        }
        if counts.seats.len() >= self.max_total && !counts.make_room(now) {
            return Err(Refused::Total);
        }
        if let Some(from) = origin {
            *counts.by_origin.entry(from).or_default() += 1;
        }
        let number = counts.next;
        counts.next += 1;
        let seat = Arc::<Seat>::default();
        counts.seats.insert(number, Arc::clone(&seat));
        Ok(Admission { limits: Arc::clone(self), number, seat, origin })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // The counts are valid after any panic: no call changes them in more than one step that could fail.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Takes the place of the connection that has been idle for longest, and of one whose client is known only if there is
    /// no other; false if none has been idle for long.
    fn make_room(&mut self, now: Instant) -> bool {
        let long = |since: &Instant| now.saturating_duration_since(*since) >= LEAST_IDLE;
        let idle = self.seats.iter().filter_map(|(number, seat)| {
            let since = seat.lock().filter(long)?;
            Some((seat.known.load(Ordering::Relaxed), since, *number))
        });
        let Some((_, _, number)) = idle.min() else { return false };
        if let Some(seat) = self.seats.remove(&number) {
            seat.vacate.notify_one();
        }
        true
    }
}

impl Admission {
    /// The connection's place.
    #[must_use]
    pub fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.limits.lock();
        counts.seats.remove(&self.number);
        if let Some(from) = self.origin
            && let Some(count) = counts.by_origin.get_mut(&from)
        {
            *count -= 1;
            if *count == 0 {
                counts.by_origin.remove(&from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::net::address::Credentials;

    fn ip(last: u8) -> Option<Origin> {
        Some(Origin::Address(IpAddr::from([192, 0, 2, last])))
    }

    #[test]
    fn the_limit_per_address_spares_others_and_loopback() {
        let now = Instant::now();
        let limits = ConnectionLimits::new(10, 2);
        let first = limits.admit(ip(1), now).unwrap();
        let _second = limits.admit(ip(1), now).unwrap();
        assert_eq!(limits.admit(ip(1), now).unwrap_err(), Refused::Address);
        let _other = limits.admit(ip(2), now).unwrap();
        let loopback = Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 25)));
        let user = |uid| Endpoint::Process(Credentials { uid, gid: 0, pid: None });
        for exempt in [loopback, user(0), Endpoint::Unix(None)] {
            assert_eq!(Origin::of(&exempt), None);
        }
        let _local: Vec<_> = (0..5).map(|_| limits.admit(None, now).unwrap()).collect();
        assert_eq!(Origin::of(&user(1000)), Some(Origin::User(1000)));
        drop(first);
        let _again = limits.admit(ip(1), now).unwrap();
    }

    #[test]
    fn the_total_counts_everybody_and_forgets_the_gone() {
        let now = Instant::now();
        let limits = ConnectionLimits::new(2, 2);
        let a = limits.admit(None, now).unwrap();
        let b = limits.admit(ip(1), now).unwrap();
        assert_eq!(limits.admit(None, now).unwrap_err(), Refused::Total);
        drop((a, b));
        assert_eq!(limits.total(), 0);
        assert!(limits.lock().by_origin.is_empty());
    }
    #[test]
    fn the_longest_idle_makes_room_and_the_busy_never() {
        let start = Instant::now();
        let limits = ConnectionLimits::new(3, 2);
        let [busy, old, older] = [(); 3].map(|()| limits.admit(None, start).unwrap());
        old.seat.set_idle(Some(start + LEAST_IDLE));
        older.seat.set_idle(Some(start));
        let early = start + LEAST_IDLE - Duration::from_millis(1);
        assert_eq!(limits.admit(None, early).unwrap_err(), Refused::Total);
        let _a = limits.admit(None, start + LEAST_IDLE).unwrap();
        assert_eq!(limits.total(), 3);
        assert!(limits.lock().seats.contains_key(&old.number), "the other one has gone");
        drop(older);
        assert_eq!(limits.total(), 3, "its place was taken already");
        let _b = limits.admit(None, start + 3 * LEAST_IDLE).unwrap();
        assert_eq!(limits.admit(None, start + 9 * LEAST_IDLE).unwrap_err(), Refused::Total);
        drop(busy);
        assert_eq!(limits.total(), 2);
    }

    #[test]
    fn who_is_known_makes_room_last() {
        let start = Instant::now();
        let limits = ConnectionLimits::new(3, 3);
        let [known, stranger, fresh] = [(); 3].map(|()| limits.admit(None, start).unwrap());
        known.seat.set_known(true);
        known.seat.set_idle(Some(start));
        stranger.seat.set_idle(Some(start + LEAST_IDLE));
        fresh.seat.set_idle(Some(start + 2 * LEAST_IDLE));
        let _a = limits.admit(None, start + 2 * LEAST_IDLE).unwrap();
        let numbers = || limits.lock().seats.contains_key(&known.number);
        assert!(numbers() && !limits.lock().seats.contains_key(&stranger.number));
        let _b = limits.admit(None, start + 2 * LEAST_IDLE).unwrap();
        assert!(!numbers(), "there was nobody else");
    }

    #[test]
    fn nobody_makes_room_for_one_who_is_refused_anyway() {
        let start = Instant::now();
        let limits = ConnectionLimits::new(2, 1);
        let first = limits.admit(ip(1), start).unwrap();
        let _second = limits.admit(ip(2), start).unwrap();
        first.seat.set_idle(Some(start));
        assert_eq!(limits.admit(ip(2), start + LEAST_IDLE).unwrap_err(), Refused::Address);
        assert_eq!(limits.total(), 2);
    }
}
