//! What a description may hold: any kind, any namespace, Handlebars, what outlives the service.

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::support::app::{JUPYTERHUB, OTHERHUB, TestApp};
use crate::support::cluster::TestCluster;
use crate::support::folders::describe;
use crate::support::json::Json;
use crate::support::wait::eventually;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: depl-<id>}
spec:
  selector: {matchLabels: {name: depl-<id>}}
  template:
    metadata: {labels: {name: depl-<id>}}
    spec:
      containers: [{name: main, image: 'x/run:1'}]
---
";

fn written(app: &TestApp, files: &[(&str, &str)]) {
    describe(&app.path("descriptions"), "jupyterhub/Mine", files);
}

async fn start(app: &TestApp, user: &str, name: &str, start_id: &str) -> (u16, String) {
    let answer = app.start_service(user, name, start_id, "Mine").await;
    (answer.status, answer.body)
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let (group, version, kind, plural) = (group.to_owned(), version.to_owned(), kind.to_owned(), plural.to_owned());
    ApiResource { group, version, api_version, kind, plural }
}

async fn create(cluster: &TestCluster, resource: &ApiResource, object: Value) {
    let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), resource);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

#[tokio::test]
async fn objects_of_any_kind_and_namespace_go_with_the_service() {
    let app = TestApp::start().await;
    let other = format!("{}-other", app.cluster.namespace);
    let namespaces = resource("", "v1", "Namespace", "namespaces");
    create(&app.cluster, &namespaces, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}))
        .await;
    let group = format!("{}.example.org", app.cluster.namespace);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("labs.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": "labs", "singular": "lab", "kind": "Lab"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let definitions = resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
    create(&app.cluster, &definitions, definition).await;

    let text = format!(
        "{DEPLOYMENT}
apiVersion: {group}/v1
kind: Lab
metadata: {{name: lab-<id>}}
spec: {{a: b}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: far-<id>, namespace: {other}}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: job-<id>}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: other, image: 'x/run:1'}}]
---
apiVersion: v1
kind: List
items:
  - {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: sa-<id>}}}}
  - {{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: pvc-<id>}},
     spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}}}
"
    );
    written(&app, &[("service.yaml", &text)]);
    let (status, body) = start(&app, JUPYTERHUB, "lab", "s1").await;
    assert_eq!(status, 201, "{body}");
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;

    let lab = resource(&group, "v1", "Lab", "labs");
    let labs: Api<DynamicObject> = Api::namespaced_with(app.cluster.client.clone(), &app.cluster.namespace, &lab);
    let maps = resource("", "v1", "ConfigMap", "configmaps");
    let far: Api<DynamicObject> = Api::namespaced_with(app.cluster.client.clone(), &other, &maps);
    assert!(labs.get_opt("lab-lab-s1").await.unwrap().is_some());
    assert!(far.get_opt("far-lab-s1").await.unwrap().is_some());
    for (kind, name) in
        [("Job", "job-lab-s1"), ("ServiceAccount", "sa-lab-s1"), ("PersistentVolumeClaim", "pvc-lab-s1")]
    {
        assert!(app.cluster.get(kind, name).await.is_some(), "{kind} {name}");
    }

    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("").await;
    eventually("the custom resource and the far object are gone", async || {
        let gone =
            labs.get_opt("lab-lab-s1").await.unwrap().is_none() && far.get_opt("far-lab-s1").await.unwrap().is_none();
        gone.then_some(())
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn what_is_to_be_kept_outlives_the_service_and_is_its_hub_s_alone() {
    let app = TestApp::start().await;
    let text = format!(
        "{DEPLOYMENT}
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data-<user_id>, annotations: {{k8smgr.io/keep: 'true'}}}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}
"
    );
    written(&app, &[("service.yaml", &text)]);
    let (status, body) = start(&app, JUPYTERHUB, "lab", "s1").await;
    assert_eq!(status, 201, "{body}");
    let claim = app.cluster.get("PersistentVolumeClaim", "data-7").await.expect("the claim");
    assert!(claim["metadata"]["ownerReferences"].is_null(), "{claim}");
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("lab-s1").await;
    let kept = app.cluster.get("PersistentVolumeClaim", "data-7").await.expect("the claim stays");
    assert_eq!(kept["metadata"]["uid"], claim["metadata"]["uid"]);
    assert!(kept["metadata"]["deletionTimestamp"].is_null());

    // A later start finds it; another hub's is refused and touches nothing.
    let (status, body) = start(&app, JUPYTERHUB, "lab", "s2").await;
    assert_eq!(status, 201, "{body}");
    let before = app.cluster.snapshot().await;
    let (status, body) = start(&app, OTHERHUB, "theirs", "s1").await;
    assert!(status == 500 && body.contains("data-7"), "{status} {body}");
    app.cluster.nothing_of("theirs").await;
    let unchanged = async || (app.cluster.snapshot().await == before).then_some(());
    eventually("the first hub's objects are as they were", unchanged).await;
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("lab-s2").await;
    assert!(app.cluster.get("PersistentVolumeClaim", "data-7").await.is_some());
    app.end().await;
}

#[tokio::test]
async fn handlebars_descriptions_quote_what_users_chose() {
    let app = TestApp::start().await;
    let text = "
apiVersion: v1
kind: ConfigMap
metadata: {name: 'cm-{{text id}}'}
data:
  name: {{user_options.name}}
  stage: {{stage}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: 'depl-{{text id}}'}
spec:
  selector: {matchLabels: {name: 'depl-{{text id}}'}}
  template:
    metadata: {labels: {name: 'depl-{{text id}}'}}
    spec:
      containers: [{name: main, image: 'x/run:1'}]
";
    written(&app, &[("service.yaml.hbs", text)]);
    let mut body = crate::support::app::start_body("Mine", "s1");
    let name = "a: b\n---\nkind: Pod # {{env}} 'x' \"y\"";
    body["user_options"]["name"] = json!(name);
    let answer = app.post(JUPYTERHUB, "lab", &body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let config_map = app.cluster.get("ConfigMap", "cm-lab-s1").await.expect("the ConfigMap");
    assert_eq!(config_map["data"], json!({"name": name, "stage": "production"}));
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("").await;

    // What a template asks for and a user did not give is said.
    let answer = app.start_service(JUPYTERHUB, "lab", "s2", "Mine").await;
    assert_eq!(answer.status, 500);
    assert!(answer.json().member("detailed_error").text().contains("name"), "{}", answer.body);
    app.end().await;
}

/// Hubs show `detailed_error` as HTML, and the API server quotes what users chose.
#[tokio::test]
async fn what_a_refusal_quotes_cannot_become_markup() {
    let app = TestApp::start().await;
    let text = "
apiVersion: v1
kind: Pod
metadata: {name: 'depl-{{text id}}', labels: {chosen: {{user_options.name}}}}
spec:
  containers: [{name: main, image: 'x/run:1'}]
";
    written(&app, &[("service.yaml.hbs", text)]);
    let mut body = crate::support::app::start_body("Mine", "s1");
    body["user_options"]["name"] = json!("<img src=x onerror=alert(1)>");
    let answer = app.post(JUPYTERHUB, "lab", &body).await;
    assert_eq!(answer.status, 500, "{}", answer.body);
    let shown = answer.json().member("detailed_error").text().to_owned();
    assert!(shown.contains("&lt;img src=x onerror=alert(1)&gt;") && !shown.contains('<'), "{shown}");
    app.cluster.nothing_of("").await;
    app.end().await;
}

#[tokio::test]
async fn an_update_leaves_a_stranger_s_object_alone() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Run").await.status, 201);
    let stranger = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc-update-lab-s1"},
        "spec": {"ports": [{"port": 1}], "selector": {"a": "b"}},
    });
    app.cluster.create("Service", stranger).await;
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    let before = app.cluster.snapshot().await;
    let refused = app.put(JUPYTERHUB, "lab").await;
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert!(refused.json().member("detailed_error").text().contains("svc-update-lab-s1"), "{}", refused.body);
    assert_eq!(app.cluster.snapshot().await, before);
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    eventually("only the stranger's Service is left", async || {
        (app.cluster.names().await == ["Service/svc-update-lab-s1"]).then_some(())
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn a_bare_pod_that_is_done_is_told_as_failed() {
    let app = TestApp::start().await;
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: pod-<id>}, spec: {restartPolicy: Never, \
                containers: [{name: main, image: 'x/done:1'}]}}";
    written(&app, &[("service.yaml", text)]);
    let (status, body) = start(&app, JUPYTERHUB, "lab", "s1").await;
    assert_eq!(status, 201, "{body}");
    let answer = eventually("lab says running: false", async || {
        let answer = app.get(JUPYTERHUB, "lab").await;
        (answer.json().member("running") == &Json::Bool(false)).then_some(answer)
    })
    .await;
    assert_eq!(answer.json().member("details").member("error").text(), "Service status is Failed");
    app.end().await;
}

#[tokio::test]
async fn events_that_an_operator_named_fail_a_start_once_they_stay() {
    let app = TestApp::builder().grace_seconds(1).start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Slow").await.status, 201);
    let pod = app.cluster.pod_in_phase("depl-lab-s1-", "Pending").await;
    app.cluster.add_event(&pod, "w1", "Warning", "FailedMount", "no <volume> 'x'").await;
    let answer = eventually("lab says running: false", async || {
        let answer = app.get(JUPYTERHUB, "lab").await;
        (answer.json().member("running") == &Json::Bool(false)).then_some(answer)
    })
    .await;
    let details = answer.json().member("details").clone();
    assert_eq!(details.member("error").text(), "Service cannot start");
    let html = details.member("detailed_error").text();
    assert!(html.starts_with("<details><summary>Events</summary>"), "{html}");
    assert!(html.ends_with("no &lt;volume&gt; &#x27;x&#x27;</details>"), "{html}");
    app.end().await;
}

#[tokio::test]
async fn without_named_events_warnings_fail_nothing() {
    let edit = |config: &mut Value| config["services"]["pod_events_to_fail"] = json!([]);
    let app = TestApp::builder().grace_seconds(0).edit(edit).start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Slow").await.status, 201);
    let pod = app.cluster.pod_in_phase("depl-lab-s1-", "Pending").await;
    for index in 0..3 {
        app.cluster.add_event(&pod, &format!("w{index}"), "Warning", "FailedMount", "no volume").await;
        let polled = app.get(JUPYTERHUB, "lab").await;
        assert!(polled.body.ends_with(r#","running":true}"#), "{}", polled.body);
    }
    app.end().await;
}

#[tokio::test]
async fn a_pod_that_is_deleted_is_replaced_and_the_service_goes_on() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Sidecar").await.status, 201);
    let first = app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    app.cluster.delete("Pod", &first).await;
    eventually("another pod runs", async || {
        let polled = app.get(JUPYTERHUB, "lab").await;
        assert!(polled.body.ends_with(r#","running":true}"#), "{}", polled.body);
        let pods = app.cluster.pods("depl-lab-s1-").await;
        (pods.len() == 1 && pods[0] != first).then_some(())
    })
    .await;
    app.end().await;
}
