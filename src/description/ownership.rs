//! The labels and annotations by which we know what a start made, and the owner reference that lets Kubernetes clean up.
//!
//! Labels hold hashes, because names may be longer than a label and hold anything; annotations hold the full names.
//! Nothing secret goes into either. Selectors are never touched.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Manifest;
use super::workload::pod_path;
use crate::domain::mark::{CREDENTIAL_LABEL, MAIN_CONTAINER_ANNOTATION, MAIN_ROLE, MANAGED_BY_LABEL, ROLE_LABEL};
use crate::domain::{AppliedObject, Credential, Mark, NewService, ServerName, ServiceName, ServiceRecord, StartId};

/// The credential's full name stands under the label's key.
pub(super) const CREDENTIAL: &str = CREDENTIAL_LABEL;
pub(super) const SERVER_NAME: &str = "k8smgr.io/server-name";
pub(super) const START_ID: &str = "k8smgr.io/start-id";
pub(super) const SERVICE_NAME: &str = "k8smgr.io/service-name";
pub(super) const USER_ID: &str = "k8smgr.io/user-id";

/// Whose an object is.
#[derive(Clone, Copy)]
pub struct Ownership<'a> {
    pub mark: &'a Mark,
    pub credential: &'a Credential,
    pub server_name: &'a ServerName,
    pub start_id: &'a StartId,
    pub service: &'a ServiceName,
    pub user_id: i64,
    /// The container that says whether the service runs.
    pub main_container: &'a str,
}

type Entries = Vec<(&'static str, String)>;

impl<'a> Ownership<'a> {
    pub fn of_start(new: &'a NewService, mark: &'a Mark, main_container: &'a str) -> Self {
        Self {
            mark,
            credential: &new.credential,
            server_name: &new.server_name,
            start_id: &new.start_id,
            service: &new.service,
            user_id: new.jhub_user_id,
            main_container,
        }
    }

    pub fn of_record(record: &'a ServiceRecord, mark: &'a Mark, main_container: &'a str) -> Self {
        Self {
            mark,
            credential: &record.credential,
            server_name: &record.server_name,
            start_id: &record.start_id,
            service: &record.service,
            user_id: record.jhub_user_id,
            main_container,
        }
    }

    /// The labels of everything that ends with the service.
    fn labels(&self) -> Entries {
        self.mark.labels().map(|(label, value)| (label, value.to_owned())).into()
    }

    /// The labels of what outlives the service: it belongs to the credential and to no start.
    fn kept_labels(&self) -> Entries {
        self.mark.credential_labels().map(|(label, value)| (label, value.to_owned())).into()
    }

    /// The full names. What `rebuild` needs beyond them stands on the owner alone (`rebuild_data`).
    fn annotations(&self) -> Entries {
        vec![
            (CREDENTIAL, self.credential.to_string()),
            (SERVER_NAME, self.server_name.to_string()),
            (START_ID, self.start_id.to_string()),
            (SERVICE_NAME, self.service.to_string()),
            (USER_ID, self.user_id.to_string()),
        ]
    }

    /// What marks an object that somebody else made: metadata to lay over its own, which has `labels`. Its pod template
    /// stays as it is, since a change of that would restart its pods; the role stands on the object itself instead.
    pub fn adopting_metadata(&self, target: &AppliedObject, labels: &BTreeMap<String, String>) -> Value {
        let mut object = json!({ "metadata": { "labels": labels } });
        if target.is_kept {
            set(&mut object, "labels", self.kept_labels());
            set(&mut object, "annotations", vec![(CREDENTIAL, self.credential.to_string())]);
        } else {
            set(&mut object, "labels", self.labels());
            set(&mut object, "annotations", self.annotations());
        }
        if target.is_workload {
            set(&mut object, "labels", vec![(ROLE_LABEL, MAIN_ROLE.to_owned())]);
            set(&mut object, "annotations", vec![(MAIN_CONTAINER_ANNOTATION, self.main_container.to_owned())]);
        }
        object["metadata"].take()
    }

    /// The same for a pod that an adopted workload made.
    pub fn adopting_pod_metadata(&self, labels: &BTreeMap<String, String>) -> Value {
        let mut object = json!({ "metadata": { "labels": labels } });
        set(&mut object, "labels", self.labels().into_iter().chain([(ROLE_LABEL, MAIN_ROLE.to_owned())]).collect());
        set(&mut object, "annotations", vec![(MAIN_CONTAINER_ANNOTATION, self.main_container.to_owned())]);
        object["metadata"].take()
    }

    /// Marks an object, its pod templates and its volume claim templates.
    pub fn mark(&self, manifest: &mut Manifest) {
        if manifest.is_kept() {
            set(&mut manifest.object, "labels", self.kept_labels());
            set(&mut manifest.object, "annotations", vec![(CREDENTIAL, self.credential.to_string())]);
            return;
        }
        set(&mut manifest.object, "labels", self.labels());
        set(&mut manifest.object, "annotations", self.annotations());
        let role = manifest.counts.then(|| (ROLE_LABEL, MAIN_ROLE.to_owned()));
        let main = manifest.counts.then(|| (MAIN_CONTAINER_ANNOTATION, self.main_container.to_owned()));
        let path = pod_path(&manifest.object);
        if let Some(pod) = path.and_then(|path| manifest.object.pointer_mut(path)) {
            set(pod, "labels", self.labels().into_iter().chain(role).collect());
            set(pod, "annotations", main.into_iter().collect());
        }
        if let Some(job) = manifest.object.pointer_mut("/spec/jobTemplate").filter(|it| it.is_object()) {
            set(job, "labels", self.labels());
        }
        let claims = manifest.object.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut);
        for claim in claims.into_iter().flatten().filter(|it| it.is_object()) {
            let is_kept = claim.pointer("/metadata/annotations/k8smgr.io~1keep").is_some_and(|it| it == "true");
            set(claim, "labels", if is_kept { self.kept_labels() } else { self.labels() });
        }
    }
}

/// Makes the owner Secret the owner of an object of its own namespace. What is kept has none.
pub fn set_owner(manifest: &mut Manifest, secret_name: &str, secret_uid: &str) {
    if manifest.is_kept() {
        return;
    }
    let reference = json!({ "apiVersion": "v1", "kind": "Secret", "name": secret_name, "uid": secret_uid });
    let Some(metadata) = member(&mut manifest.object, "metadata") else { return };
    match metadata.get_mut("ownerReferences") {
        Some(Value::Array(references)) => references.push(reference),
        _ => {
            metadata.insert("ownerReferences".to_owned(), json!([reference]));
        }
    }
}

/// Puts labels or annotations on an object's metadata. Those of the admin stay, but for those that are ours.
fn set(object: &mut Value, key: &str, entries: Entries) {
    if entries.is_empty() {
        return;
    }
    let Some(metadata) = member(object, "metadata") else { return };
    let slot = metadata.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = json!({});
    }
    // Anything else the API server refuses, with better words than we have.
    let Value::Object(members) = slot else { return };
    for (name, value) in entries {
        if name == MANAGED_BY_LABEL && members.contains_key(MANAGED_BY_LABEL) {
            continue;
        }
        members.insert(name.to_owned(), Value::String(value));
    }
}

fn member<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let slot = object.as_object_mut()?.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = json!({});
    }
    slot.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::super::manifest::parse;
    use super::*;
    use crate::domain::mark::{INSTALLATION_LABEL, SERVER_LABEL, SERVICE_LABEL};

    fn mark() -> Mark {
        let (credential, server_name) = (Credential::parse("hub").unwrap(), ServerName::parse("My Lab").unwrap());
        Mark::new("i1", &credential, &server_name, &StartId::parse("s1").unwrap(), jiff::Timestamp::UNIX_EPOCH)
    }

    fn marked(text: &str, counts: bool) -> Manifest {
        let (credential, server_name) = (Credential::parse("hub").unwrap(), ServerName::parse("My Lab").unwrap());
        let (start_id, service) = (StartId::parse("s1").unwrap(), ServiceName::parse("A/B").unwrap());
        let mark = mark();
        let ownership = Ownership {
            mark: &mark,
            credential: &credential,
            server_name: &server_name,
            start_id: &start_id,
            service: &service,
            user_id: 7,
            main_container: "main",
        };
        let mut manifest = parse(text, "x").unwrap().remove(0);
        manifest.counts = counts;
        ownership.mark(&mut manifest);
        manifest
    }

    #[test]
    fn objects_and_templates_carry_whose_they_are_and_selectors_stay() {
        let text = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a, labels: {own: x}}\nspec:\n  selector: {matchLabels: {own: x}}\n  \
             template: {metadata: {labels: {own: x}}, spec: {containers: [{name: main}]}}\n  volumeClaimTemplates: [{metadata: {name: c}}]\n";
        let object = marked(text, true).object;
        assert_eq!(object["spec"]["selector"], json!({"matchLabels": {"own": "x"}}));
        for pointer in ["", "/spec/template", "/spec/volumeClaimTemplates/0"] {
            let labels = &object.pointer(pointer).unwrap()["metadata"]["labels"];
            assert_eq!(labels[INSTALLATION_LABEL], "i1", "{pointer}");
            assert_eq!(labels[SERVICE_LABEL], mark().service(), "{pointer}");
            assert_eq!(labels[MANAGED_BY_LABEL], "k8smgr", "{pointer}");
        }
        assert_eq!(object["metadata"]["labels"]["own"], "x");
        assert_eq!(object["spec"]["template"]["metadata"]["labels"][ROLE_LABEL], "main");
        assert_eq!(object["metadata"]["labels"].get(ROLE_LABEL), None);
        assert_eq!(object["metadata"]["annotations"][SERVER_NAME], "My Lab");
    }

    #[test]
    fn an_admin_cannot_take_our_labels_and_keeps_the_others() {
        let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {k8smgr.io/service: fake, app.kubernetes.io/managed-by: Helm}, annotations: null}}";
        let labels = marked(text, false).object["metadata"]["labels"].clone();
        assert_eq!((labels[SERVICE_LABEL] == "fake", &labels[MANAGED_BY_LABEL]), (false, &json!("Helm")));
    }

    #[test]
    fn what_is_kept_belongs_to_no_start_and_has_no_owner() {
        let text =
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, annotations: {k8smgr.io/keep: 'true'}}}";
        let mut manifest = marked(text, false);
        set_owner(&mut manifest, "secret", "uid");
        let metadata = &manifest.object["metadata"];
        assert_eq!((metadata["labels"].get(SERVICE_LABEL), metadata["labels"].get(SERVER_LABEL)), (None, None));
        assert_eq!(metadata["labels"][CREDENTIAL_LABEL], mark().labels()[2].1);
        assert_eq!(metadata.get("ownerReferences"), None);
    }

    #[test]
    fn a_pod_has_one_set_of_labels_and_an_owner() {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: main}]}}";
        let mut manifest = marked(text, true);
        set_owner(&mut manifest, "secret", "uid-1");
        assert_eq!(manifest.object["metadata"]["labels"][ROLE_LABEL], "main");
        assert_eq!(
            manifest.object["metadata"]["ownerReferences"],
            json!([{"apiVersion": "v1", "kind": "Secret", "name": "secret", "uid": "uid-1"}])
        );
    }
}
