//! How reloading fares, for `/readyz` and for metrics.

use jiff::Timestamp;
use metrics::gauge;

use crate::description::Broken;

/// config.json is bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    pub since: Timestamp,
    /// Where, without any value of the file: this is read without a login.
    pub place: String,
}

#[derive(Clone, Debug, Default)]
pub struct ReloadStatus {
    /// Grows with every change that took effect.
    pub generation: u64,
    pub bad_file: Option<BadFile>,
    pub broken: Vec<Broken>,
    pub broken_since: Option<Timestamp>,
    /// flavors.yaml or credits.yaml, by the key of the configuration, and since when.
    pub bad_rules: Vec<(&'static str, Timestamp)>,
    /// The names of skeletons that cannot be copied.
    pub broken_skeletons: Vec<String>,
    pub skeletons_broken_since: Option<Timestamp>,
}

impl ReloadStatus {
    /// What is broken among the descriptions, in one line.
    pub fn broken_descriptions(&self) -> Option<String> {
        one_line(&self.broken.first()?.name, self.broken.len())
    }

    /// Which skeletons cannot be copied, in one line.
    pub fn skeletons(&self) -> Option<String> {
        one_line(self.broken_skeletons.first()?, self.broken_skeletons.len())
    }

    pub(super) fn count(&self, descriptions: usize, now: Timestamp) {
        let number = |it: usize| it as f64;
        gauge!("k8smgr_config_generation").set(self.generation as f64);
        gauge!("k8smgr_config_last_reload_success").set(if self.bad_file.is_none() { 1 } else { 0 });
        if self.bad_file.is_none() {
            gauge!("k8smgr_config_last_reload_success_timestamp_seconds").set(now.as_second() as f64);
        }
        gauge!("k8smgr_descriptions", "state" => "broken").set(number(self.broken.len()));
        gauge!("k8smgr_descriptions", "state" => "good")
            .set(number(descriptions - self.broken.len().min(descriptions)));
    }
}

fn one_line(first: &str, number: usize) -> Option<String> {
    let more = match number.saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("broken: {first}{more}; the log says why"))
}
