//! What of `misc` counts, and its values: one of a wrong type counts as not sent.

use std::time::Duration;

use crate::config::Outpost;
use crate::domain::{Credential, Json};

const LONGEST_START: f64 = 3600.0;

/// The members of `misc` that the configuration admits, in their order.
pub fn admitted(credential: &Credential, settings: &Outpost, misc: &Json) -> Json {
    let Json::Object(members) = misc else { return Json::empty_object() };
    let admitted = members.iter().filter(|(key, value)| {
        let is_admitted = settings.admits(key, value);
        if !is_admitted {
            tracing::debug!(%credential, key, "a member of misc is left out: allow_override does not admit it");
        }
        is_admitted
    });
    Json::Object(admitted.cloned().collect())
}

/// Admitted members.
#[derive(Clone, Copy)]
pub struct Misc<'a>(pub &'a Json);

impl<'a> Misc<'a> {
    pub fn get(self, key: &str) -> Option<&'a Json> {
        self.0.get(key)
    }

    pub fn text(self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Json::as_str)
    }

    pub fn boolean(self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Json::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    pub fn port(self) -> Option<u16> {
        match self.get("port") {
            Some(Json::Integer(digits)) => digits.parse().ok().filter(|it| *it != 0),
            _ => None,
        }
    }

    /// At least a second, at most an hour.
    pub fn start_timeout(self, settings: &Outpost) -> Duration {
        let seconds = match self.get("start_timeout") {
            Some(number @ (Json::Integer(_) | Json::Float(_))) => number.to_text().parse::<f64>().ok(),
            _ => None,
        };
        let seconds = seconds.filter(|it| it.is_finite()).map(|it| it.clamp(1.0, LONGEST_START));
        seconds.map_or(Duration::from_secs(settings.start_timeout_seconds), Duration::from_secs_f64)
    }
}
