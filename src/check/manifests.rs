//! The objects of a description: names, labels, duplicates, and names that two starts would share.

use serde_json::Value;

use super::codes::Code;
use super::finding::{Finding, Findings};
use super::kubernetes_names::{Rule, is_label_value, rule_for};
use super::origin::{Origin, Place};
use crate::description::manifest;
use crate::description::workload::pod_path;
use crate::description::{Manifest, names};
use crate::domain::ObjectId;

/// The objects of a file with their places; none where it cannot be read.
pub fn of(origin: &Origin) -> Vec<(Manifest, Place)> {
    let manifests = manifest::parse(&origin.file.text, &origin.file.name).unwrap_or_default();
    manifests.into_iter().zip(origin.places()).collect()
}

/// What names are made of, so that messages can be written for any start.
pub struct Sample<'a> {
    pub id: &'a ObjectId,
    pub user_id: i64,
    pub deployment_name: &'a str,
    pub namespace: &'a str,
    /// What a hub of Outpost's protocol calls the server's objects: a newer start takes them over.
    pub pod_name: Option<&'a str>,
    /// What a keyword begins with: a name with one left is told already.
    pub indicator: &'a str,
}

impl Sample<'_> {
    /// A name as the description has it, more or less.
    pub fn shown(&self, name: &str) -> String {
        let name = self.pod_name.map_or_else(|| name.to_owned(), |it| name.replace(it, "<pod_name>"));
        name.replace(self.id.as_str(), "<id>").replace(&self.user_id.to_string(), "<user_id>")
    }

    pub fn is_of_start(&self, name: &str) -> bool {
        name.contains(self.id.as_str()) || self.pod_name.is_some_and(|it| name.contains(it))
    }

    fn is_of_user(&self, name: &str) -> bool {
        name.contains(&self.user_id.to_string())
    }

    /// The Secrets that a start makes itself.
    pub fn secrets(&self) -> [String; 2] {
        [names::secret_name(self.id, self.deployment_name), names::certs_secret_name(self.id, self.deployment_name)]
    }
}

/// service.yaml's objects.
pub fn check(origin: &Origin, objects: &[(Manifest, Place)], sample: &Sample<'_>, findings: &mut Findings) {
    each(origin, objects, sample, findings);
    for (manifest, place) in objects {
        if !sample.is_of_start(&manifest.name) && !manifest.is_kept() && !manifest.is_name_generated {
            let shared = if sample.is_of_user(&manifest.name) { "all starts of a user" } else { "all starts" };
            let message = format!("{} {}: {shared} have the same name", manifest.kind, sample.shown(&manifest.name));
            let finding = origin.finding(Code::NameNotUnique, place, "/metadata/name", message);
            findings.add(finding.milder(sample.is_of_user(&manifest.name)));
        }
    }
    duplicates(origin, objects, sample, findings);
}

/// What holds for update.yaml too.
pub fn each(origin: &Origin, objects: &[(Manifest, Place)], sample: &Sample<'_>, findings: &mut Findings) {
    for (manifest, place) in objects {
        name(origin, manifest, place, sample, findings);
        for pointer in ["/metadata/labels", "/spec/template/metadata/labels", "/spec/selector/matchLabels"] {
            labels(origin, manifest, place, pointer, sample, findings);
        }
    }
}

fn name(origin: &Origin, manifest: &Manifest, place: &Place, sample: &Sample<'_>, findings: &mut Findings) {
    let (field, added) = if manifest.is_name_generated { ("generateName", 5) } else { ("name", 0) };
    let rule = rule_for(&manifest.api_version, &manifest.kind);
    let is_too_long = manifest.name.len() + added > rule.longest();
    let reason = if is_too_long {
        format!(
            "it has {} characters with the longest id, and may have {}",
            manifest.name.len() + added,
            rule.longest()
        )
    } else if !manifest.name.contains(sample.indicator)
        && !rule.holds(manifest.name.trim_end_matches(if added > 0 { '-' } else { '\0' }))
    {
        rule.what().to_owned()
    } else {
        return;
    };
    let message = format!("{}: the name {}: {reason}", manifest.kind, sample.shown(&manifest.name));
    findings.add(origin.finding(Code::NameInvalid, place, &format!("/metadata/{field}"), message));
}

fn labels(
    origin: &Origin,
    manifest: &Manifest,
    place: &Place,
    pointer: &str,
    sample: &Sample<'_>,
    findings: &mut Findings,
) {
    let members = manifest.object.pointer(pointer).and_then(Value::as_object);
    for (label, value) in members.into_iter().flatten() {
        let is_wrong = |it: &&str| !is_label_value(it) && !it.contains(sample.indicator);
        let Some(value) = value.as_str().filter(is_wrong) else { continue };
        let message = format!(
            "{}: the label {label} has the value `{}` ({} characters): {}",
            manifest.kind,
            sample.shown(value),
            value.len(),
            Rule::LABEL_VALUE
        );
        let at = format!("{pointer}/{}", label.replace('~', "~0").replace('/', "~1"));
        findings.add(origin.finding(Code::NameInvalid, place, &at, message));
    }
}

fn duplicates(origin: &Origin, objects: &[(Manifest, Place)], sample: &Sample<'_>, findings: &mut Findings) {
    let namespace = |it: &Manifest| it.namespace.clone().unwrap_or_else(|| sample.namespace.to_owned());
    let group = |it: &Manifest| it.api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
    let key = |it: &Manifest| (group(it), it.kind.clone(), namespace(it), it.name.clone());
    for (index, (manifest, place)) in objects.iter().enumerate() {
        if manifest.is_name_generated {
            continue;
        }
        let is_before = objects[..index].iter().any(|(it, _)| key(it) == key(manifest));
        let is_own = manifest.kind == "Secret"
            && namespace(manifest) == sample.namespace
            && sample.secrets().contains(&manifest.name);
        if is_before || is_own {
            let whose = if is_own { "K8s Manager makes this Secret itself" } else { "it is there twice" };
            let message = format!("{} {}: {whose}", manifest.kind, sample.shown(&manifest.name));
            findings.add(origin.finding(Code::DuplicateObject, place, "/metadata/name", message));
        }
    }
}

/// Workloads of update.yaml that service.yaml does not have. Other objects are often meant to be added.
pub fn additions(
    update: &Origin,
    updated: &[(Manifest, Place)],
    made: &[(Manifest, Place)],
    sample: &Sample<'_>,
    findings: &mut Findings,
) {
    for (manifest, place) in updated {
        let is_made = made.iter().any(|(it, _)| it.kind == manifest.kind && it.name == manifest.name);
        if !is_made && pod_path(&manifest.object).is_some() {
            let message = format!("{} {} is not in service.yaml", manifest.kind, sample.shown(&manifest.name));
            findings.add(update.finding(Code::UpdateAddsWorkload, place, "/metadata/name", message));
        }
    }
}

/// Documents without anything, but for comments before the first object.
pub fn empty_documents(origin: &Origin, findings: &mut Findings) {
    let documents = crate::description::documents(&origin.file.text).unwrap_or_default();
    for (index, _) in documents.iter().enumerate().filter(|(index, it)| *index > 0 && it.is_none()) {
        let place = Place { document: index, path: String::new() };
        let message = format!("document {} is empty", index + 1);
        let finding: Finding = origin.finding(Code::EmptyDocument, &place, "", message);
        findings.add(finding);
    }
}
