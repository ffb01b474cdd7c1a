//! Labels: those that the hub asks for, and names as values of labels.

use std::collections::BTreeMap;

use super::templates::{NameTemplateError, Properties, fitting};
use crate::domain::Json;

const MOST_LABELS: usize = 64;

/// `extra_labels` with their templates expanded. What is no object counts as not sent.
pub fn of_start(
    extra_labels: Option<&Json>,
    properties: &Properties<'_>,
) -> Result<BTreeMap<String, String>, NameTemplateError> {
    let Some(Json::Object(members)) = extra_labels else { return Ok(BTreeMap::new()) };
    if members.len() > MOST_LABELS {
        let reason = format!("there are more than {MOST_LABELS} labels");
        return Err(NameTemplateError::Template { template: "extra_labels".to_owned(), reason });
    }
    members.iter().map(|(key, text)| Ok((key.clone(), properties.expand(&text.python_str())?))).collect()
}

/// A name as the value of a label: itself where it may be one, else what is left of it, with a hash.
pub fn value(name: &str) -> String {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_end = |c: char| c.is_ascii_alphanumeric();
    let is_value =
        name.chars().all(is_inner) && (name.is_empty() || name.starts_with(is_end) && name.ends_with(is_end));
    if is_value && name.len() <= 63 {
        return name.to_owned();
    }
    let plain: String = name.chars().map(|c| if is_inner(c) { c } else { '-' }).collect();
    // Long enough to be cut, so that the hash of the name itself is there.
    let marked = format!("{}{}{name}", plain.trim_matches(['-', '_', '.']), "-".repeat(64));
    let fitted = fitting(&marked);
    let fitted: String = fitted.chars().map(|c| if is_inner(c) { c } else { '-' }).collect();
    fitted.trim_matches(['-', '_', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_value_that_kubernetes_takes_and_no_other_has() {
        assert_eq!(value(""), "");
        assert_eq!(value("Ann.B"), "Ann.B");
        let names = ["My Lab", "My-Lab ", "ü", "-x", "a/b", &"l".repeat(64), &"ü".repeat(64)];
        let values: Vec<_> = names.iter().map(|it| value(it)).collect();
        for (name, value) in names.iter().zip(&values) {
            let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            assert!(value.len() <= 63 && value.chars().all(is_inner), "{name}: {value}");
            assert!(value.starts_with(|c: char| c.is_ascii_alphanumeric()), "{name}: {value}");
        }
        let different: std::collections::BTreeSet<_> = values.iter().collect();
        assert_eq!(different.len(), names.len(), "{values:?}");
        assert!(values[0].starts_with("My-Lab-"), "{}", values[0]);
    }

    #[test]
    fn labels_are_expanded() {
        let properties = Properties { username: "Ann.B", name: "lab", user_id: 7, namespace: "n" };
        let labels = Json::parse(br#"{"a": "b", "user": "{userid}-{servername}", "n": 5}"#).unwrap();
        let made = of_start(Some(&labels), &properties).unwrap();
        assert_eq!(
            made.into_iter().collect::<Vec<_>>(),
            [
                ("a".to_owned(), "b".to_owned()),
                ("n".to_owned(), "5".to_owned()),
                ("user".to_owned(), "7-lab".to_owned())
            ]
        );
    }
}
