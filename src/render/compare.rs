//! What runs against what is described, field by field of the description: what a server adds is nobody's difference.

use serde_json::{Map, Value};
use similar::TextDiff;

use super::{mask, yaml_text};

/// By which member the items of a list are told apart, as the API server merges them.
const MERGE_KEYS: [&str; 5] = ["name", "mountPath", "containerPort", "port", "devicePath"];
/// Maps whose keys are the description's own: one that is only there was removed from the description.
const FREE_MAPS: [&str; 8] =
    ["data", "binaryData", "labels", "matchLabels", "nodeSelector", "limits", "requests", "selector"];
/// What a server adds to such maps.
const ADDED_LABELS: [&str; 4] = ["kubernetes.io/", "controller-uid", "job-name", "pod-template-hash"];

/// The unified diff from what runs to what is described; empty where they are the same.
pub fn diff(running: Option<&Value>, described: Option<&Value>) -> String {
    let (mut running, mut described) = (running.cloned(), described.cloned());
    for object in [&mut running, &mut described].into_iter().flatten() {
        mask::settle(object);
        without_ours(object);
    }
    if let (Some(running), Some(described)) = (&mut running, &mut described) {
        *running = projected(running, described, "");
        mask::mask_both(running, described);
    }
    let text = |object: &mut Option<Value>| match object {
        Some(object) => {
            // Where there is one alone, nothing of it was compared.
            mask::mask_alone(object);
            yaml_text::document(object)
        }
        None => String::new(),
    };
    let name = name_of(described.as_ref().or(running.as_ref()).unwrap_or(&Value::Null));
    let (before, after) = (text(&mut running), text(&mut described));
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(&before, &after);
    diff.unified_diff().context_radius(3).header(&format!("running {name}"), &format!("described {name}")).to_string()
}

fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// What runs, as far as the description speaks of it.
pub fn projected(running: &Value, described: &Value, key: &str) -> Value {
    match (running, described) {
        (Value::Object(running), Value::Object(described)) => {
            let mut kept = Map::new();
            for (name, value) in running {
                match described.get(name) {
                    Some(wanted) => kept.insert(name.clone(), projected(value, wanted, name)),
                    None if FREE_MAPS.contains(&key) && !is_added(name) && !value.is_object() => {
                        kept.insert(name.clone(), value.clone())
                    }
                    None => None,
                };
            }
            Value::Object(kept)
        }
        (Value::Array(running), Value::Array(described)) => Value::Array(projected_items(running, described, key)),
        _ => running.clone(),
    }
}

fn projected_items(running: &[Value], described: &[Value], key: &str) -> Vec<Value> {
    let all = || running.iter().chain(described);
    let merge_key = MERGE_KEYS.into_iter().find(|name| all().all(|it| it.get(name).is_some()));
    let Some(merge_key) = merge_key else {
        let pair = |(index, it): (usize, &Value)| {
            described.get(index).map_or_else(|| it.clone(), |wanted| projected(it, wanted, key))
        };
        let items = running.iter().enumerate();
        // Tolerations are added to by the server.
        return items.filter(|(_, it)| key != "tolerations" || described.contains(it)).map(pair).collect();
    };
    let mut items = Vec::new();
    for it in running {
        match described.iter().find(|wanted| wanted[merge_key] == it[merge_key]) {
            Some(wanted) => items.push(projected(it, wanted, key)),
            None if is_injected(it) => {}
            None => items.push(it.clone()),
        }
    }
    items
}

fn is_added(label: &str) -> bool {
    ADDED_LABELS.iter().any(|it| label.contains(it))
}

/// The token that the API server mounts into every pod.
fn is_injected(item: &Value) -> bool {
    let text = |key: &str| item[key].as_str().unwrap_or_default();
    text("name").starts_with("kube-api-access-") || text("mountPath").starts_with("/var/run/secrets/kubernetes.io/")
}

/// Our marks differ from start to start. Empty maps are no difference.
fn without_ours(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for key in ["labels", "annotations"] {
                if let Some(Value::Object(marks)) = members.get_mut(key) {
                    let is_ours = |name: &str| name.starts_with("k8smgr.io/") || name == "app.kubernetes.io/managed-by";
                    marks.retain(|name, _| !is_ours(name));
                }
            }
            members.values_mut().for_each(without_ours);
            members.retain(|_, it| !it.is_null() && it.as_object().is_none_or(|it| !it.is_empty()));
        }
        Value::Array(items) => items.iter_mut().for_each(without_ours),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(image: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"lab": "x"}},
            "spec": {"containers": [{"name": "main", "image": image}]},
        })
    }

    #[test]
    fn what_a_server_adds_is_no_difference() {
        let mut running = pod("x:1");
        running["status"] = json!({"phase": "Running"});
        running["metadata"]["uid"] = json!("u");
        running["metadata"]["labels"]["k8smgr.io/start"] = json!("s");
        running["metadata"]["labels"]["batch.kubernetes.io/job-name"] = json!("s");
        running["spec"]["nodeName"] = json!("n");
        running["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
        running["spec"]["volumes"] = json!([{"name": "kube-api-access-x"}]);
        assert_eq!(diff(Some(&running), Some(&pod("x:1"))), "");
    }

    #[test]
    fn what_was_changed_added_and_removed_shows() {
        let mut running = pod("x:1");
        running["metadata"]["labels"]["old"] = json!("1");
        running["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "sidecar", "image": "s:1"}));
        let mut described = pod("x:2");
        described["spec"]["hostname"] = json!("h");
        insta::assert_snapshot!(diff(Some(&running), Some(&described)), @r#"
        --- running Pod a
        +++ described Pod a
        @@ -4,10 +4,8 @@
           name: a
           labels:
             lab: x
        -    old: "1"
         spec:
           containers:
             - name: main
        -      image: "x:1"
        -    - name: sidecar
        -      image: "s:1"
        +      image: "x:2"
        +  hostname: h
        "#);
    }

    #[test]
    fn an_object_that_is_only_on_one_side_shows_whole_and_masked() {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hidden"}});
        for text in [diff(None, Some(&secret)), diff(Some(&secret), None)] {
            assert!(text.contains("***") && !text.contains("hidden") && !text.contains("aGlkZGVu"), "{text}");
        }
    }
}
