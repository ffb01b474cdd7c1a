//! Who may do what: roles and their bindings.

use serde_json::{Value, json};

use crate::auth::User;
use crate::storage::{Key, Resource, Storage};

const GROUP: &str = "rbac.authorization.k8s.io";

/// One thing somebody wants to do.
#[derive(Clone, Debug, Default)]
pub struct Attributes<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    /// With its subresource: `pods/log`.
    pub resource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl Attributes<'_> {
    /// Why it is refused, as the real server says it.
    pub fn refusal(&self, user: &User) -> String {
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", self.namespace)
        };
        format!(
            "User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            user.name, self.verb, self.resource, self.group
        )
    }
}

pub fn allows(storage: &Storage, user: &User, wanted: &Attributes<'_>) -> bool {
    user.is_admin() || rules(storage, user, wanted.namespace).iter().any(|rule| rule_allows(rule, wanted))
}

/// All rules that hold for a user in a namespace (empty: at the cluster scope).
pub fn rules(storage: &Storage, user: &User, namespace: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    let mut take = |bindings: Vec<std::sync::Arc<Value>>| {
        for binding in bindings.iter().filter(|it| binds(it, user)) {
            let reference = &binding["roleRef"];
            let name = reference["name"].as_str().unwrap_or_default();
            let key = if reference["kind"] == "ClusterRole" {
                Key::new(Resource::new(GROUP, "clusterroles"), "", name)
            } else {
                Key::new(Resource::new(GROUP, "roles"), namespace, name)
            };
            if let Some(role) = storage.get(&key) {
                rules.extend(role["rules"].as_array().into_iter().flatten().cloned());
            }
        }
    };
    take(storage.list(&Resource::new(GROUP, "clusterrolebindings"), None).1);
    if !namespace.is_empty() {
        take(storage.list(&Resource::new(GROUP, "rolebindings"), Some(namespace)).1);
    }
    rules
}

fn binds(binding: &Value, user: &User) -> bool {
    binding["subjects"].as_array().into_iter().flatten().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => user.name == name,
            Some("Group") => user.groups.iter().any(|it| it == name),
            Some("ServiceAccount") => {
                let namespace = subject["namespace"]
                    .as_str()
                    .or_else(|| binding["metadata"]["namespace"].as_str())
                    .unwrap_or_default();
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    })
}

fn rule_allows(rule: &Value, wanted: &Attributes<'_>) -> bool {
    let has = |list: &str, value: &str| rule[list].as_array().into_iter().flatten().any(|it| it == value || it == "*");
    let (_, subresource) = wanted.resource.split_once('/').unwrap_or((wanted.resource, ""));
    let any_of = format!("*/{subresource}");
    let resource = has("resources", wanted.resource)
        || !subresource.is_empty() && rule["resources"].as_array().into_iter().flatten().any(|it| *it == any_of);
    let names = rule["resourceNames"].as_array().map(Vec::as_slice).unwrap_or_default();
    has("verbs", wanted.verb)
        && has("apiGroups", wanted.group)
        && resource
        && (names.is_empty() || names.iter().any(|it| it == wanted.name))
}

/// The roles that every cluster has.
pub fn bootstrap(storage: &Storage) {
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let reading = json!(["get", "list", "watch"]);
    let writing = json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]);
    let groups = json!(["", "apps", "batch", "autoscaling", "networking.k8s.io", "policy"]);
    let things = json!([
        "pods",
        "pods/log",
        "pods/status",
        "services",
        "configmaps",
        "events",
        "persistentvolumeclaims",
        "serviceaccounts",
        "endpoints",
        "deployments",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
        "statefulsets",
        "statefulsets/scale",
        "daemonsets",
        "jobs",
        "cronjobs",
        "ingresses",
        "networkpolicies",
        "poddisruptionbudgets",
        "horizontalpodautoscalers"
    ]);
    let view = json!([{"apiGroups": groups, "resources": things, "verbs": reading}]);
    let edit = json!([{"apiGroups": groups, "resources": things, "verbs": writing},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": writing}]);
    let mut admin = edit.clone();
    if let Some(rules) = admin.as_array_mut() {
        rules.push(json!({"apiGroups": [GROUP], "resources": ["roles", "rolebindings"], "verbs": writing}));
    }
    for (name, rules) in [("cluster-admin", all), ("view", view), ("edit", edit), ("admin", admin)] {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}, "rules": rules});
        // What a restart finds again stays as it is.
        let _ = storage.create(Key::new(Resource::new(GROUP, "clusterroles"), "", name), role);
    }
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "cluster-admin"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": "system:masters"}]});
    let _ = storage.create(Key::new(Resource::new(GROUP, "clusterrolebindings"), "", "cluster-admin"), binding);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_service_account_may_what_its_bindings_say() {
        let storage = Storage::new();
        bootstrap(&storage);
        let user = User::service_account("n", "robot");
        let wanted = |verb, resource, namespace| Attributes { verb, group: "", resource, namespace, name: "x" };
        assert!(!allows(&storage, &user, &wanted("get", "pods", "n")));
        let role = json!({"metadata": {}, "rules": [{"apiGroups": [""], "resources": ["pods", "pods/log"],
            "verbs": ["get"]}, {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["x"], "verbs": ["*"]}]});
        storage.create(Key::new(Resource::new(GROUP, "roles"), "n", "reader"), role).unwrap();
        let binding = json!({"metadata": {"namespace": "n"}, "roleRef": {"kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "n"}]});
        storage.create(Key::new(Resource::new(GROUP, "rolebindings"), "n", "robot"), binding).unwrap();
        assert!(allows(&storage, &user, &wanted("get", "pods", "n")));
        assert!(allows(&storage, &user, &wanted("get", "pods/log", "n")));
        assert!(allows(&storage, &user, &wanted("delete", "secrets", "n")));
        assert!(!allows(&storage, &user, &wanted("get", "pods", "other")));
        assert!(!allows(&storage, &user, &wanted("delete", "pods", "n")));
        assert!(!allows(&storage, &User::service_account("n", "other"), &wanted("get", "pods", "n")));
        assert!(allows(&storage, &User::admin(), &wanted("delete", "nodes", "")));
    }
}
