//! Namespaces: what every one holds from the start, and the end of one with all that is in it.

use serde_json::{Value, json};

use super::Controllers;
use crate::deletion::{self, DeleteOptions};
use crate::storage::{Key, Resource};

pub fn reconcile(controllers: &mut Controllers, key: &Key, namespace: &Value) {
    if namespace["metadata"]["deletionTimestamp"].is_string() {
        end(controllers, key, namespace);
        return;
    }
    let account = Key::new(Resource::core("serviceaccounts"), &key.name, "default");
    if controllers.storage.get(&account).is_none() {
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": key.name}});
        let _ = controllers.storage.create(account, object);
    }
    let root = Key::new(Resource::core("configmaps"), &key.name, "kube-root-ca.crt");
    if controllers.storage.get(&root).is_none() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": controllers.ca},
            "metadata": {"name": "kube-root-ca.crt", "namespace": key.name, "annotations": {
                "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when \
                    using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage \
                    is guaranteed across distributions of Kubernetes clusters."}}});
        let _ = controllers.storage.create(root, object);
    }
}

fn end(controllers: &mut Controllers, key: &Key, namespace: &Value) {
    let inside = controllers.index.in_namespace(&key.name);
    if inside.is_empty() {
        let done = controllers.storage.update::<()>(key, |object| {
            object["spec"] = json!({});
            Ok(())
        });
        if let Ok(object) = done {
            deletion::finish_if_done(&controllers.storage, key, &object);
        }
        return;
    }
    for dependent in inside {
        let Some(object) = controllers.storage.get(&dependent) else {
            // The index will hear of it.
            continue;
        };
        if !object["metadata"]["deletionTimestamp"].is_string() {
            deletion::delete(&controllers.storage, &dependent, &DeleteOptions::default());
        }
    }
    tracing::trace!(namespace = %key.name, phase = %namespace["status"]["phase"], "namespace is ending");
}
