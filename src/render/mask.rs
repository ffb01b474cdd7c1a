//! Secrets without their values: the keys stay, and the object is one that Kubernetes takes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub const MASK: &str = "***";

/// Masks the values of a Secret; other objects stay as they are.
pub fn mask(object: &mut Value) {
    if !is_secret(object) {
        return;
    }
    let replace = |object: &mut Value, key: &str, by: &str| {
        for value in object.get_mut(key).and_then(Value::as_object_mut).into_iter().flat_map(|it| it.values_mut()) {
            *value = json!(by);
        }
    };
    replace(object, "stringData", MASK);
    replace(object, "data", &STANDARD.encode(MASK));
}

pub fn is_secret(object: &Value) -> bool {
    object["kind"] == "Secret" && object["apiVersion"] == "v1"
}

/// All values of a Secret under `data`, as the API server keeps them.
pub fn settle(object: &mut Value) {
    if !is_secret(object) {
        return;
    }
    let Some(Value::Object(plain)) = object.as_object_mut().and_then(|it| it.remove("stringData")) else { return };
    for (key, value) in plain {
        object["data"][key] = json!(STANDARD.encode(value.as_str().unwrap_or_default()));
    }
}

/// For people alone: without what `mask_both` has masked already.
pub fn mask_alone(object: &mut Value) {
    if !is_secret(object) {
        return;
    }
    for value in object.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(|it| it.values_mut()) {
        if !value.as_str().is_some_and(|it| it.starts_with(MASK)) {
            *value = json!(MASK);
        }
    }
}

/// Masks the values of two Secrets so that a difference between them can be seen and nothing else.
pub fn mask_both(running: &mut Value, described: &mut Value) {
    if !is_secret(described) {
        return;
    }
    let other = described["data"].clone();
    let show = |object: &mut Value, other: &Value, changed: &str| {
        for (key, value) in object.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
            let is_same = other.get(key).is_none_or(|it| it == value);
            *value = json!(if is_same { MASK.to_owned() } else { format!("{MASK} ({changed})") });
        }
    };
    let running_data = running["data"].clone();
    show(running, &other, "running");
    show(described, &running_data, "described");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_secret_is_a_secret_still() {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "b"}, "data": {"c": "ZA=="}});
        mask(&mut secret);
        assert_eq!((&secret["stringData"]["a"], &secret["data"]["c"]), (&json!("***"), &json!("Kioq")));
        let mut other = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"c": "d"}});
        mask(&mut other);
        assert_eq!(other["data"]["c"], "d");
    }

    #[test]
    fn a_changed_value_shows_as_changed_and_not_what_it_is() {
        let secret = |a: &str| json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": a, "same": "s"}});
        let (mut running, mut described) = (secret("old"), secret("new"));
        settle(&mut running);
        settle(&mut described);
        mask_both(&mut running, &mut described);
        assert_eq!(running["data"], json!({"a": "*** (running)", "same": "***"}));
        assert_eq!(described["data"], json!({"a": "*** (described)", "same": "***"}));
    }
}
