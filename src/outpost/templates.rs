//! The names that a hub expects, expanded as OutpostSpawner expands them itself: by its older escaping, which is not that of
//! today's KubeSpawner. A name that differs is one where the hub looks for a server that is not there.

use sha2::{Digest, Sha256};

/// What OutpostSpawner sends unless it is configured.
pub const POD_NAME: &str = "jupyter-{username}--{servername}";
pub const DNS_NAME: &str = "{name}.{namespace}.svc.cluster.local";

/// Pods may have longer names; Services and labels may not.
const LONGEST: usize = 63;
const HASH_DIGITS: usize = 12;
/// Far more than any name takes; names of users may be long, and stand in a template again and again.
const LONGEST_EXPANDED: usize = 4096;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameTemplateError {
    #[error("the template `{template}` cannot be expanded: {reason}")]
    Template { template: String, reason: String },
    #[error(
        "pod_name_template gives `{0}`, which is no name for a pod: use lower-case letters, digits and `-`, beginning and \
         ending with a letter or digit"
    )]
    NoName(String),
}

/// What templates may name.
pub struct Properties<'a> {
    pub username: &'a str,
    pub name: &'a str,
    pub user_id: i64,
    /// Ours: the hub's own is not known here.
    pub namespace: &'a str,
}

impl Properties<'_> {
    fn value(&self, field: &str) -> Option<String> {
        Some(match field {
            "username" => escaped(self.username),
            "unescaped_username" => self.username.to_owned(),
            "legacy_escape_username" => {
                self.username.to_lowercase().chars().map(|c| if is_safe(c) { c } else { '-' }).collect()
            }
            "servername" => escaped(self.name),
            "unescaped_servername" => self.name.to_owned(),
            "userid" => self.user_id.to_string(),
            "hubnamespace" if self.namespace == "default" => "user".to_owned(),
            "hubnamespace" => self.namespace.to_owned(),
            _ => return None,
        })
    }

    /// A text as Python's `str.format` makes it of these fields.
    pub fn expand(&self, template: &str) -> Result<String, NameTemplateError> {
        expand(template, |field| self.value(field))
    }
}

fn is_safe(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

/// Every byte of what is not safe as `-` and its hexadecimal digits.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_safe(c) {
            escaped.push(c);
        } else {
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).bytes();
            bytes.for_each(|byte| escaped.push_str(&format!("-{byte:x}")));
        }
    }
    escaped
}

fn expand(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, NameTemplateError> {
    let error =
        |reason: String| NameTemplateError::Template { template: template.escape_debug().take(200).collect(), reason };
    let mut expanded = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (plain, from) = rest.split_at(at);
        expanded.push_str(plain);
        if expanded.len() > LONGEST_EXPANDED {
            return Err(error(format!("it becomes longer than {LONGEST_EXPANDED} bytes")));
        }
        if let Some(after) = from.strip_prefix("{{") {
            expanded.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            expanded.push('}');
            rest = after;
        } else {
            let field = from.strip_prefix('{').and_then(|it| it.split_once('}'));
            let (field, after) = field.ok_or_else(|| error("a bracket stands alone".to_owned()))?;
            expanded.push_str(&value(field).ok_or_else(|| error(format!("`{field}` is not known")))?);
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The name of the pod and its Service. OutpostSpawner does not cut it; one that no Service may have is cut here and ends with
/// a hash, so that it is still one server's only.
pub fn pod_name(template: &str, properties: &Properties<'_>) -> Result<String, NameTemplateError> {
    let expanded = properties.expand(template)?;
    let name = fitting(expanded.trim_end_matches('-'));
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    match name.starts_with(is_end) && name.ends_with(is_end) && name.chars().all(is_safe) {
        true => Ok(name),
        false => Err(NameTemplateError::NoName(name.escape_debug().take(200).collect())),
    }
}

/// The text itself, or so much of it as fits, with a hash of all of it.
pub fn fitting(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    let hash: String = digest.iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect();
    let room = LONGEST - HASH_DIGITS - 1;
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= room).last().unwrap_or_default();
    format!("{}-{hash}", text[..end].trim_end_matches(['-', '.', '_']))
}

/// Only `{name}` and `{namespace}` may stand in it.
pub fn check_dns_name(template: &str) -> Result<(), NameTemplateError> {
    let known = |field: &str| ["name", "namespace"].contains(&field).then(String::new);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._{}".contains(c);
    if !template.chars().all(is_plain) || template.contains("{{") || template.contains("}}") {
        let (template, reason) = (template.escape_debug().take(200).collect(), "it is no host's name".to_owned());
        return Err(NameTemplateError::Template { template, reason });
    }
    expand(template, known).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(template: &str, username: &str, name: &str) -> Result<String, String> {
        let properties = Properties { username, name, user_id: 7, namespace: "space" };
        pod_name(template, &properties).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_those_that_the_hub_expects() {
        for (username, server, expected) in [
            ("alice", "lab1", "jupyter-alice--lab1"),
            ("bob.x", "lab", "jupyter-bob-2ex--lab"),
            ("Ann.B", "full1", "jupyter--41nn-2e-42--full1"),
            ("a-b", "", "jupyter-a-b"),
            ("", "mini", "jupyter---mini"),
            ("ü@x", "My Lab", "jupyter--c3-bc-40x---4dy-20-4cab"),
            ("per%", "a_b", "jupyter-per-25--a-5fb"),
        ] {
            assert_eq!(name(POD_NAME, username, server).as_deref(), Ok(expected), "{username} {server}");
        }
    }

    #[test]
    fn templates_are_pythons() {
        for (template, expected) in [
            ("jupyter-cert1", "jupyter-cert1"),
            ("{hubnamespace}-{userid}-{legacy_escape_username}", "space-7-ann-b"),
            ("x{unescaped_servername}-", "xlab"),
        ] {
            assert_eq!(name(template, "Ann.B", "lab").as_deref(), Ok(expected), "{template}");
        }
        for (template, part) in [
            ("{nobody}", "`nobody` is not known"),
            ("{username:.3}", "`username:.3` is not known"),
            ("{username", "a bracket stands alone"),
            ("a}b", "a bracket stands alone"),
            (&"{username}".repeat(2000), "longer than 4096 bytes"),
            ("Bad_Name", "`Bad_Name`, which is no name for a pod"),
            ("{unescaped_username}", "`Ann.B`, which is no name"),
            ("", "``, which is no name"),
        ] {
            let error = name(template, "Ann.B", "lab").unwrap_err();
            assert!(error.contains(part), "{template}: {error}");
        }
    }

    #[test]
    fn a_name_that_no_service_may_have_is_cut_and_stays_different() {
        let long = "l".repeat(60);
        let names = [name(POD_NAME, &long, "a").unwrap(), name(POD_NAME, &long, "b").unwrap()];
        assert_ne!(names[0], names[1]);
        assert!(names.iter().all(|it| it.len() <= 63 && it.starts_with("jupyter-llll")), "{names:?}");
        assert_eq!(name(POD_NAME, &"l".repeat(52), "a").unwrap().len(), 63);
    }

    #[test]
    fn a_host_is_made_of_name_and_namespace_only() {
        for template in [DNS_NAME, "{name}", "{name}.{namespace}", "gateway.example.org"] {
            assert_eq!(check_dns_name(template), Ok(()), "{template}");
        }
        for template in ["{nobody}", "{name", "{name}/x", "{{name}}", "a b"] {
            assert!(check_dns_name(template).is_err(), "{template}");
        }
    }
}
