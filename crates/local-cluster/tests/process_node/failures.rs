use local_cluster::kubelet::{LogError, LogQuery};
use serde_json::{Value, json};

use crate::support::{TestNode, pod, running, script, waiting};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_machine_lacks_is_told_as_containerd_tells_it() {
    let node = TestNode::start().await;
    let (phase, state, _) =
        node.run(pod("p", json!([{"name": "main", "image": "x", "command": ["no-such-tool"]}]))).await;
    assert_eq!(phase, "Failed");
    assert_eq!((&state["terminated"]["exitCode"], &state["terminated"]["reason"]), (&json!(128), &json!("StartError")));
    let message = state["terminated"]["message"].as_str().unwrap();
    assert!(message.ends_with("exec: \"no-such-tool\": executable file not found in $PATH"), "{message}");
    let told = node.events("p");
    assert!(told.iter().any(|it| it.starts_with("Warning Failed Error: failed to create containerd task")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_command_with_restarts_ends_in_the_crash_back_off() {
    let node = TestNode::start().await;
    let mut pod = pod("p", json!([{"name": "main", "image": "x", "command": ["/no/such/tool"]}]));
    pod["spec"]["restartPolicy"] = json!("Always");
    node.create(pod);
    let pod = node.until("p", |it| waiting(it) == "CrashLoopBackOff").await;
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["reason"], "StartError");
    assert!(last["message"].as_str().unwrap().ends_with("stat /no/such/tool: no such file or directory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_executed_is_a_start_error_too() {
    let node = TestNode::start().await;
    node.create_object("configmaps", "c", json!({"data": {"run": "#!/no/such/interpreter\n"}}));
    let mut pod = pod(
        "p",
        json!([{
            "name": "main", "image": "x", "command": ["/c/run"], "volumeMounts": [{"name": "c", "mountPath": "/c"}],
        }]),
    );
    pod["spec"]["volumes"] = json!([{"name": "c", "configMap": {"name": "c", "defaultMode": 0o755}}]);
    let (phase, state, _) = node.run(pod).await;
    assert_eq!(phase, "Failed");
    assert_eq!((&state["terminated"]["exitCode"], &state["terminated"]["reason"]), (&json!(128), &json!("StartError")));
    let message = state["terminated"]["message"].as_str().unwrap();
    assert!(message.ends_with("exec: \"/c/run\": no such file or directory"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_without_a_command_waits_and_says_why() {
    let node = TestNode::start().await;
    node.create(pod("p", json!([{"name": "main", "image": "x"}])));
    let pod = node.until("p", |it| waiting(it) == "CreateContainerError").await;
    let message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.contains("needs a command"), "{message}");
    assert!(matches!(node.log("p", LogQuery::default()).await, Err(LogError::WaitingToStart { .. })));
    node.delete("p", 30);
    node.until("p", Value::is_null).await;
}

/// All other images are taken for pulled: what runs is the machine's.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_a_registry_that_cannot_be_is_told_as_a_kubelet_tells_it() {
    let node = TestNode::start().await;
    let command = json!(["/bin/true"]);
    node.create(pod("p", json!([{"name": "main", "image": "registry.invalid:5000/lab:1", "command": command}])));
    let pod = node.until("p", |it| waiting(it) == "ErrImagePull").await;
    assert_eq!(pod["status"]["phase"], "Pending");
    let message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.ends_with("lookup registry.invalid: no such host"), "{message}");
    let told = node.events("p");
    for said in [
        "Normal Pulling Pulling image \"registry.invalid:5000/lab:1\"",
        "Warning Failed Failed to pull image \"registry.invalid:5000/lab:1\": failed to pull and unpack image",
        "Warning Failed Error: ErrImagePull",
    ] {
        assert!(told.iter().any(|it| it.starts_with(said)), "{said}: {told:?}");
    }
    node.delete("p", 30);
    node.until("p", Value::is_null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_told_and_the_container_starts_when_it_appears() {
    let node = TestNode::start().await;
    let mut pod = script("p", "echo $KEY");
    pod["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "s"}}]);
    node.create(pod);
    let pod = node.until("p", |it| waiting(it) == "CreateContainerConfigError").await;
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"], "secret \"s\" not found");
    assert!(node.events("p").contains(&"Warning Failed Error: secret \"s\" not found".to_owned()));
    node.create_object("secrets", "s", json!({"data": {"KEY": "dmFsdWU="}}));
    let pod = node.until("p", |it| it["status"]["phase"] == "Succeeded").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(node.log("p", LogQuery::default()).await.unwrap(), "value\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_volume_source_keeps_the_pod_creating_until_it_appears() {
    let node = TestNode::start().await;
    let mut pod = script("p", "cat /c/key");
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/c"}]);
    pod["spec"]["volumes"] = json!([{"name": "v", "configMap": {"name": "c"}}]);
    node.create(pod);
    let told = "Warning FailedMount MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found".to_owned();
    let pod = node.until("p", |_| node.events("p").contains(&told)).await;
    assert_eq!((waiting(&pod), &pod["status"]["phase"]), ("ContainerCreating", &json!("Pending")));
    node.create_object("configmaps", "c", json!({"data": {"key": "found"}}));
    node.until("p", |it| it["status"]["phase"] == "Succeeded").await;
    assert_eq!(node.log("p", LogQuery::default()).await.unwrap(), "found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_waits_can_be_deleted() {
    let node = TestNode::start().await;
    let mut pod = script("p", "true");
    pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "gone"}}]);
    node.create(pod);
    node.until("p", |_| node.events("p").iter().any(|it| it.contains("FailedMount"))).await;
    node.delete("p", 30);
    node.until("p", Value::is_null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_another_node_is_left_alone() {
    let node = TestNode::start().await;
    let mut other = script("other", "true");
    other["spec"]["nodeName"] = json!("elsewhere");
    node.create(other);
    node.create(script("ours", "exec sleep 1000"));
    node.until("ours", running).await;
    let other = node.until("other", |_| true).await;
    assert_eq!(other["status"], json!({"phase": "Pending"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_huge_termination_message_the_beginning_is_told() {
    let node = TestNode::start().await;
    let text = "printf begun > /dev/termination-log; truncate -s 64G /dev/termination-log; exit 1";
    let (_, state, _) = node.run(script("p", text)).await;
    let message = state["terminated"]["message"].as_str().unwrap();
    assert!(message.starts_with("begun") && message.len() == 4096, "{}", message.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_variables_than_bubblewrap_takes_are_told_in_plain_words() {
    let node = TestNode::start().await;
    let with = |name: &str, count: usize| {
        let mut pod = script(name, "env | grep -c ^V");
        let variables = (0..count).map(|it| json!({"name": format!("V{it}"), "value": "x"}));
        pod["spec"]["containers"][0]["env"] = variables.collect();
        pod
    };
    let (_, state, log) = node.run(with("many", 2800)).await;
    assert_eq!(log, "2800\n", "{state}");
    for count in [2900, 2950, 3000, 3050] {
        let name = format!("p{count}");
        node.create(with(&name, count));
        let over = |it: &Value| waiting(it) == "CreateContainerConfigError" || it["status"]["phase"] == "Succeeded";
        let pod = node.until(&name, |it| over(it) || it["status"]["phase"] == "Failed").await;
        assert!(over(&pod), "{count}: {pod}");
        let told = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].as_str();
        assert!(told.is_none_or(|it| it.contains("environment variables")), "{told:?}");
    }
    let pod = node.until("p3050", |_| true).await;
    assert_eq!(waiting(&pod), "CreateContainerConfigError");
}
