//! Whether the skeletons can be copied. They are read when a home is made, so that a change needs no reload; what is
//! wrong with one would be met first by a new user.

use jiff::Timestamp;
use metrics::gauge;

use super::{Reloader, tell};
use crate::check::broken_skeletons;

impl Reloader {
    /// Looks at all skeletons and tells which cannot be copied. Blocks.
    pub fn look_at_skeletons(&self) {
        let homes = &self.config.current().userhomes;
        let mut broken = broken_skeletons(homes);
        // A checkout may have been exchanged midway.
        if !broken.is_empty() {
            let again = broken_skeletons(homes);
            broken.retain(|it| again.contains(it));
        }
        let mut known = self.told_of_skeletons.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut told = Vec::new();
        for it in &broken {
            tell(&known, &mut told, format!("{}: {}", it.path, it.reason), |reason| {
                tracing::error!(skeleton = it.name, reason, "a skeleton cannot be copied: starts of new users fail");
            });
        }
        if told.is_empty() && !known.is_empty() {
            tracing::info!("all skeletons can be copied again");
        }
        *known = told;
        gauge!("k8smgr_skeletons_broken").set(broken.len() as f64);
        let mut status = self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        status.skeletons_broken_since =
            (!broken.is_empty()).then(|| status.skeletons_broken_since.unwrap_or_else(Timestamp::now));
        status.broken_skeletons = broken.into_iter().map(|it| it.name).collect();
    }
}
