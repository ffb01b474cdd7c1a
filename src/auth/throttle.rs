//! How wrong passwords are slowed: by name and address together, and by address alone against many names.
//!
//! Only wrong ones wait, after the check. A right password is let through whatever was tried before it: a refused
//! poll would end servers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::memory::Key;

/// So many failures are free; people mistype.
const FREE_PER_NAME: u32 = 5;
/// Many hubs may come through one proxy's address.
const FREE_PER_ADDRESS: u32 = 50;
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(8);
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);
const MOST_ENTRIES: usize = 8192;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    /// A name is kept as its HMAC: callers choose how long it is.
    NameAndAddress(Key, IpAddr),
    Address(IpAddr),
}

struct Failures {
    count: u32,
    last: Instant,
}

#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<Source, Failures>>);

impl Throttle {
    /// Whether so many attempts failed that further checks must wait for one another. A name that exists is not held up by
    /// what others tried from its address: many hubs may come through one proxy.
    pub(super) fn is_suspect(&self, name: Key, is_known: bool, address: IpAddr, now: Instant) -> bool {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |source, free| count(&entries, source, now) >= free;
        over(Source::NameAndAddress(name, address), FREE_PER_NAME)
            || (!is_known && over(Source::Address(address), FREE_PER_ADDRESS))
    }

    /// Counts a failure and tells how long its answer waits.
    pub(super) fn failed(&self, name: Key, address: IpAddr, now: Instant) -> Duration {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let by_name = add(&mut entries, Source::NameAndAddress(name, address), now);
        let by_address = add(&mut entries, Source::Address(address), now);
        delay(by_name, FREE_PER_NAME).max(delay(by_address, FREE_PER_ADDRESS))
    }

    /// A right password: its name is trusted again from there.
    pub(super) fn succeeded(&self, name: Key, address: IpAddr) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&Source::NameAndAddress(name, address));
    }
}

fn count(entries: &HashMap<Source, Failures>, source: Source, now: Instant) -> u32 {
    entries.get(&source).filter(|it| now.duration_since(it.last) < FORGOTTEN_AFTER).map_or(0, |it| it.count)
}

fn add(entries: &mut HashMap<Source, Failures>, source: Source, now: Instant) -> u32 {
    let count = count(entries, source, now).saturating_add(1);
    if entries.len() >= MOST_ENTRIES && !entries.contains_key(&source) {
        entries.retain(|_, it| now.duration_since(it.last) < FORGOTTEN_AFTER);
        if entries.len() >= MOST_ENTRIES
            && let Some(oldest) = entries.iter().min_by_key(|(_, it)| it.last).map(|(source, _)| *source)
        {
            entries.remove(&oldest);
        }
    }
    entries.insert(source, Failures { count, last: now });
    count
}

fn delay(failures: u32, free: u32) -> Duration {
    match failures.checked_sub(free + 1) {
        None => Duration::ZERO,
        Some(further) => FIRST_DELAY.saturating_mul(1 << further.min(16)).min(LONGEST_DELAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    fn name(number: u64) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn wrong_passwords_wait_longer_and_longer() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let waits: Vec<u128> = (0..13).map(|_| throttle.failed(name(1), HERE, now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert!(throttle.is_suspect(name(1), false, HERE, now));
        assert!(!throttle.is_suspect(name(2), false, HERE, now));
        assert!(!throttle.is_suspect(name(1), false, THERE, now));
        assert_eq!(throttle.failed(name(1), THERE, now), Duration::ZERO);
    }

    #[test]
    fn a_success_or_time_forgives() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..10 {
            throttle.failed(name(1), HERE, now);
            throttle.failed(name(2), HERE, now);
        }
        throttle.succeeded(name(1), HERE);
        assert!(!throttle.is_suspect(name(1), false, HERE, now));
        assert!(throttle.is_suspect(name(2), false, HERE, now + FORGOTTEN_AFTER - Duration::from_secs(1)));
        assert!(!throttle.is_suspect(name(2), false, HERE, now + FORGOTTEN_AFTER));
        assert_eq!(throttle.failed(name(2), HERE, now + FORGOTTEN_AFTER), Duration::ZERO);
    }

    #[test]
    fn an_address_that_tries_many_names_is_slowed() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for number in 0..u64::from(FREE_PER_ADDRESS) {
            assert_eq!(throttle.failed(name(number), HERE, now), Duration::ZERO);
        }
        assert!(throttle.is_suspect(name(999), false, HERE, now));
        assert!(!throttle.is_suspect(name(999), true, HERE, now));
        assert_eq!(throttle.failed(name(999), HERE, now), FIRST_DELAY);
    }

    #[test]
    fn the_table_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for number in 0..MOST_ENTRIES as u64 + 100 {
            throttle.failed(name(number), HERE, now + Duration::from_micros(number));
        }
        assert!(throttle.0.lock().unwrap().len() <= MOST_ENTRIES);
    }
}
