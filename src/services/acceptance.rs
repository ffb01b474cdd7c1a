//! A start that takes long: once its owner object is there, or the API server is known to be there and only overloaded,
//! the hub may be answered while the rest is still being made.
//!
//! An overloaded API server asks for pauses that add up to more than a hub waits. What comes of the start then is told by
//! polls.

use std::sync::{Mutex, PoisonError};

use crate::domain::ServiceRecord;

/// What the hub was told so far; decided once, between the one that waits and the one that works.
#[derive(Default)]
pub struct Acceptance(Mutex<Told>);

#[derive(Default)]
enum Told {
    #[default]
    Nothing,
    /// It may be told that the start goes on.
    Accepted(Box<ServiceRecord>),
    Answered,
    /// The start ended first.
    Over,
}

impl Acceptance {
    /// Only what passes by itself can keep the rest from being made.
    pub fn accept(&self, record: &ServiceRecord) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*told, Told::Nothing) {
            *told = Told::Accepted(Box::new(record.clone()));
        }
    }

    /// For the one that cannot wait any longer: what to answer, if anything may be.
    pub fn answer(&self) -> Option<ServiceRecord> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *told, Told::Answered) {
            Told::Accepted(record) => Some(*record),
            before => {
                *told = before;
                None
            }
        }
    }

    /// For the one that works, at its end: whether the hub was answered already.
    pub fn was_answered(&self) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = matches!(*told, Told::Answered);
        if !answered {
            *told = Told::Over;
        }
        answered
    }
}
