//! Which names Kubernetes takes for which kinds, as its API server checks them.

/// Kinds of Kubernetes itself that are in no namespace, for when no cluster can be asked.
pub fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match group {
        "" => matches!(kind, "Namespace" | "Node" | "PersistentVolume"),
        "rbac.authorization.k8s.io" => matches!(kind, "ClusterRole" | "ClusterRoleBinding"),
        "storage.k8s.io" => kind != "CSIStorageCapacity",
        "networking.k8s.io" => kind == "IngressClass",
        "scheduling.k8s.io"
        | "apiextensions.k8s.io"
        | "apiregistration.k8s.io"
        | "admissionregistration.k8s.io"
        | "node.k8s.io"
        | "certificates.k8s.io" => true,
        _ => false,
    }
}

/// What a name has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Lower-case letters, digits, `-` and `.`.
    Subdomain(usize),
    /// Without dots.
    Label(usize),
    /// That begins with a letter.
    LabelFromLetter(usize),
    /// Anything that can stand in a URL's path.
    PathSegment,
}

pub fn rule_for(api_version: &str, kind: &str) -> Rule {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Service") => Rule::LabelFromLetter(63),
        ("", "Namespace") => Rule::Label(63),
        // Its pods have a label of its name and a hash of ten characters.
        ("apps", "StatefulSet") => Rule::Label(52),
        ("batch", "CronJob") => Rule::Subdomain(52),
        ("batch", "Job") => Rule::Subdomain(63),
        ("rbac.authorization.k8s.io", _) => Rule::PathSegment,
        _ => Rule::Subdomain(253),
    }
}

impl Rule {
    pub const LABEL_VALUE: &str =
        "a label takes letters, digits, `-`, `_` and `.`, at most 63, a letter or digit at both ends";

    pub fn longest(self) -> usize {
        match self {
            Rule::Subdomain(longest) | Rule::Label(longest) | Rule::LabelFromLetter(longest) => longest,
            Rule::PathSegment => usize::MAX,
        }
    }

    pub fn what(self) -> &'static str {
        match self {
            Rule::Subdomain(_) => "it takes lower-case letters, digits, `-` and `.`, a letter or digit at both ends",
            Rule::Label(_) => "it takes lower-case letters, digits and `-`, a letter or digit at both ends",
            Rule::LabelFromLetter(_) => {
                "it takes lower-case letters, digits and `-`, and begins with a letter: an id may begin with a digit"
            }
            Rule::PathSegment => "it takes no `/` and no `%`, and is not `.` or `..`",
        }
    }

    /// The length aside.
    pub fn holds(self, name: &str) -> bool {
        match self {
            Rule::Subdomain(_) => name.split('.').all(is_label),
            Rule::Label(_) => is_label(name),
            Rule::LabelFromLetter(_) => is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
            Rule::PathSegment => !name.is_empty() && !name.contains(['/', '%']) && name != "." && name != "..",
        }
    }
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

pub fn is_container_name(name: &str) -> bool {
    name.len() <= 63 && is_label(name)
}

pub fn is_label_value(value: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends_well = |c: char| c.is_ascii_alphanumeric();
    value.is_empty()
        || value.len() <= 63 && value.chars().all(inner) && value.starts_with(ends_well) && value.ends_with(ends_well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_the_api_server_does() {
        for (api_version, kind, name, holds) in [
            ("v1", "Service", "lab-1", true),
            ("v1", "Service", "1-lab", false),
            ("v1", "Service", "a.b", false),
            ("v1", "ConfigMap", "1.a-b", true),
            ("v1", "ConfigMap", "a_b", false),
            ("v1", "ConfigMap", "A", false),
            ("v1", "ConfigMap", "a..b", false),
            ("apps/v1", "StatefulSet", "a.b", false),
            ("rbac.authorization.k8s.io/v1", "Role", "a:B_c", true),
            ("example.org/v1", "Service", "1-lab", true),
        ] {
            assert_eq!(rule_for(api_version, kind).holds(name), holds, "{kind} {name}");
        }
        assert!(is_label_value("") && is_label_value("A_b.c") && !is_label_value("a/b") && !is_label_value("-a"));
        assert!(is_label_value(&"x".repeat(63)) && !is_label_value(&"x".repeat(64)));
    }
}
