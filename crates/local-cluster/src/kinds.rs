//! The kinds that are served: a table for the built-in ones, and what CustomResourceDefinitions add to it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use crate::storage::{Key, Resource, Storage};

/// One served resource of one version.
#[derive(Clone, Debug)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    /// `status`, `scale`, `log`, ...
    pub subresources: Vec<String>,
    /// Only POST (reviews), nothing is stored.
    pub create_only: bool,
    /// `metadata.generation` counts changes of the spec.
    pub generation: bool,
    pub custom: bool,
}

impl Kind {
    pub fn resource(&self) -> Resource {
        // Both API groups show the same Event objects.
        let group = if self.plural == "events" { "" } else { &self.group };
        Resource::new(group, &self.plural)
    }

    pub fn key(&self, namespace: Option<&str>, name: &str) -> Key {
        Key::new(self.resource(), namespace.unwrap_or_default(), name)
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`, as error messages name a resource.
    pub fn qualified_plural(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Deployment.apps`, as validation errors name a kind.
    pub fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    pub fn has_subresource(&self, name: &str) -> bool {
        self.subresources.iter().any(|it| it == name)
    }

    pub fn verbs(&self) -> &'static [&'static str] {
        if self.create_only {
            &["create"]
        } else {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        }
    }
}

/// group | version | kind | plural | flags (n namespaced, s status, c scale, g generation, o create only, a in `all`)
/// | short names | further subresources
const BUILT_IN: &[(&str, &str, &str, &str, &str, &str, &str)] = &[
    ("", "v1", "Namespace", "namespaces", "s", "ns", "finalize"),
    ("", "v1", "Pod", "pods", "nsga", "po", "log binding eviction"),
    ("", "v1", "Service", "services", "nsa", "svc", ""),
    ("", "v1", "ConfigMap", "configmaps", "n", "cm", ""),
    ("", "v1", "Secret", "secrets", "n", "", ""),
    ("", "v1", "Event", "events", "n", "ev", ""),
    ("", "v1", "ServiceAccount", "serviceaccounts", "n", "sa", "token"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "ns", "pvc", ""),
    ("", "v1", "PersistentVolume", "persistentvolumes", "s", "pv", ""),
    ("", "v1", "Node", "nodes", "s", "no", ""),
    ("", "v1", "Endpoints", "endpoints", "n", "ep", ""),
    ("", "v1", "LimitRange", "limitranges", "n", "limits", ""),
    ("", "v1", "ResourceQuota", "resourcequotas", "ns", "quota", ""),
    ("", "v1", "ReplicationController", "replicationcontrollers", "nscga", "rc", ""),
    ("", "v1", "PodTemplate", "podtemplates", "n", "", ""),
    ("apps", "v1", "Deployment", "deployments", "nscga", "deploy", ""),
    ("apps", "v1", "ReplicaSet", "replicasets", "nscga", "rs", ""),
    ("apps", "v1", "StatefulSet", "statefulsets", "nscga", "sts", ""),
    ("apps", "v1", "DaemonSet", "daemonsets", "nsga", "ds", ""),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", "n", "", ""),
    ("batch", "v1", "Job", "jobs", "nsga", "", ""),
    ("batch", "v1", "CronJob", "cronjobs", "nsga", "cj", ""),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", "nsg", "ing", ""),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "ng", "netpol", ""),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "g", "", ""),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "n", "", ""),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "n", "", ""),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", "", ""),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", "", ""),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "nsg", "pdb", ""),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "nsa", "hpa", ""),
    ("coordination.k8s.io", "v1", "Lease", "leases", "n", "", ""),
    ("events.k8s.io", "v1", "Event", "events", "n", "ev", ""),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "", "sc", ""),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "g", "pc", ""),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "ng", "", ""),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "sg", "crd crds", ""),
    ("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "o", "", ""),
    ("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", "o", "", ""),
    ("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", "o", "", ""),
    ("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", "no", "", ""),
    ("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", "o", "", ""),
    ("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", "o", "", ""),
];

fn built_in() -> impl Iterator<Item = Kind> {
    BUILT_IN.iter().map(|(group, version, kind, plural, flags, short, further)| {
        let has = |flag: char| flags.contains(flag);
        let mut subresources: Vec<String> = further.split_whitespace().map(str::to_owned).collect();
        if has('s') {
            subresources.push("status".to_owned());
        }
        if has('c') {
            subresources.push("scale".to_owned());
        }
        Kind {
            group: (*group).to_owned(),
            version: (*version).to_owned(),
            kind: (*kind).to_owned(),
            plural: (*plural).to_owned(),
            singular: kind.to_lowercase(),
            namespaced: has('n'),
            short_names: short.split_whitespace().map(str::to_owned).collect(),
            categories: if has('a') { vec!["all".to_owned()] } else { Vec::new() },
            subresources,
            create_only: has('o'),
            generation: has('g'),
            custom: false,
        }
    })
}

/// The kinds served at the moment.
pub struct Registry {
    kinds: RwLock<BTreeMap<(String, String, String), Arc<Kind>>>,
}

impl Default for Registry {
    fn default() -> Self {
        let kinds = built_in().map(|kind| (path_of(&kind), Arc::new(kind))).collect();
        Self { kinds: RwLock::new(kinds) }
    }
}

fn path_of(kind: &Kind) -> (String, String, String) {
    (kind.group.clone(), kind.version.clone(), kind.plural.clone())
}

impl Registry {
    /// The built-in kinds and those of the definitions that are stored already.
    pub fn with_custom_of(storage: &Storage) -> Self {
        let registry = Self::default();
        let definitions = Resource::new("apiextensions.k8s.io", "customresourcedefinitions");
        for definition in storage.list(&definitions, None).1 {
            registry.set_custom(&definition);
        }
        registry
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        kinds.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Kind>> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Serves what a CustomResourceDefinition declares, instead of what it declared before.
    pub fn set_custom(&self, definition: &Value) {
        let served = custom_kinds(definition);
        let group = definition["spec"]["group"].as_str().unwrap_or_default();
        let plural = definition["spec"]["names"]["plural"].as_str().unwrap_or_default();
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.retain(|_, kind| !(kind.custom && kind.group == group && kind.plural == plural));
        for kind in served {
            kinds.entry(path_of(&kind)).or_insert_with(|| Arc::new(kind));
        }
    }

    pub fn remove_custom(&self, definition: &Value) {
        let group = definition["spec"]["group"].as_str().unwrap_or_default();
        let plural = definition["spec"]["names"]["plural"].as_str().unwrap_or_default();
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.retain(|_, kind| !(kind.custom && kind.group == group && kind.plural == plural));
    }
}

fn custom_kinds(definition: &Value) -> Vec<Kind> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().map(|all| all.iter().map(text).collect()).unwrap_or_default()
    };
    let kind = text(&names["kind"]);
    spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|version| version["served"] == true)
        .map(|version| Kind {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            kind: kind.clone(),
            plural: text(&names["plural"]),
            singular: names["singular"].as_str().map_or_else(|| kind.to_lowercase(), str::to_owned),
            namespaced: spec["scope"] == "Namespaced",
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            subresources: version["subresources"]
                .as_object()
                .map(|all| all.keys().cloned().collect())
                .unwrap_or_default(),
            create_only: false,
            generation: true,
            custom: true,
        })
        .collect()
}
