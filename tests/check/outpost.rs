//! Descriptions for hubs of Outpost's protocol.

use std::path::Path;

use serde_json::Value;

use crate::tool::{installation, run};

const SERVER: &str = r#"apiVersion: v1
kind: Service
metadata:
  name: {{outpost.pod_name}}
  labels: {{outpost.labels}}
spec:
  selector:
    server: {{outpost.pod_name}}
  ports:
    - port: {{outpost.port}}
---
apiVersion: v1
kind: Pod
metadata:
  name: {{outpost.pod_name}}
  labels:
    server: {{outpost.pod_name}}
    name: {{outpost.name_label}}
    user: {{outpost.username_label}}
  annotations:
    host: {{outpost.dns_name}}
spec:
  containers:
    - name: main
      image: {{default misc.image "example.org/lab:1"}}
      args: ["--ip", {{outpost.ip}}]
      envFrom:
        - secretRef:
            name: {{secret_name}}
{{#if outpost.has_certificates}}
      volumeMounts:
        - name: certificates
          mountPath: /etc/jupyterhub/ssl
  volumes:
    - name: certificates
      secret:
        secretName: {{secret_certs_name}}
{{/if}}
"#;

fn describe(folder: &Path, text: &str) {
    let description = folder.join("descriptions/hub/Outpost");
    std::fs::create_dir_all(&description).unwrap();
    std::fs::write(description.join("service.yaml.hbs"), text).unwrap();
}

#[test]
fn what_a_hub_of_outposts_protocol_expects_is_known() {
    let installation = installation(None);
    describe(installation.path(), SERVER);
    for default in [None, Some("Outpost")] {
        let path = installation.path().join("config.json");
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if let Some(default) = default {
            config["outpost"]["hub"]["default_service"] = default.into();
        }
        std::fs::write(&path, config.to_string()).unwrap();
        let found = run(installation.path(), &["check", "--format", "json"]);
        assert_eq!((found.findings(), found.status), (Vec::<String>::new(), 0), "{default:?}: {}", found.stdout);
    }
}

#[test]
fn what_nobody_knows_of_such_a_start_is_told() {
    let installation = installation(None);
    describe(installation.path(), &SERVER.replace("outpost.port", "outpost.prot"));
    let found = run(installation.path(), &["check", "--format", "json"]);
    assert_eq!(
        found.findings(),
        ["descriptions/hub/Outpost/service.yaml.hbs:10 error template-value"],
        "{}",
        found.stdout
    );
}
