//! A configuration and a description with a version in everything that can hold one, and a look at what a start made
//! of them.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::app::{JUPYTERHUB, TestApp};

pub const SERVICE: &str = "Marked";

/// The files of a description. The names of all objects hold the id; `<marker>` comes from the configuration.
pub fn files(version: u64) -> Vec<(&'static str, String)> {
    let service = format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{name: cm-<id>}}
data: {{service: 'v{version}', config: '<marker>', input: '<input>'}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: depl-<id>}}
spec:
  selector: {{matchLabels: {{name: depl-<id>}}}}
  template:
    metadata: {{labels: {{name: depl-<id>}}, annotations: {{version: 'v{version}'}}}}
    spec:
      containers: [{{name: main, image: 'x/run:1'}}]
"
    );
    let update =
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: up-<id>, labels: {{v: 'v{version}'}}}}}}");
    let plain = format!("v{version}");
    vec![
        ("service.yaml", service),
        ("update.yaml", update),
        ("notes.txt", plain.clone()),
        ("input/first", plain.clone()),
        ("input/deep/second", plain),
    ]
}

pub fn write_files(folder: &Path, files: &[(&str, String)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Without the descriptions of the records, of which some are broken on purpose: `own` beside them.
pub fn own_descriptions(config: &mut Value) {
    let records = config["services"]["descriptions"].as_str().unwrap();
    let own = Path::new(records).with_file_name("own");
    std::fs::create_dir_all(&own).unwrap();
    config["services"]["descriptions"] = json!(own);
}

/// The configuration of a test with its own version.
pub fn mark_config(config: &mut Value, version: u64) {
    let marker = format!("v{version}");
    config["services"]["env"]["MARKER"] = json!(marker);
    config["services"]["replace"]["stage"]["production"]["marker"] = json!(marker);
}

pub async fn start(app: &TestApp, name: &str) -> BTreeSet<String> {
    let started = app.start_service(JUPYTERHUB, name, "s1", SERVICE).await;
    assert_eq!(started.status, 201, "{}", started.body);
    versions(app, &format!("{name}-s1")).await
}

/// All versions that a start's objects and rendered files carry.
async fn versions(app: &TestApp, id: &str) -> BTreeSet<String> {
    let config_map = app.cluster.get("ConfigMap", &format!("cm-{id}")).await.expect("the ConfigMap");
    let deployment = app.cluster.get("Deployment", &format!("depl-{id}")).await.expect("the Deployment");
    let secret = app.cluster.get("Secret", &format!("secret-{id}-k8smgr")).await.expect("the Secret");
    let decoded = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
    let mut found = BTreeSet::new();
    for key in ["service", "config"] {
        found.insert(config_map["data"][key].as_str().unwrap().to_owned());
    }
    found.insert(deployment["spec"]["template"]["metadata"]["annotations"]["version"].as_str().unwrap().to_owned());
    found.insert(String::from_utf8(decoded(&secret["data"]["MARKER"])).unwrap());
    let archive = decoded(&config_map["data"]["input"]);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()));
    for entry in archive.entries().unwrap() {
        let mut text = String::new();
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
            found.insert(text);
        }
    }
    let rendered = |name: &str| std::fs::read_to_string(app.path("services").join(id).join(name)).unwrap();
    found.insert(rendered("notes.txt"));
    let update = rendered("update.yaml");
    found.insert(update.split('\'').nth(1).expect("a label").to_owned());
    found
}
