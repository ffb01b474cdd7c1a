//! Changes of config.json and of the service descriptions, applied while we run: `watch -> debounce -> load ->
//! validate -> diff -> swap`.
//!
//! What is bad keeps the last good one and is told: in the log, in `/readyz`, in metrics. A start is made from one
//! description and the configuration that it was good with, so while config.json is bad no description changes
//! either. Skeletons are read when a home is made; one that cannot be copied is told beforehand.

mod places;
mod rules;
mod skeletons;
mod status;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Config, ConfigError, SharedConfig};
use crate::description::{Catalogue, Place, SharedCatalogue};

pub use rules::RuleFiles;
pub use status::{BadFile, ReloadStatus};
pub use watch::follow_forever;

/// How often files that change while they are read are read again, and the pauses between.
const ATTEMPTS: usize = 40;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// A log line names no more.
const MOST_NAMED: usize = 20;

/// What came of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Unchanged,
    Changed,
    /// Something is bad: the last good one stays.
    Failed,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Unchanged => "unchanged",
            Outcome::Changed => "changed",
            Outcome::Failed => "failed",
        }
    }
}

/// Looks for changes and applies them.
pub struct Reloader {
    /// Without a file all is as built in.
    file: Option<PathBuf>,
    config: SharedConfig,
    descriptions: SharedCatalogue,
    place: Place,
    rules: RuleFiles,
    /// Whoever has it looks and applies; nothing older is applied later.
    turn: Mutex<Turn>,
    status: Mutex<ReloadStatus>,
    told_of_skeletons: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Turn {
    has_looked: bool,
    /// The text that the configuration in force was read from.
    text: Option<String>,
    rules: rules::SeenRules,
    /// What was told of the bad file and of broken descriptions, so that it is told once.
    told: Vec<String>,
}

/// config.json as it is on the disk.
struct Read {
    text: Option<String>,
    config: Parsed,
}

/// The configuration that should be in force; what waits for a restart, by name; warnings.
type Parsed = Result<(Arc<Config>, Vec<&'static str>, Vec<String>), ConfigError>;

impl Reloader {
    pub fn new(
        file: Option<PathBuf>,
        config: SharedConfig,
        descriptions: SharedCatalogue,
        place: Place,
        rules: RuleFiles,
    ) -> Arc<Self> {
        let status = ReloadStatus { generation: 1, ..ReloadStatus::default() };
        let (turn, status, told_of_skeletons) = (Mutex::default(), Mutex::new(status), Mutex::default());
        Arc::new(Self { file, config, descriptions, place, rules, turn, status, told_of_skeletons })
    }

    pub fn status(&self) -> ReloadStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the disk and applies what changed; what is bad is kept out. Blocks.
    pub fn reload(&self) -> Outcome {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, catalogue) = self.read_all(&turn);
        let before = self.descriptions.current();
        let changed_descriptions = catalogue.differences(&before);
        let (broken, unreadable) = (catalogue.broken(), catalogue.unreadable.clone());
        let mut told = Vec::new();
        // The first look finds them all.
        let is_first = !std::mem::replace(&mut turn.has_looked, true);
        let mut has_changed = !changed_descriptions.is_empty() && !is_first;
        let bad = match read.config {
            Ok((config, waiting, warnings)) => {
                let running = self.config.current();
                if !Arc::ptr_eq(&config, &running) {
                    has_changed = true;
                    let fields = listed(&running.changed_fields(&config));
                    tracing::info!(fields, "configuration changed");
                    self.config.replace(config);
                }
                if turn.text != read.text {
                    // Whoever read the file at the start has told its warnings.
                    warnings.iter().filter(|_| !is_first).for_each(|warning| tracing::warn!("{warning}"));
                    if !waiting.is_empty() {
                        tracing::warn!(
                            fields = waiting.join(", "),
                            "changed in config.json, and applied at the next start"
                        );
                    }
                    turn.text = read.text;
                }
                None
            }
            Err(error) => {
                tell(&turn.told, &mut told, error.to_string(), |text| {
                    tracing::error!(
                        error = text,
                        "config.json is bad: the last good configuration stays, and the descriptions as they are"
                    );
                });
                Some(error)
            }
        };
        self.descriptions.replace(Arc::new(catalogue));
        let before_turn = std::mem::take(&mut turn.told);
        let rules = self.look_at_rules(&mut turn.rules, &before_turn, &mut told);
        turn.told = before_turn;
        has_changed |= rules.has_changed && !is_first;
        if is_first {
            tracing::info!(good = changed_descriptions.len(), broken = broken.len(), "service descriptions read");
        } else if !changed_descriptions.is_empty() {
            tracing::info!(descriptions = listed(&changed_descriptions), "service descriptions changed");
        }
        for it in &broken {
            tell(&turn.told, &mut told, format!("{}: {}", it.name, it.reason), |_| {
                let stays = if it.has_good { "starts use the last good version" } else { "starts fail" };
                tracing::error!(description = it.name, reason = it.reason, "a service description is broken: {stays}");
            });
        }
        for it in unreadable {
            tell(&turn.told, &mut told, it, |it| {
                tracing::warn!(reason = it, "service descriptions cannot be seen; what is known of them stays");
            });
        }
        if told.is_empty() && !turn.told.is_empty() {
            tracing::info!("configuration, descriptions and rules are good again");
        }
        turn.told = told;
        let outcome = match (&bad, broken.is_empty(), has_changed) {
            (Some(_), ..) | (None, false, _) => Outcome::Failed,
            (None, true, _) if rules.is_bad => Outcome::Failed,
            (None, true, true) => Outcome::Changed,
            (None, true, false) => Outcome::Unchanged,
        };
        self.note(bad.as_ref(), broken, has_changed);
        metrics::counter!("k8smgr_config_reloads_total", "outcome" => outcome.as_str()).increment(1);
        outcome
    }

    /// Configuration and descriptions of one moment: the file is the same before the descriptions were read and after.
    fn read_all(&self, turn: &Turn) -> (Read, Catalogue) {
        let mut found = self.read_text();
        let mut pause = FIRST_PAUSE;
        for _ in 0..ATTEMPTS {
            let known = self.descriptions.current();
            let text = found.as_ref().ok().cloned().flatten();
            let config = self.parse(found, turn);
            let catalogue = match &config {
                Ok((config, ..)) => known.next(config.clone(), &self.place),
                Err(_) => known.without_removed(),
            };
            found = self.read_text();
            if found.as_ref().ok().cloned().flatten() == text {
                return (Read { text, config }, catalogue);
            }
            // Several exchanges that follow each other, such as those of a deployment, are soon over.
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // It never stays the same: what is in force goes on until it does.
        let catalogue = self.descriptions.current().without_removed();
        let config = Ok((self.config.current(), Vec::new(), Vec::new()));
        (Read { text: turn.text.clone(), config }, catalogue)
    }

    /// Nothing where there is no file to read.
    fn read_text(&self) -> Result<Option<String>, ConfigError> {
        let Some(file) = &self.file else { return Ok(None) };
        let read = std::fs::read_to_string(file).map(Some);
        read.map_err(|source| ConfigError::Read { file: file.display().to_string(), source })
    }

    fn parse(&self, text: Result<Option<String>, ConfigError>, turn: &Turn) -> Parsed {
        let running = self.config.current();
        let (text, name) = match (text?, &self.file) {
            (Some(text), Some(file)) if turn.text.as_ref() != Some(&text) => (text, file.display().to_string()),
            _ => return Ok((running, Vec::new(), Vec::new())),
        };
        let mut loaded = Config::from_json(&text, &name)?;
        let waiting = loaded.config.keep_until_restart(&running);
        let config = if loaded.config.is_same(&running) { running } else { Arc::new(loaded.config) };
        Ok((config, waiting, loaded.warnings))
    }
}

/// Tells what was not told the last time.
fn tell(before: &[String], now: &mut Vec<String>, text: String, log: impl FnOnce(&str)) {
    if !before.contains(&text) {
        log(&text);
    }
    now.push(text);
}

fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > MOST_NAMED {
        text.push_str(&format!(" and {} more", names.len() - MOST_NAMED));
    }
    text
}

impl Reloader {
    fn note(&self, bad: Option<&ConfigError>, broken: Vec<crate::description::Broken>, has_changed: bool) {
        let now = Timestamp::now();
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if has_changed {
            status.generation += 1;
        }
        let since = |known: Option<Timestamp>| known.unwrap_or(now);
        status.bad_file = bad
            .map(|error| BadFile { since: since(status.bad_file.as_ref().map(|it| it.since)), place: error.place() });
        status.broken_since = (!broken.is_empty()).then(|| since(status.broken_since));
        status.broken = broken;
        status.count(self.descriptions.current().len(), now);
    }
}

#[cfg(test)]
mod tests;
