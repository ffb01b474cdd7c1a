//! Keys of a config file that nobody reads: told with what was probably meant.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::reference;

static SCHEMA: LazyLock<Value> = LazyLock::new(reference::inlined_schema);

/// A key that nobody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// Such as `tunnel[0].host`.
    pub path: String,
    /// The key that was probably meant.
    pub meant: Option<String>,
}

/// The keys of a config file that nobody reads.
pub fn unknown_keys(config: &Value) -> Vec<UnknownKey> {
    let mut found = Vec::new();
    walk(config, &SCHEMA, "", &mut |path, key, known| {
        found.push(UnknownKey { path: path.to_owned(), meant: closest(key, known).map(str::to_owned) });
    });
    found
}

pub(super) fn warnings(config: &Value, file: &str) -> Vec<String> {
    let told = |UnknownKey { path, meant }| {
        let hint = meant.map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
        format!("{file}: unknown key `{path}` is ignored{hint}")
    };
    unknown_keys(config).into_iter().map(told).collect()
}

fn walk(value: &Value, schema: &Value, path: &str, tell: &mut impl FnMut(&str, &str, &Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            let known = schema["properties"].as_object();
            for (key, member) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (known.and_then(|it| it.get(key)), &schema["additionalProperties"], known) {
                    (Some(property), _, _) => walk(member, property, &path, tell),
                    (None, any @ Value::Object(_), _) => walk(member, any, &path, tell),
                    (None, Value::Bool(true), _) | (None, _, None) => {}
                    (None, _, Some(known)) => tell(&path, key, known),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &schema["items"], &format!("{path}[{index}]"), tell);
            }
        }
        _ => {}
    }
}

fn closest<'a>(key: &str, known: &'a Map<String, Value>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(&key.to_lowercase(), name);
    let best = known.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then_some(best.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn an_unknown_key_is_told_with_what_was_probably_meant() {
        let text = r#"{
            "service": {}, "zzz": 1,
            "services": {"replace": {"indicator": ["<", ">"], "stage": {"any": {"own": "x"}}}, "env": {"ANY": {"a": 1}}},
            "tunnel": [{"host": "x", "stage": {"s": {"url": "y"}}}],
            "startup": {"create_user": {"anybody": []}}
        }"#;
        assert_eq!(
            Config::from_json(text, "config.json").unwrap().warnings,
            [
                "config.json: unknown key `service` is ignored; did you mean `services`?",
                "config.json: unknown key `services.replace.indicator` is ignored; did you mean `indicators`?",
                "config.json: unknown key `tunnel[0].host` is ignored; did you mean `hostname`?",
                "config.json: unknown key `tunnel[0].stage.s.url` is ignored",
                "config.json: unknown key `zzz` is ignored",
            ]
        );
    }
}
