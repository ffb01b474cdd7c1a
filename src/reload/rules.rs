//! flavors.yaml and credits.yaml: read, parsed, swapped. One that is bad keeps its last good version.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use metrics::gauge;

use super::{Reloader, tell};
use crate::config::{Config, Environment};
use crate::flavors::{Entry, MOST_BYTES, Rules, SharedRules, Source, parse};

/// A file that is being written is read until it stays the same for so long.
const SETTLED: Duration = Duration::from_millis(20);
const ATTEMPTS: usize = 40;

/// Where the environment says that the files are, and what is in force.
#[derive(Clone, Default)]
pub struct RuleFiles {
    flavors: Option<PathBuf>,
    credits: Option<PathBuf>,
    pub shared: SharedRules,
}

impl RuleFiles {
    /// Until the files were found good, nothing is known of what is allowed.
    pub fn new(environment: &Environment, config: &Config) -> Self {
        let files = Self {
            flavors: environment.flavors_file.clone(),
            credits: environment.credits_file.clone(),
            shared: SharedRules::default(),
        };
        let mut rules = Rules::default();
        if files.flavors(config).is_some() {
            rules.flavors = Source::Unreadable;
        }
        if files.credits(config).is_some() {
            rules.credits = Source::Unreadable;
        }
        files.shared.replace(rules);
        files
    }

    fn flavors<'a>(&'a self, config: &'a Config) -> Option<&'a Path> {
        self.flavors.as_deref().or(config.flavors_file.as_deref())
    }

    fn credits<'a>(&'a self, config: &'a Config) -> Option<&'a Path> {
        self.credits.as_deref().or(config.credits_file.as_deref())
    }

    /// All there are.
    pub(super) fn paths<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = &'a Path> {
        self.flavors(config).into_iter().chain(self.credits(config))
    }
}

/// What was seen of the files the last time.
#[derive(Default)]
pub(super) struct SeenRules {
    flavors: Seen,
    credits: Seen,
}

#[derive(Default)]
struct Seen {
    /// The text that is in force. `None`: no file was looked at yet, or there is none.
    text: Option<String>,
    has_looked: bool,
    bad_since: Option<Timestamp>,
}

/// What came of looking at one file.
enum Look<E> {
    Unchanged,
    Changed(Source<E>, Vec<String>),
    Bad(String),
}

/// Of both files.
pub(super) struct LookedAtRules {
    pub has_changed: bool,
    pub is_bad: bool,
}

impl Reloader {
    /// Looks at both files. `told` is what was told of this time, `before` the last time.
    pub(super) fn look_at_rules(
        &self,
        seen: &mut SeenRules,
        before: &[String],
        told: &mut Vec<String>,
    ) -> LookedAtRules {
        let config = self.config.current();
        let rules = self.rules.shared.current();
        let (flavors, credits) = (self.rules.flavors(&config), self.rules.credits(&config));
        let flavors = look(&mut seen.flavors, flavors, "flavors", &rules.flavors, before, told);
        let credits = look(&mut seen.credits, credits, "credits", &rules.credits, before, told);
        let has_changed = flavors.is_some() || credits.is_some();
        if has_changed {
            self.rules.shared.replace(Rules {
                flavors: flavors.unwrap_or_else(|| rules.flavors.clone()),
                credits: credits.unwrap_or_else(|| rules.credits.clone()),
            });
        }
        let bad = [("flavors_file", seen.flavors.bad_since), ("credits_file", seen.credits.bad_since)];
        let bad: Vec<_> = bad.into_iter().filter_map(|(name, since)| Some((name, since?))).collect();
        let is_bad = !bad.is_empty();
        self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner).bad_rules = bad;
        LookedAtRules { has_changed, is_bad }
    }
}

/// Gives what is in force from now on, where that is something else.
fn look<E: Entry>(
    seen: &mut Seen,
    path: Option<&Path>,
    file: &'static str,
    in_force: &Source<E>,
    before: &[String],
    told: &mut Vec<String>,
) -> Option<Source<E>> {
    let is_first = !std::mem::replace(&mut seen.has_looked, true);
    let looked = look_at::<E>(seen, path, is_first);
    if path.is_some() {
        let is_good = !matches!(looked, Look::Bad(_));
        gauge!("k8smgr_rules_last_reload_success", "file" => file).set(if is_good { 1 } else { 0 });
    }
    match looked {
        Look::Unchanged => {
            seen.bad_since = None;
            None
        }
        Look::Changed(source, warnings) => {
            seen.bad_since = None;
            if !is_first {
                tracing::info!(file, "{file} changed");
            }
            warnings.iter().for_each(|warning| tracing::warn!(file, "{warning}"));
            Some(source)
        }
        Look::Bad(reason) => {
            seen.bad_since.get_or_insert_with(Timestamp::now);
            let stays = match matches!(in_force, Source::Unreadable) {
                true => "until it is good, starts that need it are refused",
                false => "the last good version stays",
            };
            tell(before, told, format!("{file}: {reason}"), |_| {
                tracing::error!(file, reason, "a file with rules is bad: {stays}");
            });
            None
        }
    }
}

fn look_at<E: Entry>(seen: &mut Seen, path: Option<&Path>, is_first: bool) -> Look<E> {
    let text = match path.map(|it| read_settled(it, seen.text.as_deref())) {
        None => None,
        Some(Ok(text)) => text,
        Some(Err(reason)) => return Look::Bad(reason),
    };
    let is_same = seen.text == text && seen.bad_since.is_none() && !is_first;
    // One that was put back as it was is in force still.
    if is_same || (seen.text == text && seen.bad_since.is_some() && text.is_some()) {
        return Look::Unchanged;
    }
    let parsed = match &text {
        None => Ok(None),
        Some(text) => parse::<E>(text),
    };
    match parsed {
        Ok(parsed) => {
            seen.text = text;
            let warnings = parsed.iter().flat_map(|it| it.warnings.iter().map(ToString::to_string)).collect();
            let source = parsed.map_or(Source::Absent, |it| Source::Book(std::sync::Arc::new(it.book)));
            Look::Changed(source, warnings)
        }
        Err(error) => Look::Bad(error.to_string()),
    }
}

/// The text, once it stays the same. `None`: there is no file.
fn read_settled(path: &Path, known: Option<&str>) -> Result<Option<String>, String> {
    let mut text = read(path)?;
    for _ in 0..ATTEMPTS {
        if text.as_deref() == known {
            break;
        }
        std::thread::sleep(SETTLED);
        let again = read(path)?;
        if again == text {
            break;
        }
        text = again;
    }
    Ok(text)
}

fn read(path: &Path) -> Result<Option<String>, String> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let mut bytes = Vec::new();
    // One byte more, so that it is told that there are more.
    let read = file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("it cannot be read: {error}"))?;
    String::from_utf8(bytes).map(Some).map_err(|_| "it is not UTF-8".to_owned())
}
