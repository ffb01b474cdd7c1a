//! Counts: kills by point, and how long recoveries took.

use std::collections::BTreeMap;
use std::time::Duration;

use super::crasher::{Kill, Weather};

#[derive(Default)]
pub struct Report {
    /// By where the process was killed.
    pub kills: BTreeMap<String, u64>,
    recoveries: Vec<Duration>,
}

impl Report {
    pub fn killed(&mut self, kill: Kill, is_as_ordered: bool) {
        let place = match kill {
            Kill::At(point, _) if is_as_ordered => format!("{point:?}"),
            Kill::At(..) => "idle, its point not reached".to_owned(),
            Kill::After(_, Weather::Fair) => "random instant".to_owned(),
            Kill::After(_, Weather::Away) => "random instant, API server away".to_owned(),
            Kill::After(_, Weather::Blind) => "random instant, watches refused and lists empty".to_owned(),
        };
        *self.kills.entry(place).or_default() += 1;
    }

    pub fn recovered(&mut self, time: Duration) {
        self.recoveries.push(time);
    }

    pub fn add(&mut self, other: Report) {
        for (place, count) in other.kills {
            *self.kills.entry(place).or_default() += count;
        }
        self.recoveries.extend(other.recoveries);
    }

    pub fn count(&self) -> u64 {
        self.kills.values().sum()
    }

    /// How long it took for a share of the recoveries, such as 0.95, at most.
    pub fn recovery_at(&self, share: f64) -> Duration {
        let mut times = self.recoveries.clone();
        times.sort();
        let index = (share * times.len() as f64).ceil() as usize;
        times.get(index.clamp(1, times.len().max(1)) - 1).copied().unwrap_or_default()
    }

    pub fn summary(&self) -> String {
        let mut text = String::new();
        for (place, count) in &self.kills {
            text.push_str(&format!("{count:>6}  {place}\n"));
        }
        let [median, p95, longest] = [0.5, 0.95, 1.0].map(|it| self.recovery_at(it).as_secs_f64());
        text.push_str(&format!(
            "{} kills, {} recoveries: median {median:.2} s, p95 {p95:.2} s, longest {longest:.2} s",
            self.count(),
            self.recoveries.len(),
        ));
        text
    }
}
