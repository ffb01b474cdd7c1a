//! A container's environment: `envFrom`, `env`, references and expansion, in a kubelet's order.
//!
//! Reads Secrets and ConfigMaps from the storage; nothing of this process's own environment gets in.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::expansion::expand;
use super::fields::{self, Capacity, FieldError};
use crate::storage::{Key, Resource, Storage};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a container's configuration cannot be made; the state is then `CreateContainerConfigError` with this text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvironmentError {
    #[error("{kind} \"{name}\" not found")]
    NotFound { kind: &'static str, name: String },
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoKey { kind: &'static str, namespace: String, name: String, key: String },
    #[error("{0}")]
    Field(#[from] FieldError),
    #[error("environment variable {0} is no text")]
    NoText(String),
}

/// The names that `envFrom` could not use, told in an event.
#[derive(Debug, PartialEq, Eq)]
pub struct Skipped {
    pub keys: Vec<String>,
    pub kind: &'static str,
    pub name: String,
}

#[derive(Default)]
pub struct Environment {
    pub variables: Vec<(String, String)>,
    pub skipped: Vec<Skipped>,
}

/// The names only: values are secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.variables.iter().map(|(name, _)| name)).finish()
    }
}

impl Environment {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// The container's command and arguments with `$(NAME)` replaced; empty when only the image would know one.
    pub fn command(&self, container: &Value) -> Vec<String> {
        let words = |list: &Value| -> Vec<String> {
            let words = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            words.map(|it| expand(it, |name| self.get(name))).collect()
        };
        let mut command = words(&container["command"]);
        if !command.is_empty() {
            command.extend(words(&container["args"]));
        }
        command
    }
}

/// Builds the environment of one container of `pod`.
pub fn environment(
    storage: &Storage,
    pod: &Value,
    container: &Value,
    capacity: Capacity,
) -> Result<Environment, EnvironmentError> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let mut result = Environment::default();
    let mut values = cluster_variables(storage);
    for source in container["envFrom"].as_array().into_iter().flatten() {
        take_all(storage, namespace, source, &mut values, &mut result.skipped)?;
    }
    let own = container["name"].as_str().unwrap_or_default();
    // Only variables named before are known to `$(NAME)`: envFrom, and env in its order.
    for variable in container["env"].as_array().into_iter().flatten() {
        let Some(name) = variable["name"].as_str().filter(|it| usable(it)) else { continue };
        let from = &variable["valueFrom"];
        let value = if let Some(text) = variable["value"].as_str() {
            Some(expand(text, |name| values.get(name).map(String::as_str)))
        } else if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
            Some(fields::field(pod, path)?)
        } else if from["resourceFieldRef"].is_object() {
            Some(fields::resource(pod, own, &from["resourceFieldRef"], capacity)?)
        } else if from["secretKeyRef"].is_object() {
            key(storage, Kind::Secret, namespace, &from["secretKeyRef"])?
        } else if from["configMapKeyRef"].is_object() {
            key(storage, Kind::ConfigMap, namespace, &from["configMapKeyRef"])?
        } else {
            Some(String::new())
        };
        if let Some(value) = value {
            if value.contains('\0') {
                return Err(EnvironmentError::NoText(name.to_owned()));
            }
            values.insert(name.to_owned(), value);
        }
    }
    // What a container runtime adds. The image's own variables are not known here.
    let working_dir = container["workingDir"].as_str().filter(|it| !it.is_empty()).unwrap_or("/");
    values.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    values.entry("HOME".to_owned()).or_insert_with(|| working_dir.to_owned());
    let hostname = pod["spec"]["hostname"].as_str().or(pod["metadata"]["name"].as_str()).unwrap_or_default();
    values.entry("HOSTNAME".to_owned()).or_insert_with(|| hostname.to_owned());
    result.variables = values.into_iter().collect();
    Ok(result)
}

/// Kubernetes from 1.34 on takes every printable ASCII character but `=`.
fn usable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|it| (b' '..=b'~').contains(&it) && it != b'=')
}

/// How a client in a pod finds the API server, when the cluster has published it.
fn cluster_variables(storage: &Storage) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let service = storage.get(&Key::new(Resource::core("services"), "default", "kubernetes"));
    let Some(service) = service else { return values };
    if let (Some(host), Some(port)) =
        (service["spec"]["clusterIP"].as_str(), service["spec"]["ports"][0]["port"].as_u64())
    {
        values.insert("KUBERNETES_SERVICE_HOST".to_owned(), host.to_owned());
        values.insert("KUBERNETES_SERVICE_PORT".to_owned(), port.to_string());
        values.insert("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), port.to_string());
    }
    values
}

#[derive(Clone, Copy)]
enum Kind {
    Secret,
    ConfigMap,
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
        }
    }

    /// The kind in a kubelet's `not found`, which names the resource as the API does.
    fn singular(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::ConfigMap => "configmap",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }

    /// All entries that are text. `None` where a Secret's bytes are no UTF-8.
    fn text(self, value: &Value) -> Option<String> {
        let text = value.as_str()?;
        match self {
            Self::ConfigMap => Some(text.to_owned()),
            Self::Secret => String::from_utf8(STANDARD.decode(text).ok()?).ok(),
        }
    }
}

fn take_all(
    storage: &Storage,
    namespace: &str,
    source: &Value,
    values: &mut BTreeMap<String, String>,
    skipped: &mut Vec<Skipped>,
) -> Result<(), EnvironmentError> {
    let (kind, reference) = match (&source["secretRef"], &source["configMapRef"]) {
        (secret, _) if secret.is_object() => (Kind::Secret, secret),
        (_, config_map) if config_map.is_object() => (Kind::ConfigMap, config_map),
        _ => return Ok(()),
    };
    let name = reference["name"].as_str().unwrap_or_default();
    let Some(object) = storage.get(&Key::new(Resource::core(kind.plural()), namespace, name)) else {
        if reference["optional"] == true {
            return Ok(());
        }
        return Err(EnvironmentError::NotFound { kind: kind.singular(), name: name.to_owned() });
    };
    let prefix = source["prefix"].as_str().unwrap_or_default();
    let mut unusable = Vec::new();
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        let variable = format!("{prefix}{key}");
        if !usable(&variable) {
            unusable.push(variable);
            continue;
        }
        match kind.text(value).filter(|it| !it.contains('\0')) {
            Some(value) => drop(values.insert(variable, value)),
            None => return Err(EnvironmentError::NoText(variable)),
        }
    }
    if !unusable.is_empty() {
        unusable.sort();
        skipped.push(Skipped { keys: unusable, kind: kind.singular(), name: name.to_owned() });
    }
    Ok(())
}

fn key(storage: &Storage, kind: Kind, namespace: &str, reference: &Value) -> Result<Option<String>, EnvironmentError> {
    let name = reference["name"].as_str().unwrap_or_default().to_owned();
    let key = reference["key"].as_str().unwrap_or_default().to_owned();
    let optional = reference["optional"] == true;
    let Some(object) = storage.get(&Key::new(Resource::core(kind.plural()), namespace, &name)) else {
        return if optional { Ok(None) } else { Err(EnvironmentError::NotFound { kind: kind.singular(), name }) };
    };
    match &object["data"][&key] {
        Value::Null if optional => Ok(None),
        Value::Null => Err(EnvironmentError::NoKey { kind: kind.title(), namespace: namespace.to_owned(), name, key }),
        value => kind.text(value).map(Some).ok_or(EnvironmentError::NoText(key)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    const CAPACITY: Capacity = Capacity { cpus: 2, memory_bytes: 1 << 30 };

    fn storage() -> Storage {
        let storage = Storage::new();
        let put = |plural: &str, name: &str, data: Value| {
            storage.create(Key::new(Resource::core(plural), "n", name), json!({"metadata": {}, "data": data})).unwrap()
        };
        put("configmaps", "c", json!({"A": "from c", "dash-key": "1", "dotted.key": "2"}));
        put("secrets", "s", json!({"A": STANDARD.encode("from s"), "T": STANDARD.encode("token")}));
        storage
    }

    fn of(container: &Value) -> Result<Environment, EnvironmentError> {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}});
        environment(&storage(), &pod, container, CAPACITY)
    }

    #[test]
    fn later_sources_win_and_env_goes_last() {
        let environment = of(&json!({
            "name": "main", "workingDir": "/w",
            "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}, "prefix": "P_"}],
            "env": [
                {"name": "A", "value": "own"},
                {"name": "B", "value": "$(A)/$(P_T)/$(LATER)/$$(A)"},
                {"name": "LATER", "valueFrom": {"secretKeyRef": {"name": "s", "key": "T"}}},
                {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "x", "key": "T", "optional": true}}},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
        }))
        .unwrap();
        let expected = [
            ("A", "own"),
            ("B", "own/token/$(LATER)/$(A)"),
            ("HOME", "/w"),
            ("HOSTNAME", "p"),
            ("LATER", "token"),
            ("NAME", "p"),
            ("PATH", PATH),
            ("P_A", "from s"),
            ("P_T", "token"),
            ("dash-key", "1"),
            ("dotted.key", "2"),
        ];
        assert_eq!(environment.variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(environment.skipped, []);
    }

    #[test]
    fn names_that_no_variable_can_have_are_skipped_and_told() {
        let environment = of(&json!({"envFrom": [{"configMapRef": {"name": "c"}, "prefix": "ü="}]})).unwrap();
        let keys = ["ü=A", "ü=dash-key", "ü=dotted.key"].map(str::to_owned).to_vec();
        assert_eq!(environment.skipped, [Skipped { keys, kind: "configmap", name: "c".into() }]);
    }

    #[test]
    fn what_is_missing_is_told_in_a_kubelets_words() {
        let missing = |container: Value| of(&container).unwrap_err().to_string();
        assert_eq!(missing(json!({"envFrom": [{"secretRef": {"name": "x"}}]})), "secret \"x\" not found");
        assert_eq!(missing(json!({"envFrom": [{"configMapRef": {"name": "x"}}]})), "configmap \"x\" not found");
        let key = json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]});
        assert_eq!(missing(key), "couldn't find key k in Secret n/s");
    }

    #[test]
    fn a_container_without_a_command_has_none() {
        let environment = of(&json!({"env": [{"name": "A", "value": "1"}]})).unwrap();
        assert_eq!(environment.command(&json!({"args": ["x"]})), Vec::<String>::new());
        assert_eq!(environment.command(&json!({"command": ["a", "$(A)"], "args": ["$(B)"]})), ["a", "1", "$(B)"]);
    }
}
