//! How the certificate fares: told once in the log, and always in metrics and `/readyz`.

use std::time::Duration;

use jiff::Timestamp;
use metrics::{counter, gauge};

use super::{Problem, TlsError, Validity};

/// Whoever renews certificates by themselves has done so by then: a sixth of their time is left, or two weeks.
const LATE_PART: u32 = 6;
const LATE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

pub struct Status {
    /// Of the certificate in use.
    validity: Validity,
    /// Since when what is on the disk cannot be used, and why, without paths.
    bad: Option<(Timestamp, String)>,
    /// What was told, so that it is told once.
    told: Option<String>,
    told_of_its_end: Option<Stage>,
}

/// How far a certificate is on its way to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Late,
    Expired,
}

impl Stage {
    fn of(validity: Validity, now: Timestamp) -> Option<Self> {
        match () {
            () if now > validity.not_after => Some(Stage::Expired),
            () if validity.ends_soon(now, LATE_PART, LATE) => Some(Stage::Late),
            () => None,
        }
    }
}

impl Status {
    pub(super) fn new(validity: Validity) -> Self {
        Self { validity, bad: None, told: None, told_of_its_end: None }
    }

    /// Takes what came of a look: whether another certificate is in force, or why not.
    pub(super) fn note(&mut self, outcome: Result<bool, TlsError>, in_force: Validity, now: Timestamp) {
        self.validity = in_force;
        let name = match &outcome {
            Ok(true) => "changed",
            Ok(false) => "unchanged",
            Err(_) => "failed",
        };
        match outcome {
            Ok(has_changed) => {
                if has_changed {
                    tracing::info!(valid_until = %in_force.not_after, "new files of TLS are in use");
                } else if self.bad.is_some() {
                    tracing::info!("the files of TLS are good again");
                }
                (self.bad, self.told) = (None, None);
            }
            Err(error) => self.note_failure(&error, now),
        }
        let stage = Stage::of(in_force, now);
        if stage != self.told_of_its_end {
            let valid_until = in_force.not_after;
            match stage {
                Some(Stage::Late) => tracing::warn!(%valid_until, "the TLS certificate ends soon; renew it"),
                Some(Stage::Expired) => tracing::error!(%valid_until, "the TLS certificate has expired; renew it"),
                None => {}
            }
            self.told_of_its_end = stage;
        }
        counter!("k8smgr_tls_reloads_total", "outcome" => name).increment(1);
        gauge!("k8smgr_tls_last_reload_success").set(if self.bad.is_none() { 1 } else { 0 });
        gauge!("k8smgr_tls_certificate_not_after_timestamp_seconds").set(in_force.not_after.as_second() as f64);
    }

    fn note_failure(&mut self, error: &TlsError, now: Timestamp) {
        let text = match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        if self.told.as_ref() != Some(&text) {
            // Certificate and key are often written one after the other.
            if matches!(error, TlsError::Bad { problem: Problem::Mismatch, .. } | TlsError::Unrest) {
                tracing::warn!(error = text, "the TLS certificate in use stays until the new files belong together");
            } else {
                tracing::error!(error = text, "the files of TLS are bad: the TLS certificate in use stays");
            }
        }
        let since = self.bad.as_ref().map_or(now, |(since, _)| *since);
        self.bad = Some((since, error.without_paths()));
        self.told = Some(text);
    }

    /// Since when, where it is known, and what is wrong.
    pub(super) fn problem(&self, now: Timestamp) -> Option<(Option<Timestamp>, String)> {
        let until = self.validity.not_after;
        match (&self.bad, Stage::of(self.validity, now)) {
            (Some((since, why)), Some(Stage::Expired)) => {
                Some((Some(*since), format!("the certificate in use has expired, at {until:.0}, and {why}")))
            }
            (Some((since, why)), _) => {
                Some((Some(*since), format!("{why}; the one in use stays, valid until {until:.0}")))
            }
            (None, Some(Stage::Expired)) => {
                Some((Some(until), format!("the certificate has expired, at {until:.0}; renew it")))
            }
            (None, Some(Stage::Late)) => Some((None, format!("the certificate ends soon, at {until:.0}; renew it"))),
            (None, None) => None,
        }
    }
}
