//! Keywords that nobody replaced, and own keywords that nobody uses.

use std::collections::BTreeSet;

use serde_json::Value;

use super::codes::Code;
use super::configuration::ConfigFile;
use super::finding::{Audience, Finding, Findings};
use super::origin::{Origin, Place};
use crate::config::{Keywords, Replace};
use crate::description::documents;

/// As like as this, one was meant for the other.
const LIKENESS: f64 = 0.88;
/// Elements of HTML that have no end.
const VOID: [&str; 7] = ["br", "hr", "img", "link", "meta", "wbr", "area"];

/// The built-in keywords, as the configuration calls them.
pub fn built_in(replace: &Replace) -> [(&'static str, &str); 7] {
    [
        ("input_keyword", &replace.input_keyword),
        ("drfid_keyword", &replace.drfid_keyword),
        ("uniqueuserid_keyword", &replace.uniqueuserid_keyword),
        ("userid_keyword", &replace.userid_keyword),
        ("secretname_keyword", &replace.secretname_keyword),
        ("secretcertsname_keyword", &replace.secretcertsname_keyword),
        ("namespace_keyword", &replace.namespace_keyword),
    ]
}

/// All own keywords with where they stand: stage, credential, JSON pointer.
fn own(replace: &Replace) -> Vec<OwnKeyword<'_>> {
    let mut all = Vec::new();
    let mut add = |stage: Option<&'_ String>, credential: Option<&'_ String>, keywords: &'_ Keywords, path: String| {
        for (name, value) in &keywords.0 {
            let (stage, credential) = (stage.cloned(), credential.cloned());
            // The borrow is that of `replace`, which the closure cannot say.
            all.push((stage, credential, name.clone(), value.as_str().to_owned(), format!("{path}/{name}")));
        }
    };
    for (stage, keywords) in &replace.stage {
        add(Some(stage), None, keywords, format!("stage/{stage}"));
    }
    for (credential, keywords) in &replace.credential {
        add(None, Some(credential), keywords, format!("credential/{credential}"));
    }
    for (stage, credentials) in &replace.stage_credential {
        for (credential, keywords) in credentials {
            add(Some(stage), Some(credential), keywords, format!("stage_credential/{stage}/{credential}"));
        }
    }
    let make = |(stage, credential, name, value, path)| OwnKeyword { replace, stage, credential, name, value, path };
    all.into_iter().map(make).collect()
}

struct OwnKeyword<'a> {
    replace: &'a Replace,
    stage: Option<String>,
    credential: Option<String>,
    name: String,
    value: String,
    path: String,
}

impl OwnKeyword<'_> {
    fn holds_for(&self, audience: &Audience) -> bool {
        self.stage.as_ref().is_none_or(|it| audience.stage.as_ref() == Some(it))
            && self.credential.as_ref().is_none_or(|it| audience.credential == *it)
    }

    fn is_in(&self, text: &str, is_template: bool) -> bool {
        let indicators = &self.replace.indicators;
        let marked = format!("{}{}{}", indicators.open, self.name, indicators.close);
        text.contains(&marked) || is_template && text.contains(&self.name)
    }
}

/// The source of a description, for whom it was rendered.
pub struct Usage {
    pub audience: Audience,
    pub source: String,
    pub is_template: bool,
}

/// Own keywords that stand in no description that they hold for, and those that built-in ones hide.
pub fn unused(file: &ConfigFile, usages: &[Usage], findings: &mut Findings) {
    let replace = &file.config.services.replace;
    let own = own(replace);
    let built_in: BTreeSet<&str> = built_in(replace).map(|(_, name)| name).into();
    for keyword in &own {
        let pointer = format!("/services/replace/{}", keyword.path);
        if built_in.contains(keyword.name.as_str()) {
            let message = format!("`{}` is a built-in keyword too", keyword.name);
            findings.add(file.finding(Code::KeywordShadowed, message, &pointer));
            continue;
        }
        let in_source =
            usages.iter().any(|it| keyword.holds_for(&it.audience) && keyword.is_in(&it.source, it.is_template));
        let in_value = own.iter().any(|it| it.path != keyword.path && keyword.is_in(&it.value, false));
        if !in_source && !in_value {
            let message = format!("no description uses `{}`", keyword.name);
            findings.add(file.finding(Code::KeywordUnused, message, &pointer));
        }
    }
}

/// What looks like a keyword and was not replaced.
pub fn left_over(origin: &Origin, replace: &Replace, audience: &Audience, findings: &mut Findings) {
    let known = Known { own: own(replace), replace, audience, is_template: origin.file.name.ends_with(".hbs") };
    let Ok(documents) = documents(&origin.file.text) else {
        // Not YAML: line by line, without what is only a comment.
        let lines = origin.file.text.lines().enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.trim_start().starts_with('#')) {
            known.look_at(line, &mut |finding| findings.add(finding.at(&origin.path, origin.line(index + 1))));
        }
        return;
    };
    for (index, document) in documents.iter().enumerate() {
        let place = Place { document: index, path: String::new() };
        walk(document.as_ref().unwrap_or(&Value::Null), String::new(), &mut |text, pointer| {
            known.look_at(text, &mut |finding| {
                let line = line_of(origin, &place, pointer, &finding.message);
                findings.add(finding.at(&origin.path, line));
            });
        });
    }
}

/// Every text of a value, keys included.
fn walk(value: &Value, pointer: String, look: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => look(text, &pointer),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, it)| walk(it, format!("{pointer}/{index}"), look));
        }
        Value::Object(members) => {
            for (key, member) in members {
                let below = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                look(key, &below);
                walk(member, below, look);
            }
        }
        _ => {}
    }
}

/// A text may go over several lines: the first one from its begin that holds the keyword.
fn line_of(origin: &Origin, place: &Place, pointer: &str, message: &str) -> Option<usize> {
    let first = origin.lines.line(place.document, pointer)?;
    let marked = message.split('`').nth(1)?;
    let rest = origin.file.text.lines().enumerate().skip(first - 1);
    let (index, _) = rest.into_iter().find(|(_, line)| line.contains(marked))?;
    origin.line(index + 1)
}

struct Known<'a> {
    own: Vec<OwnKeyword<'a>>,
    replace: &'a Replace,
    audience: &'a Audience,
    is_template: bool,
}

impl Known<'_> {
    fn look_at(&self, text: &str, tell: &mut dyn FnMut(Finding)) {
        let (open, close) = (self.replace.indicators.open.as_str(), self.replace.indicators.close.as_str());
        let mut rest = text;
        while let Some((_, behind)) = rest.split_once(open) {
            rest = behind;
            let end = behind.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(behind.len());
            let (name, after) = behind.split_at(end);
            let is_word = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
            let is_html = VOID.contains(&name) || text.contains(&format!("</{name}>"));
            if is_word && after.is_empty() && text.strip_prefix(open) == Some(name) {
                tell(Finding::new(Code::KeywordUnknown, format!("`{open}{name}` is not closed by `{close}`")));
            }
            if !is_word || is_html || !after.starts_with(close) {
                continue;
            }
            if let Some((why, is_milder)) = self.why(name, text) {
                let message = format!("`{open}{name}{close}` {why}");
                tell(Finding::new(Code::KeywordUnknown, message).milder(is_milder));
            }
        }
    }

    /// Why it was left, and whether it may be plain text.
    fn why(&self, name: &str, text: &str) -> Option<(String, bool)> {
        let built_in = built_in(self.replace).map(|(_, name)| name);
        let holds = |it: &&OwnKeyword<'_>| it.holds_for(self.audience);
        let is_known = built_in.contains(&name) || self.own.iter().filter(holds).any(|it| it.name == name);
        if self.is_template {
            return is_known.then(|| (format!("stays as it is in a template: write {{{{{name}}}}}"), false));
        }
        if is_known {
            let why = "stays: it came in by a keyword that is replaced later than this one".to_owned();
            return Some((why, false));
        }
        if self.own.iter().any(|it| it.name == name) {
            return Some(("is defined for other stages or credentials only".to_owned(), false));
        }
        let names = built_in.into_iter().chain(self.own.iter().filter(holds).map(|it| it.name.as_str()));
        let likeness = |it: &str| strsim::jaro_winkler(name, it);
        let closest = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|it| likeness(it) > LIKENESS);
        Some(match closest {
            Some(closest) => (format!("is not known; did you mean `{closest}`?"), false),
            None => ("is not known".to_owned(), text.contains(char::is_whitespace)),
        })
    }
}
