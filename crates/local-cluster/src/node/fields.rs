//! What a container may learn about its own pod: `fieldRef` and `resourceFieldRef`. Pure.

use serde_json::Value;

use super::quantity::{divided, millis};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FieldError {
    #[error("unsupported fieldPath: {0}")]
    UnsupportedField(String),
    #[error("unsupported container resource: {0}")]
    UnsupportedResource(String),
    #[error("container \"{0}\" was not found")]
    NoContainer(String),
}

/// What the node has, for containers without limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub cpus: u64,
    pub memory_bytes: u64,
}

/// The value of a `fieldRef`. Labels and annotations as a whole are for volumes only, as in Kubernetes.
pub fn field(pod: &Value, path: &str) -> Result<String, FieldError> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some((map, key)) = subscript(path) {
        return Ok(pod["metadata"][map][key].as_str().unwrap_or_default().to_owned());
    }
    match path {
        "metadata.name" | "metadata.namespace" | "metadata.uid" | "spec.nodeName" | "status.podIP"
        | "status.hostIP" => Ok(text(&format!("/{}", path.replace('.', "/")))),
        "spec.serviceAccountName" => Ok(match text("/spec/serviceAccountName") {
            name if name.is_empty() => "default".to_owned(),
            name => name,
        }),
        "status.podIPs" => Ok(text("/status/podIP")),
        "status.hostIPs" => Ok(text("/status/hostIP")),
        other => Err(FieldError::UnsupportedField(other.to_owned())),
    }
}

/// A field of a downwardAPI volume: also all labels or annotations, one `key="value"` a line.
pub fn volume_field(pod: &Value, path: &str) -> Result<String, FieldError> {
    let map = match path {
        "metadata.labels" => &pod["metadata"]["labels"],
        "metadata.annotations" => &pod["metadata"]["annotations"],
        other => return field(pod, other),
    };
    let mut lines: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={:?}", value.as_str().unwrap_or_default()))
        .collect();
    lines.sort();
    Ok(lines.join("\n"))
}

/// The value of a `resourceFieldRef`: a limit or request of a container, divided and rounded up.
pub fn resource(pod: &Value, own: &str, reference: &Value, capacity: Capacity) -> Result<String, FieldError> {
    let name = reference["containerName"].as_str().filter(|it| !it.is_empty()).unwrap_or(own);
    let resource = reference["resource"].as_str().unwrap_or_default();
    let container = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .find(|it| it["name"] == name)
        .ok_or_else(|| FieldError::NoContainer(name.to_owned()))?;
    let unsupported = || FieldError::UnsupportedResource(resource.to_owned());
    let (kind, what) = resource.split_once('.').ok_or_else(unsupported)?;
    let all = match what {
        "cpu" => i128::from(capacity.cpus) * 1000,
        "memory" => i128::from(capacity.memory_bytes) * 1000,
        _ if what == "ephemeral-storage" || what.starts_with("hugepages-") => 0,
        _ => return Err(unsupported()),
    };
    let resources = &container["resources"];
    let stated = match kind {
        "limits" => stated(&resources["limits"][what]).unwrap_or(all),
        "requests" => stated(&resources["requests"][what]).or_else(|| stated(&resources["limits"][what])).unwrap_or(0),
        _ => return Err(unsupported()),
    };
    let divisor = match stated_text(&reference["divisor"]).as_deref() {
        None | Some("0" | "") => 1000,
        Some(text) => millis(text).ok_or_else(unsupported)?,
    };
    Ok(divided(stated, divisor).to_string())
}

fn stated_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_number().map(ToString::to_string))
}

fn stated(value: &Value) -> Option<i128> {
    stated_text(value).and_then(|it| millis(&it))
}

fn subscript(path: &str) -> Option<(&'static str, &str)> {
    let inside = |prefix| path.strip_prefix(prefix)?.strip_suffix("']");
    inside("metadata.labels['")
        .map(|key| ("labels", key))
        .or_else(|| inside("metadata.annotations['").map(|key| ("annotations", key)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_and_resources_are_those_of_the_pod() {
        let pod = json!({
            "metadata": {"name": "p", "labels": {"a/b": "c", "d": "e"}},
            "spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}}}]},
            "status": {"podIP": "127.0.0.1"},
        });
        let capacity = Capacity { cpus: 4, memory_bytes: 1 << 30 };
        assert_eq!(field(&pod, "metadata.name").as_deref(), Ok("p"));
        assert_eq!(field(&pod, "metadata.labels['a/b']").as_deref(), Ok("c"));
        assert_eq!(field(&pod, "status.podIP").as_deref(), Ok("127.0.0.1"));
        assert_eq!(field(&pod, "spec.serviceAccountName").as_deref(), Ok("default"));
        assert_eq!(field(&pod, "spec.x"), Err(FieldError::UnsupportedField("spec.x".into())));
        assert_eq!(volume_field(&pod, "metadata.labels").as_deref(), Ok("a/b=\"c\"\nd=\"e\""));
        let of = |resource: &str, divisor: &str| {
            super::resource(&pod, "main", &json!({"resource": resource, "divisor": divisor}), capacity)
        };
        assert_eq!(of("limits.cpu", "").as_deref(), Ok("2"));
        assert_eq!(of("limits.cpu", "1m").as_deref(), Ok("1500"));
        assert_eq!(of("limits.memory", "1Mi").as_deref(), Ok("1024"));
        assert_eq!(of("requests.memory", "0").as_deref(), Ok("1073741824"));
        assert!(of("limits.gpu", "").is_err());
    }
}
