//! The pods of a description: container names, selectors, what they refer to and what of the node they open.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use serde_json::{Map, Value};

use super::codes::Code;
use super::finding::Findings;
use super::kubernetes_names::is_container_name;
use super::manifests::Sample;
use super::origin::{Origin, Place};
use crate::description::Manifest;
use crate::description::workload::pod_path;

/// Whoever has these has the node.
const OPENS_THE_NODE: [&str; 13] = [
    "/",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/proc",
    "/root",
    "/run",
    "/sys",
    "/usr",
    "/var",
    "/var/lib/kubelet",
    "/var/run",
];
const SOCKETS: [&str; 4] = ["docker.sock", "containerd.sock", "crio.sock", "podman.sock"];

pub fn check(origin: &Origin, objects: &[(Manifest, Place)], sample: &Sample<'_>, findings: &mut Findings) {
    let made = made(objects, sample);
    for (manifest, place) in objects {
        let Some(path) = pod_path(&manifest.object) else { continue };
        let pod = Pod { origin, manifest, place, path, sample };
        pod.containers(findings);
        pod.volumes(findings);
        pod.selector(findings);
        pod.references(&made, findings);
    }
}

/// Several Deployments with the main container, and none by the name that tells which one counts.
pub fn main_name(
    origin: &Origin,
    objects: &[(Manifest, Place)],
    main_name: &str,
    main_container: &str,
    findings: &mut Findings,
) {
    let has_main = |object: &Value| {
        let containers = object.pointer("/spec/template/spec/containers").and_then(Value::as_array);
        containers.into_iter().flatten().any(|it| it["name"] == main_container)
    };
    let mut mains = objects.iter().filter(|(it, _)| it.kind == "Deployment" && has_main(&it.object));
    if mains.clone().count() > 1
        && !mains.clone().any(|(it, _)| it.name == main_name)
        && let Some((_, place)) = mains.next()
    {
        let message = format!("{} Deployments have the container `{main_container}`", mains.count() + 1);
        findings.add(origin.finding(Code::MainName, place, "/metadata/name", message));
    }
}

fn made(objects: &[(Manifest, Place)], sample: &Sample<'_>) -> BTreeSet<(String, String)> {
    let secrets = sample.secrets().map(|it| ("Secret".to_owned(), it));
    objects.iter().map(|(it, _)| (it.kind.clone(), it.name.clone())).chain(secrets).collect()
}

struct Pod<'a> {
    origin: &'a Origin,
    manifest: &'a Manifest,
    place: &'a Place,
    /// Of the pod within the object.
    path: &'static str,
    sample: &'a Sample<'a>,
}

impl<'a> Pod<'a> {
    fn spec(&self) -> &'a Value {
        self.manifest.object.pointer(&format!("{}/spec", self.path)).unwrap_or(&Value::Null)
    }

    fn add(&self, findings: &mut Findings, code: Code, below: &str, message: String, is_milder: bool) {
        let pointer = format!("{}/spec{below}", self.path);
        let named = format!("{} {}: {message}", self.manifest.kind, self.sample.shown(&self.manifest.name));
        findings.add(self.origin.finding(code, self.place, &pointer, named).milder(is_milder));
    }

    /// The items of a list of the spec with their paths.
    fn items(&self, key: &str) -> impl Iterator<Item = (String, &'a Value)> + use<'a> {
        let items = self.spec()[key].as_array().into_iter().flatten().enumerate();
        let key = key.to_owned();
        items.map(move |(index, it)| (format!("/{key}/{index}"), it))
    }

    fn all_containers(&self) -> Vec<(String, &'a Value)> {
        self.items("initContainers").chain(self.items("containers")).collect()
    }

    fn containers(&self, findings: &mut Findings) {
        let mut names = BTreeSet::new();
        for (path, container) in self.all_containers() {
            let name = container["name"].as_str().unwrap_or_default();
            let below = format!("{path}/name");
            if !is_container_name(name) && !name.contains(self.sample.indicator) {
                let message = format!("a container cannot be called `{}`", self.sample.shown(name));
                self.add(findings, Code::NameInvalid, &below, message, false);
            } else if !names.insert(name) {
                let message = format!("two containers are called `{name}`");
                self.add(findings, Code::DuplicateObject, &below, message, false);
            }
        }
    }

    fn volumes(&self, findings: &mut Findings) {
        for (path, volume) in self.items("volumes") {
            let Some(host_path) = volume["hostPath"]["path"].as_str() else { continue };
            let below = format!("{path}/hostPath/path");
            let shown = self.sample.shown(host_path);
            let is_upwards = Path::new(host_path).components().any(|it| it == Component::ParentDir);
            let plain = if host_path.len() > 1 { host_path.trim_end_matches('/') } else { host_path };
            if !host_path.starts_with('/') || is_upwards {
                let message = format!("the hostPath `{shown}` is not an absolute path without `..`");
                self.add(findings, Code::HostPath, &below, message, false);
            } else if OPENS_THE_NODE.contains(&plain) || SOCKETS.iter().any(|it| plain.ends_with(it)) {
                let message = format!("the hostPath `{shown}` opens the node to the pod");
                self.add(findings, Code::HostPath, &below, message, true);
            }
        }
    }

    fn selector(&self, findings: &mut Findings) {
        let Some(wanted) = self.manifest.object.pointer("/spec/selector/matchLabels").and_then(Value::as_object) else {
            return;
        };
        let empty = Map::new();
        let labels = self.manifest.object.pointer(&format!("{}/metadata/labels", self.path));
        let labels = labels.and_then(Value::as_object).unwrap_or(&empty);
        if let Some((label, _)) = wanted.iter().find(|(label, value)| labels.get(*label) != Some(value)) {
            let message = format!("{}: the pods lack the label `{label}` of the selector", self.manifest.kind);
            findings.add(self.origin.finding(Code::SelectorMismatch, self.place, "/spec/selector", message));
        }
    }

    /// What must be made by this start is known by its name.
    fn references(&self, made: &BTreeSet<(String, String)>, findings: &mut Findings) {
        for (kind, name, below) in self.referred() {
            if self.sample.is_of_start(&name) && !made.contains(&(kind.to_owned(), name.clone())) {
                let message = format!("there is no {kind} {}", self.sample.shown(&name));
                self.add(findings, Code::ReferenceMissing, &below, message, false);
            }
        }
    }

    fn referred(&self) -> Vec<(&'static str, String, String)> {
        let mut found = Vec::new();
        let mut note = |kind: &'static str, holder: &Value, key: &str, below: String| {
            if let Some(name) = holder[key].as_str().filter(|_| holder["optional"] != true) {
                found.push((kind, name.to_owned(), format!("{below}/{key}")));
            }
        };
        note("ServiceAccount", self.spec(), "serviceAccountName", String::new());
        for (path, volume) in self.items("volumes") {
            note("ConfigMap", &volume["configMap"], "name", format!("{path}/configMap"));
            note("Secret", &volume["secret"], "secretName", format!("{path}/secret"));
            let claim = &volume["persistentVolumeClaim"];
            note("PersistentVolumeClaim", claim, "claimName", format!("{path}/persistentVolumeClaim"));
            for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
                note("ConfigMap", &source["configMap"], "name", format!("{path}/projected"));
                note("Secret", &source["secret"], "name", format!("{path}/projected"));
            }
        }
        for (path, container) in self.all_containers() {
            for (index, source) in container["envFrom"].as_array().into_iter().flatten().enumerate() {
                let below = format!("{path}/envFrom/{index}");
                note("ConfigMap", &source["configMapRef"], "name", format!("{below}/configMapRef"));
                note("Secret", &source["secretRef"], "name", format!("{below}/secretRef"));
            }
            for (index, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
                let below = format!("{path}/env/{index}/valueFrom");
                let from = &variable["valueFrom"];
                note("ConfigMap", &from["configMapKeyRef"], "name", format!("{below}/configMapKeyRef"));
                note("Secret", &from["secretKeyRef"], "name", format!("{below}/secretKeyRef"));
            }
        }
        found
    }
}
