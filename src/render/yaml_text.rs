//! A Kubernetes object as block YAML that every loader reads the same way.

use serde_json::{Map, Value};

use crate::description::to_yaml;

/// What people look for first.
const FIRST: [&str; 5] = ["apiVersion", "kind", "metadata", "name", "namespace"];

/// One document, without the line `---`.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => mapping(members, 0, &mut text),
        other => text.push_str(&format!("{}\n", to_yaml(other))),
    }
    text
}

fn mapping(members: &Map<String, Value>, indent: usize, text: &mut String) {
    let rank = |key: &String| FIRST.iter().position(|it| it == key).unwrap_or(FIRST.len());
    let mut keys: Vec<&String> = members.keys().collect();
    keys.sort_by_key(|key| (rank(key), (*key).clone()));
    for (index, key) in keys.into_iter().enumerate() {
        // The first one stands behind what leads here, such as `- `.
        if index > 0 || !text.ends_with("- ") {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(&to_yaml(&Value::String(key.clone())));
        text.push(':');
        value(&members[key.as_str()], indent, text);
    }
}

/// What stands behind `key:`, the end of the line included.
fn value(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            mapping(members, indent + 2, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            sequence(items, indent + 2, text);
        }
        other => {
            text.push(' ');
            scalar(other, indent + 2, text);
        }
    }
}

fn sequence(items: &[Value], indent: usize, text: &mut String) {
    for item in items {
        text.push_str(&" ".repeat(indent));
        text.push_str("- ");
        match item {
            Value::Object(members) if !members.is_empty() => mapping(members, indent + 2, text),
            Value::Array(_) => {
                text.push_str(&to_yaml(item));
                text.push('\n');
            }
            other => scalar(other, indent + 2, text),
        }
    }
}

fn scalar(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::String(long) if is_literal(long) => {
            text.push_str(if long.ends_with('\n') { "|\n" } else { "|-\n" });
            for line in long.trim_end_matches('\n').split('\n') {
                if !line.is_empty() {
                    text.push_str(&" ".repeat(indent));
                    text.push_str(line);
                }
                text.push('\n');
            }
        }
        other => {
            text.push_str(&to_yaml(other));
            text.push('\n');
        }
    }
}

/// Several lines that a literal block gives back as they are.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let is_plain =
        |c: char| c == '\n' || !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body.chars().all(is_plain)
        && body.split('\n').all(|line| !line.ends_with(' '))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::description::documents;

    #[test]
    fn an_object_is_written_as_people_write_it() {
        let object = json!({
            "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "labels": {}},
            "spec": {"containers": [{"name": "main", "args": ["-c", "yes"], "env": []}], "nested": [[1, 2]]},
            "script": "a\n\n  b\n", "quoted": "a\nb ",
        });
        insta::assert_snapshot!(document(&object), @r#"
        apiVersion: v1
        kind: Pod
        metadata:
          name: a
          labels: {}
        quoted: "a\nb "
        script: |
          a

            b
        spec:
          containers:
            - name: main
              args:
                - "-c"
                - "yes"
              env: []
          nested:
            - [1, 2]
        "#);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ a-z\\n:#\\-|>'\"\\t]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~\\n]{0,6}", inner, 0..4)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back_the_same(value in any_value()) {
            let value = json!({"value": value, "last": 1});
            let text = document(&value);
            let read = documents(&text).map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
            prop_assert_eq!(&read[0], &Some(value), "{}", text);
        }
    }
}
