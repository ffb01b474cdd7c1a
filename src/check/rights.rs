//! What K8s Manager has to be allowed in a cluster, from what it does and from the kinds that descriptions hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::cluster::ResourceName;

/// Where a right is needed: in a namespace, or at the cluster's scope.
type Scope = Option<String>;

/// Verbs by scope, API group and resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(BTreeMap<(Scope, String, String), BTreeSet<&'static str>>);

/// One thing to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub namespace: Option<String>,
    pub group: String,
    pub resource: String,
    pub verb: &'static str,
}

/// A start makes objects and reads one whose name is taken; a stop deletes them by uid; a PUT and a rebuild lay over them;
/// recovery lists what carries our mark.
const OF_OBJECTS: [&str; 5] = ["create", "delete", "get", "list", "patch"];

impl Rights {
    /// What is needed whatever the descriptions hold: the Secrets that own all else, pods as they are watched, their logs
    /// and events, and the Lease by which replicas agree.
    pub fn of_k8s_manager(namespace: &str) -> Self {
        let mut rights = Self::default();
        rights.add(Some(namespace), "", "secrets", &OF_OBJECTS);
        rights.add_watched_pods(namespace);
        rights.add(Some(namespace), "coordination.k8s.io", "leases", &["create", "get", "update"]);
        rights
    }

    /// User jobs have a Service each; the label by which these find the pod that leads is a patch of a pod, as above.
    pub fn add_user_jobs(&mut self, namespace: &str) {
        self.add(Some(namespace), "", "services", &OF_OBJECTS);
    }

    /// An object of a description. The pods of a workload are watched where it is.
    pub fn add_object(&mut self, resource: &ResourceName, kind: &str, namespace: Option<&str>, is_workload: bool) {
        let namespace = namespace.filter(|_| resource.is_namespaced);
        self.add(namespace, &resource.group, &resource.plural, &OF_OBJECTS);
        let Some(namespace) = namespace.filter(|_| is_workload) else { return };
        self.add(Some(namespace), &resource.group, &resource.plural, &["watch"]);
        self.add_watched_pods(namespace);
        // The claims that it made stay behind.
        if kind == "StatefulSet" {
            self.add(Some(namespace), "", "persistentvolumeclaims", &["deletecollection", "list"]);
        }
    }

    fn add_watched_pods(&mut self, namespace: &str) {
        // Pods of services that were taken over are marked one by one.
        self.add(Some(namespace), "", "pods", &["get", "list", "patch", "watch"]);
        self.add(Some(namespace), "", "pods/log", &["get"]);
        // What they say of a start under way goes to its hub.
        self.add(Some(namespace), "", "events", &["list", "watch"]);
    }

    fn add(&mut self, namespace: Option<&str>, group: &str, resource: &str, verbs: &[&'static str]) {
        let key = (namespace.map(str::to_owned), group.to_owned(), resource.to_owned());
        self.0.entry(key).or_default().extend(verbs);
    }

    pub fn insert(&mut self, right: Right) {
        let key = (right.namespace, right.group, right.resource);
        self.0.entry(key).or_default().insert(right.verb);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn each(&self) -> impl Iterator<Item = Right> + '_ {
        self.0.iter().flat_map(|((namespace, group, resource), verbs)| {
            verbs.iter().map(|verb| Right {
                namespace: namespace.clone(),
                group: group.clone(),
                resource: resource.clone(),
                verb,
            })
        })
    }

    /// A Role for each namespace and a ClusterRole for what has none, as YAML.
    pub fn to_yaml(&self, name: &str) -> String {
        let scopes: BTreeSet<&Scope> = self.0.keys().map(|(scope, _, _)| scope).collect();
        let roles: Vec<String> = scopes.into_iter().map(|scope| self.role(name, scope)).collect();
        roles.join("---\n")
    }

    fn role(&self, name: &str, scope: &Scope) -> String {
        let kind = if scope.is_some() { "Role" } else { "ClusterRole" };
        let mut text = format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\n");
        if let Some(namespace) = scope {
            let _ = writeln!(text, "  namespace: {namespace}");
        }
        text.push_str("rules:\n");
        // One rule for all resources of a group with the same verbs.
        let mut rules: BTreeMap<(&str, Vec<&str>), Vec<&str>> = BTreeMap::new();
        for ((_, group, resource), verbs) in self.0.iter().filter(|((of, _, _), _)| of == scope) {
            rules.entry((group, verbs.iter().copied().collect())).or_default().push(resource);
        }
        for ((group, verbs), resources) in rules {
            let _ = writeln!(text, "  - apiGroups: [\"{group}\"]");
            let _ = writeln!(text, "    resources: [{}]", resources.join(", "));
            let _ = writeln!(text, "    verbs: [{}]", verbs.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_holds_what_the_objects_need_and_no_more() {
        let mut rights = Rights::of_k8s_manager("labs");
        let resource = |group: &str, plural: &str, is_namespaced| ResourceName {
            group: group.to_owned(),
            plural: plural.to_owned(),
            is_namespaced,
        };
        rights.add_object(&resource("apps", "statefulsets", true), "StatefulSet", Some("labs"), true);
        rights.add_object(&resource("", "configmaps", true), "ConfigMap", Some("far"), false);
        rights.add_object(&resource("", "namespaces", false), "Namespace", Some("labs"), false);
        insta::assert_snapshot!(rights.to_yaml("k8smgr"), @r#"
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRole
        metadata:
          name: k8smgr
        rules:
          - apiGroups: [""]
            resources: [namespaces]
            verbs: [create, delete, get, list, patch]
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: Role
        metadata:
          name: k8smgr
          namespace: far
        rules:
          - apiGroups: [""]
            resources: [configmaps]
            verbs: [create, delete, get, list, patch]
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: Role
        metadata:
          name: k8smgr
          namespace: labs
        rules:
          - apiGroups: [""]
            resources: [secrets]
            verbs: [create, delete, get, list, patch]
          - apiGroups: [""]
            resources: [persistentvolumeclaims]
            verbs: [deletecollection, list]
          - apiGroups: [""]
            resources: [pods/log]
            verbs: [get]
          - apiGroups: [""]
            resources: [pods]
            verbs: [get, list, patch, watch]
          - apiGroups: [""]
            resources: [events]
            verbs: [list, watch]
          - apiGroups: ["apps"]
            resources: [statefulsets]
            verbs: [create, delete, get, list, patch, watch]
          - apiGroups: ["coordination.k8s.io"]
            resources: [leases]
            verbs: [create, get, update]
        "#);
    }
}
