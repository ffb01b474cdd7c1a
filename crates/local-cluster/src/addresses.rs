//! Cluster IPs of Services: each given once until it is freed.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

/// The addresses of 10.96.0.0/16 that are taken.
#[derive(Default)]
pub struct Addresses {
    taken: Mutex<(u16, HashSet<u16>)>,
}

impl Addresses {
    /// The next free address.
    pub fn allocate(&self) -> Option<Ipv4Addr> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..u16::MAX {
            taken.0 = taken.0.wrapping_add(1);
            let next = taken.0;
            // Spread like a random choice would, without a collision: multiplication by an odd number is a bijection.
            let number = next.wrapping_mul(40_503);
            if number.to_be_bytes()[1] != 0 && number.to_be_bytes()[1] != 255 && taken.1.insert(number) {
                let [third, fourth] = number.to_be_bytes();
                return Some(Ipv4Addr::new(10, 96, third, fourth));
            }
        }
        None
    }

    /// Takes the address a client asked for; false when another has it.
    pub fn take(&self, address: Ipv4Addr) -> bool {
        let Some(number) = number(address) else { return false };
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).1.insert(number)
    }

    pub fn free(&self, address: Ipv4Addr) {
        if let Some(number) = number(address) {
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&number);
        }
    }
}

fn number(address: Ipv4Addr) -> Option<u16> {
    match address.octets() {
        [10, 96, third, fourth] => Some(u16::from_be_bytes([third, fourth])),
        _ => None,
    }
}
