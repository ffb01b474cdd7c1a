//! `k8smgr check --cluster` and `--rbac`, against a cluster with RBAC.

use serde_json::Value;

use crate::site::{HUB, Site};
use crate::support::app::{basic, start_body};
use crate::support::wait::eventually;
use crate::support::wire::Request;

const EVERYTHING: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: lab-<id>}
spec:
  serviceName: lab
  selector: {matchLabels: {lab: l-<id>}}
  template:
    metadata: {labels: {lab: l-<id>}}
    spec:
      containers: [{name: main, image: 'x/run:1', envFrom: [{secretRef: {name: <secret_name>}}]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: map-<id>}
";

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_told_with_the_role_that_grants_them() {
    let site = Site::start().await;
    site.describe("service.yaml", EVERYTHING);
    let before = site.k8smgr("robot", &["check", "--cluster", "--format", "json"]).await;
    assert_eq!(before.status, 1, "{}", before.stderr);
    assert!(before.findings().iter().all(|it| it == "- error right-missing"), "{:?}", before.findings());
    assert!(before.stdout.contains("may not create statefulsets of apps in namespace labs"), "{}", before.stdout);

    let role = site.k8smgr("admin", &["check", "--rbac", "--cluster"]).await;
    assert_eq!((role.status, role.stderr.as_str()), (0, ""));
    // All of it lacks, so what is missing is the whole Role.
    assert_eq!(before.stderr, format!("# What is missing:\n{}", role.stdout));
    // Without a cluster the kinds are guessed, and these are guessed right.
    assert_eq!(site.k8smgr("admin", &["check", "--rbac"]).await.stdout, role.stdout);

    site.kubectl(&["apply", "-f", "-"], &role.stdout).await;
    let bind = ["create", "rolebinding", "robot", "-n", "labs", "--role=k8smgr", "--serviceaccount=labs:robot"];
    site.kubectl(&bind, "").await;
    let after = site.k8smgr("robot", &["check", "--cluster"]).await;
    assert_eq!((after.status, after.stderr.as_str()), (0, ""), "{}", after.stdout);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_role_is_enough_to_start_poll_update_and_stop() {
    let site = Site::start().await;
    site.describe("service.yaml", EVERYTHING);
    site.describe("update.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map-<id>}\ndata: {a: b}\n");
    let role = site.k8smgr("admin", &["check", "--rbac"]).await;
    site.kubectl(&["apply", "-f", "-"], &role.stdout).await;
    let bind = ["create", "rolebinding", "robot", "-n", "labs", "--role=k8smgr", "--serviceaccount=labs:robot"];
    site.kubectl(&bind, "").await;
    let app = site.app("robot").await;
    let send = async |request: Request| request.header("Authorization", &basic(HUB)).send(app.address()).await;

    let start = Request::new("POST", "/api/services/").header("uuidcode", "one").json(&start_body("Lab", "s1"));
    let answer = send(start).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let answer = send(Request::new("PUT", "/api/services/one/")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        site.kubectl(&["get", "configmap", "map-one-s1", "-n", "labs", "-o", "jsonpath={.data.a}"], "").await,
        "b"
    );
    eventually("the pod was seen to run", async || {
        let answer: Value = serde_json::from_str(&send(Request::get("/api/services/one/")).await.body).unwrap();
        (answer["running"] == true && answer["details"].is_null()).then_some(())
    })
    .await;
    let answer = send(Request::new("DELETE", "/api/services/one/")).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    eventually("all of it is gone", async || {
        let left = site.kubectl(&["get", "statefulsets,configmaps,secrets,pods", "-n", "labs", "-o", "name"], "").await;
        (!left.contains("one-s1")).then_some(())
    })
    .await;
    app.shut_down().await.unwrap();
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_would_refuse_is_told_with_its_line() {
    let site = Site::start().await;
    let more = "---
apiVersion: example.org/v1
kind: Nonsense
metadata: {name: n-<id>}
---
apiVersion: v1
kind: Service
metadata: {name: svc-<id>}
spec: {ports: [{name: http, port: 99999}]}
";
    site.describe("service.yaml", &format!("{EVERYTHING}{more}"));
    let found = site.k8smgr("admin", &["check", "--cluster", "--format", "json"]).await;
    assert_eq!(
        found.findings(),
        [
            "descriptions/hub/Lab/service.yaml:16 error kind-unknown",
            "descriptions/hub/Lab/service.yaml:20 error cluster-refuses"
        ],
        "{}",
        found.stdout
    );
    let left = site.kubectl(&["get", "statefulsets,configmaps,secrets,services", "-n", "labs", "-o", "name"], "").await;
    assert!(!left.contains("lab-") && !left.contains("map-") && !left.contains("secret-"), "{left}");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_answer_is_no_finding() {
    let site = Site::start().await;
    let kubeconfig = site.cluster.kubeconfig().replace(&site.cluster.url(), "https://127.0.0.1:9");
    std::fs::write(site.path().join("away.kubeconfig"), kubeconfig).unwrap();
    let found = site.k8smgr("away", &["check", "--cluster"]).await;
    assert_eq!((found.status, found.stdout.as_str()), (2, ""), "{}", found.stderr);
    assert!(found.stderr.contains("cannot be reached"), "{}", found.stderr);
    site.end().await;
}
