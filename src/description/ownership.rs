//! The labels and annotations by which we know what a start made, and the owner reference that lets Kubernetes clean up.
//!
//! Labels hold hashes, because names may be longer than a label and hold anything; annotations hold the full names.
//! Nothing secret goes into either. Selectors are never touched.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Manifest;
use super::workload::pod_path;
use crate::domain::{Credential, Json, ServerName, ServiceName, StartId};

pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const MANAGER: &str = "k8smgr";
pub const INSTALLATION: &str = "k8smgr.io/installation";
pub const CREDENTIAL: &str = "k8smgr.io/credential";
pub const SERVER: &str = "k8smgr.io/server";
pub const START: &str = "k8smgr.io/start";
/// Selects everything of one start.
pub const SERVICE: &str = "k8smgr.io/service";
/// On the pods that count: `main`.
pub const ROLE: &str = "k8smgr.io/role";
pub const KEEP: &str = "k8smgr.io/keep";
pub const SERVER_NAME: &str = "k8smgr.io/server-name";
pub const START_ID: &str = "k8smgr.io/start-id";
pub const SERVICE_NAME: &str = "k8smgr.io/service-name";
pub const USER_OPTIONS: &str = "k8smgr.io/user-options";
pub const USER_ID: &str = "k8smgr.io/user-id";

/// Kubernetes takes 256 KiB of annotations; longer user_options are left out.
const LONGEST_USER_OPTIONS: usize = 128 * 1024;

/// Whose an object is.
#[derive(Clone, Copy, Debug)]
pub struct Ownership<'a> {
    pub installation: &'a str,
    pub credential: &'a Credential,
    pub server_name: &'a ServerName,
    pub start_id: &'a StartId,
    pub service: &'a ServiceName,
    pub user_id: i64,
    pub user_options: &'a Json,
}

/// What a label says for a name of any length: the beginning of its SHA-256.
pub fn label_hash(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The value of the label `k8smgr.io/service`.
pub fn service_hash(credential: &Credential, server_name: &ServerName, start_id: &StartId) -> String {
    // No name holds a slash.
    label_hash(&format!("{credential}/{server_name}/{start_id}"))
}

impl Ownership<'_> {
    /// The labels of everything that ends with the service.
    pub fn labels(&self) -> Vec<(&'static str, String)> {
        let mut labels = self.kept_labels();
        labels.extend([
            (SERVER, label_hash(self.server_name.as_str())),
            (START, label_hash(self.start_id.as_str())),
            (SERVICE, service_hash(self.credential, self.server_name, self.start_id)),
        ]);
        labels
    }

    /// The labels of what outlives the service: it belongs to the credential and to no start.
    fn kept_labels(&self) -> Vec<(&'static str, String)> {
        vec![
            (MANAGED_BY, MANAGER.to_owned()),
            (INSTALLATION, self.installation.to_owned()),
            (CREDENTIAL, label_hash(self.credential.as_str())),
        ]
    }

    /// The full names, and what is needed to make a record anew.
    pub fn annotations(&self) -> Vec<(&'static str, String)> {
        let mut annotations = vec![
            (CREDENTIAL, self.credential.to_string()),
            (SERVER_NAME, self.server_name.to_string()),
            (START_ID, self.start_id.to_string()),
            (SERVICE_NAME, self.service.to_string()),
            (USER_ID, self.user_id.to_string()),
        ];
        let user_options = self.user_options.to_text();
        if user_options.len() <= LONGEST_USER_OPTIONS {
            annotations.push((USER_OPTIONS, user_options));
        }
        annotations
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
        let role = manifest.counts.then(|| (ROLE, "main".to_owned()));
        let path = pod_path(&manifest.object);
        if let Some(pod) = path.and_then(|path| manifest.object.pointer_mut(path)) {
            set(pod, "labels", self.labels().into_iter().chain(role).collect());
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
fn set(object: &mut Value, key: &str, entries: Vec<(&'static str, String)>) {
    let Some(metadata) = member(object, "metadata") else { return };
    let slot = metadata.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = json!({});
    }
    // Anything else the API server refuses, with better words than we have.
    let Value::Object(members) = slot else { return };
    for (name, value) in entries {
        if name == MANAGED_BY && members.contains_key(MANAGED_BY) {
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

    fn marked(text: &str, counts: bool) -> Manifest {
        let (credential, server_name) = (Credential::parse("hub").unwrap(), ServerName::parse("My Lab").unwrap());
        let (start_id, service) = (StartId::parse("s1").unwrap(), ServiceName::parse("A/B").unwrap());
        let user_options = Json::parse(br#"{"service":"A/B","n":1.0}"#).unwrap();
        let ownership = Ownership {
            installation: "i1",
            credential: &credential,
            server_name: &server_name,
            start_id: &start_id,
            service: &service,
            user_id: 7,
            user_options: &user_options,
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
            assert_eq!(labels[INSTALLATION], "i1", "{pointer}");
            assert_eq!(labels[SERVICE], label_hash("hub/My Lab/s1"), "{pointer}");
            assert_eq!(labels[MANAGED_BY], "k8smgr", "{pointer}");
        }
        assert_eq!(object["metadata"]["labels"]["own"], "x");
        assert_eq!(object["spec"]["template"]["metadata"]["labels"][ROLE], "main");
        assert_eq!(object["metadata"]["labels"].get(ROLE), None);
        assert_eq!(object["metadata"]["annotations"][SERVER_NAME], "My Lab");
        assert_eq!(object["metadata"]["annotations"][USER_OPTIONS], r#"{"service":"A/B","n":1.0}"#);
    }

    #[test]
    fn an_admin_cannot_take_our_labels_and_keeps_the_others() {
        let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {k8smgr.io/service: fake, app.kubernetes.io/managed-by: Helm}, annotations: null}}";
        let labels = marked(text, false).object["metadata"]["labels"].clone();
        assert_eq!((labels[SERVICE] == "fake", &labels[MANAGED_BY]), (false, &json!("Helm")));
    }

    #[test]
    fn what_is_kept_belongs_to_no_start_and_has_no_owner() {
        let text =
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, annotations: {k8smgr.io/keep: 'true'}}}";
        let mut manifest = marked(text, false);
        set_owner(&mut manifest, "secret", "uid");
        let metadata = &manifest.object["metadata"];
        assert_eq!((metadata["labels"].get(SERVICE), metadata["labels"].get(SERVER)), (None, None));
        assert_eq!(metadata["labels"][CREDENTIAL], label_hash("hub"));
        assert_eq!(metadata.get("ownerReferences"), None);
    }

    #[test]
    fn a_pod_has_one_set_of_labels_and_an_owner() {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: main}]}}";
        let mut manifest = marked(text, true);
        set_owner(&mut manifest, "secret", "uid-1");
        assert_eq!(manifest.object["metadata"]["labels"][ROLE], "main");
        assert_eq!(
            manifest.object["metadata"]["ownerReferences"],
            json!([{"apiVersion": "v1", "kind": "Secret", "name": "secret", "uid": "uid-1"}])
        );
    }

    #[test]
    fn label_values_fit_whatever_the_name() {
        let hash = label_hash(&"ü".repeat(255));
        assert!(hash.len() == 32 && hash.chars().all(|c| c.is_ascii_hexdigit()));
    }
}
