use serde_json::{Value, json};

use crate::support::{TestNode, condition, running, script};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_ready_when_its_probe_says_so() {
    let node = TestNode::start().await;
    let mut pod = script("p", "echo up; exec sleep 1000");
    pod["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    let container = &mut pod["spec"]["containers"][0];
    container["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    container["readinessProbe"] =
        json!({"exec": {"command": ["cat", "/v/ready"]}, "periodSeconds": 1, "failureThreshold": 1});
    node.create(pod);
    let unready = |it: &str| it.starts_with("Warning Unhealthy Readiness probe failed: cat: /v/ready");
    let pod = node.until("p", |it| running(it) && node.events("p").iter().any(|it| unready(it))).await;
    assert_eq!(condition(&pod, "Ready"), "False");
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    std::fs::write(node.data_dir.path().join("pods").join(uid).join("volumes/v/ready"), "").unwrap();
    node.until("p", |it| condition(it, "Ready") == "True").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_fails_its_liveness_probe_is_started_again() {
    let node = TestNode::start().await;
    let mut pod = script("p", "exec sleep 1000");
    pod["spec"]["restartPolicy"] = json!("Always");
    pod["spec"]["containers"][0]["livenessProbe"] =
        json!({"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1});
    node.create(pod);
    let again = |it: &Value| it["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(0);
    let pod = node.until("p", again).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 143);
    let told = "Normal Killing Container main failed liveness probe, will be restarted".to_owned();
    assert!(node.events("p").contains(&told), "{:?}", node.events("p"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_inside_the_container() {
    let node = TestNode::start().await;
    let mut pod = script("p", "trap 'cat /tmp/start /tmp/stop; exit 0' TERM; echo up; while :; do sleep 0.1; done");
    pod["spec"]["containers"][0]["lifecycle"] = json!({
        "postStart": {"exec": {"command": ["sh", "-c", "echo $NAME $(id -u) > /tmp/start"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stop > /tmp/stop"]}},
    });
    pod["spec"]["containers"][0]["env"] = json!([{"name": "NAME", "value": "ann"}]);
    pod["spec"]["securityContext"] = json!({"runAsUser": 1234});
    pod["metadata"]["finalizers"] = json!(["test/keep"]);
    node.create(pod);
    node.until("p", running).await;
    node.until_logged("p", "up").await;
    node.delete("p", 600);
    let pod = node.until("p", |it| it["metadata"]["deletionGracePeriodSeconds"] == 0).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    assert_eq!(pod["status"]["phase"], "Succeeded");
    assert_eq!(events_of_failed_hooks(&node), Vec::<String>::new());
}

fn events_of_failed_hooks(node: &TestNode) -> Vec<String> {
    node.events("p").into_iter().filter(|it| it.contains("Hook")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_says_a_lot_comes_to_its_end() {
    let node = TestNode::start().await;
    let mut pod = script("p", "exec sleep 1000");
    let command = json!(["sh", "-c", "yes | head -c 1000000"]);
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"exec": {"command": command}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 1});
    node.create(pod);
    node.until("p", |it| condition(it, "Ready") == "True").await;
    assert!(!node.events("p").iter().any(|it| it.contains("Unhealthy")));
}
