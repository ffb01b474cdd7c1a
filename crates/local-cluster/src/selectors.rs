//! Label and field selectors: parsing as the API takes them, and whether an object matches.

use serde_json::Value;

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    NotExists(String),
    Greater(String, i64),
    Less(String, i64),
}

/// All requirements must hold; none is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    /// An absent `selector` of an object selects nothing.
    nothing: bool,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectorError {
    #[error("unable to parse requirement: {0}")]
    Label(String),
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    Field(String, String),
    #[error("field label not supported: {0}")]
    UnknownField(String),
}

impl LabelSelector {
    /// Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>3`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            requirements.push(parse_requirement(part)?);
        }
        Ok(Self { requirements, nothing: false })
    }

    /// From `spec.selector` with matchLabels and matchExpressions.
    pub fn from_object(selector: &Value) -> Self {
        if selector.is_null() {
            return Self { requirements: Vec::new(), nothing: true };
        }
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()]));
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            let values: Vec<String> = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|it| it.as_str().map(str::to_owned))
                .collect();
            requirements.push(match expression["operator"].as_str() {
                Some("In") => Requirement::In(key, values),
                Some("NotIn") => Requirement::NotIn(key, values),
                Some("DoesNotExist") => Requirement::NotExists(key),
                _ => Requirement::Exists(key),
            });
        }
        Self { requirements, nothing: false }
    }

    /// From a plain map, as Services have it.
    pub fn from_map(map: &Value) -> Self {
        let Some(map) = map.as_object().filter(|map| !map.is_empty()) else {
            return Self { requirements: Vec::new(), nothing: true };
        };
        let requirements = map
            .iter()
            .map(|(key, value)| Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()]))
            .collect();
        Self { requirements, nothing: false }
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.matches_labels(&object["metadata"]["labels"])
    }

    pub fn matches_labels(&self, labels: &Value) -> bool {
        let get = |key: &str| labels.get(key).and_then(Value::as_str);
        !self.nothing
            && self.requirements.iter().all(|requirement| match requirement {
                Requirement::In(key, values) => get(key).is_some_and(|it| values.iter().any(|value| value == it)),
                Requirement::NotIn(key, values) => get(key).is_none_or(|it| !values.iter().any(|value| value == it)),
                Requirement::Exists(key) => get(key).is_some(),
                Requirement::NotExists(key) => get(key).is_none(),
                Requirement::Greater(key, bound) => number(get(key)).is_some_and(|it| it > *bound),
                Requirement::Less(key, bound) => number(get(key)).is_some_and(|it| it < *bound),
            })
    }
}

fn number(text: Option<&str>) -> Option<i64> {
    text.and_then(|it| it.parse().ok())
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_requirement(part: &str) -> Result<Requirement, SelectorError> {
    let wrong = || SelectorError::Label(format!("found '{part}', expected: a label selector requirement"));
    let key_of = |key: &str| {
        let key = key.trim();
        let plain =
            !key.is_empty() && key.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.' | '/'));
        if plain { Ok(key.to_owned()) } else { Err(wrong()) }
    };
    let value_of = |value: &str| {
        let value = value.trim();
        let plain = value.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.'));
        if plain && value.len() <= 63 { Ok(value.to_owned()) } else { Err(wrong()) }
    };
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement::NotExists(key_of(key)?));
    }
    if let Some(list) = part.strip_suffix(')') {
        let (head, values) = list.split_once('(').ok_or_else(wrong)?;
        let values = values.split(',').map(value_of).collect::<Result<Vec<_>, _>>()?;
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        return match operator {
            "in" => Ok(Requirement::In(key_of(key)?, values)),
            "notin" => Ok(Requirement::NotIn(key_of(key)?, values)),
            _ => Err(wrong()),
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(key_of(key)?, vec![value_of(value)?]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(key_of(key)?, vec![value_of(value)?]));
    }
    if let Some((key, value)) = part.split_once('>') {
        return Ok(Requirement::Greater(key_of(key)?, value.trim().parse().map_err(|_| wrong())?));
    }
    if let Some((key, value)) = part.split_once('<') {
        return Ok(Requirement::Less(key_of(key)?, value.trim().parse().map_err(|_| wrong())?));
    }
    Ok(Requirement::Exists(key_of(part)?))
}

/// `metadata.name=x,status.phase!=Running`: path, whether equal is wanted, value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<(String, bool, String)>,
}

impl FieldSelector {
    /// Parses a selector; which fields a kind can be selected by, `plural` decides.
    pub fn parse(text: &str, plural: &str) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for part in text.split(',').filter(|it| !it.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (field, true, value)
            } else {
                return Err(SelectorError::Field(text.to_owned(), part.to_owned()));
            };
            if !selectable(plural, field) {
                return Err(SelectorError::UnknownField(field.to_owned()));
            }
            requirements.push((field.to_owned(), equal, value.to_owned()));
        }
        Ok(Self { requirements })
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The one name that can match, if the selector says so: a list can then be a get.
    pub fn name(&self) -> Option<&str> {
        self.requirements.iter().find(|(field, equal, _)| field == "metadata.name" && *equal).map(|it| it.2.as_str())
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.requirements.iter().all(|(field, equal, value)| {
            let mut found = object;
            for step in field.split('.') {
                found = &found[step];
            }
            let text = match found {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            (text == *value) == *equal
        })
    }
}

fn selectable(plural: &str, field: &str) -> bool {
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return true;
    }
    match plural {
        "pods" => matches!(
            field,
            "spec.nodeName"
                | "spec.restartPolicy"
                | "spec.schedulerName"
                | "spec.serviceAccountName"
                | "spec.hostNetwork"
                | "status.phase"
                | "status.podIP"
                | "status.nominatedNodeName"
        ),
        "events" => {
            field.starts_with("involvedObject.")
                || field.starts_with("regarding.")
                || matches!(field, "reason" | "reportingComponent" | "source" | "type")
        }
        "secrets" => field == "type",
        "namespaces" => field == "status.phase",
        "nodes" => field == "spec.unschedulable",
        "jobs" => field == "status.successful",
        "replicasets" | "replicationcontrollers" => field == "status.replicas",
        "services" => matches!(field, "spec.clusterIP" | "spec.type"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_match_as_the_api_says() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front", "size": "5"}}});
        for (text, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (web, db),tier", true),
            ("app notin (web)", false),
            ("!other", true),
            ("!app", false),
            ("size>4", true),
            ("size<5", false),
            ("app in (a,b)", false),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(&object), expected, "{text}");
        }
        for wrong in ["a b", "a in b", "=x", "a=b=c", "a in (x"] {
            assert!(LabelSelector::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_field_selector_knows_the_fields_of_its_kind() {
        let pod = json!({"metadata": {"name": "a"}, "status": {"phase": "Running"}});
        assert!(FieldSelector::parse("status.phase=Running", "pods").unwrap().matches(&pod));
        assert!(!FieldSelector::parse("status.phase!=Running", "pods").unwrap().matches(&pod));
        assert!(FieldSelector::parse("spec.nodeName=", "pods").unwrap().matches(&pod));
        assert_eq!(
            FieldSelector::parse("status.phase=x", "configmaps").unwrap_err().to_string(),
            "field label not supported: status.phase"
        );
    }
}
