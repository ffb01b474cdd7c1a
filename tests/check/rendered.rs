//! `k8smgr render`: YAML that kubectl takes, and the difference from what runs.

use crate::site::{HUB, Site};
use crate::support::app::{basic, start_body};
use crate::support::wire::Request;
use crate::tool::{installation, run};

const LAB: [&str; 5] = ["render", "--credential", "hub", "--service", "Lab"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    LAB.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn the_owner_secret_comes_first_and_no_value_of_it_is_shown() {
    let folder = installation(None);
    let rendered = run(folder.path(), &with(&["--name", "one", "--start-id", "s1", "--user-id", "7"]));
    assert_eq!((rendered.status, rendered.stderr.as_str()), (0, ""));
    let (secret, pod) = rendered.stdout.split_once("---\n").unwrap();
    assert!(secret.contains("kind: Secret") && secret.contains("name: secret-one-s1-k8smgr"), "{secret}");
    assert!(secret.contains("  JUPYTERHUB_API_TOKEN: \"***\"\n") && !secret.contains("sample-"), "{secret}");
    let plain: Vec<&str> = pod.lines().filter(|it| !it.contains("k8smgr.io/")).collect();
    insta::assert_snapshot!(plain.join("\n"), @r#"
    apiVersion: v1
    kind: Pod
    metadata:
      name: lab-one-s1
      namespace: labs
      annotations:
      labels:
        app.kubernetes.io/managed-by: k8smgr
    spec:
      containers:
        - name: main
          envFrom:
            - secretRef:
                name: secret-one-s1-k8smgr
          image: "x/run:1"
    "#);
}

#[test]
fn what_cannot_be_rendered_is_told_as_a_start_would() {
    let folder = installation(None);
    let unknown = run(folder.path(), &["render", "--credential", "hub", "--service", "Nothing"]);
    assert_eq!((unknown.status, unknown.stderr.as_str()), (2, "k8smgr: Couldn't find service yaml file.\n"));
    assert_eq!(run(folder.path(), &["render", "--credential", "hub", "--service", "../x"]).status, 2);
    assert_eq!(run(folder.path(), &with(&["--user-options", "{"])).status, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_takes_what_is_rendered() {
    let site = Site::start().await;
    let service = "apiVersion: v1
kind: Service
metadata: {name: lab-<id>}
spec: {selector: {lab: l-<id>}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: map-<id>}
data: {script: \"a: 1\\n  'b'\\n\", odd: \" x: #\\t\"}
binaryData: {input: <input>}
---
apiVersion: v1
kind: Secret
metadata: {name: own-<id>}
data: {a: aGlkZGVu}
stringData: {b: hidden}
---
apiVersion: v1
kind: Namespace
metadata: {name: ns-<id>}
---
";
    let pod = std::fs::read_to_string(site.path().join("descriptions/hub/Lab/service.yaml")).unwrap();
    site.describe("service.yaml", &format!("{service}{pod}"));
    std::fs::create_dir(site.path().join("descriptions/hub/Lab/input")).unwrap();
    let rendered = site.k8smgr("admin", &with(&[])).await;
    assert_eq!(rendered.status, 0, "{}", rendered.stderr);
    assert!(!rendered.stdout.contains("hidden") && !rendered.stdout.contains("aGlkZGVu"), "{}", rendered.stdout);
    let said = site.kubectl(&["apply", "--dry-run=server", "-f", "-"], &rendered.stdout).await;
    let kinds: Vec<&str> = said.lines().map(|it| it.split('/').next().unwrap()).collect();
    assert_eq!(kinds, ["secret", "service", "configmap", "secret", "namespace", "pod"], "{said}");
    assert!(said.lines().all(|it| it.ends_with("created (server dry run)")), "{said}");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_differs_by_what_was_changed_since() {
    let site = Site::start().await;
    let lab = "apiVersion: v1
kind: ConfigMap
metadata: {name: map-<id>}
data: {user: '<user_id>', old: x}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: depl-<id>}
spec:
  selector: {matchLabels: {lab: l-<id>}}
  template:
    metadata: {labels: {lab: l-<id>}}
    spec:
      containers:
        - name: main
          image: x/run:1
          resources: {requests: {cpu: 0.5, memory: 1024Mi}}
          envFrom: [{secretRef: {name: <secret_name>}}]
";
    site.describe("service.yaml", lab);
    let none = site.k8smgr("admin", &with(&["--diff"])).await;
    assert_eq!(none.status, 2);
    assert!(none.stderr.contains("no running service Lab of credential hub was found"), "{}", none.stderr);

    let app = site.app("admin").await;
    let start = Request::new("POST", "/api/services/").header("uuidcode", "one").json(&start_body("Lab", "s1"));
    let answer = start.header("Authorization", &basic(HUB)).send(app.address()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    for named in [&[][..], &["--server-name", "one"]] {
        let same = site.k8smgr("admin", &with(&[&["--diff"], named].concat())).await;
        assert_eq!((same.status, same.stdout.as_str()), (0, ""), "{}", same.stderr);
    }
    assert_eq!(site.k8smgr("admin", &with(&["--diff", "--name", "two"])).await.status, 2);

    site.describe("service.yaml", &lab.replace("x/run:1", "x/run:2").replace(", old: x", ""));
    let config = std::fs::read_to_string(site.path().join("config.json")).unwrap();
    let config = config.replace(
        "\"descriptions\": \"descriptions\"",
        "\"descriptions\": \"descriptions\", \"env\": {\"NEW\": \"hidden\"}",
    );
    std::fs::write(site.path().join("config.json"), config).unwrap();
    let changed = site.k8smgr("admin", &with(&["--diff"])).await;
    assert_eq!(changed.status, 1, "{}", changed.stderr);
    assert!(!changed.stdout.contains("hidden"), "{}", changed.stdout);
    let changes: Vec<&str> = changed.stdout.lines().filter(|it| it.starts_with(['+', '-'])).collect();
    insta::assert_snapshot!(changes.join("\n"), @r#"
    --- running Secret secret-one-s1-k8smgr
    +++ described Secret secret-one-s1-k8smgr
    +  NEW: "***"
    --- running ConfigMap map-one-s1
    +++ described ConfigMap map-one-s1
    -  old: x
    --- running Deployment depl-one-s1
    +++ described Deployment depl-one-s1
    -          image: "x/run:1"
    +          image: "x/run:2"
    "#);
    app.shut_down().await.unwrap();
    site.end().await;
}
