use local_cluster::kubelet::{Kubelet, LogError, LogQuery};
use serde_json::{Value, json};

use crate::support::{TestNode, condition, end_of, pids_with, pod, processes_with, running, script, unique, waiting};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_well_makes_a_succeeded_pod_with_logs_and_events() {
    let node = TestNode::start().await;
    let (phase, state, log) = node.run(script("p", "echo out; echo err >&2; echo last")).await;
    assert_eq!((phase.as_str(), log.as_str()), ("Succeeded", "out\nerr\nlast\n"));
    assert_eq!(state["terminated"]["exitCode"], 0);
    assert_eq!(state["terminated"]["reason"], "Completed");
    let expected = [
        "Normal Pulled Container image \"x:1\" already present on machine",
        "Normal Created Container created",
        "Normal Started Container started",
    ];
    assert_eq!(node.events("p"), expected);
    let pod = node.until("p", |_| true).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert!(pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap().starts_with("bwrap://"));
    assert_eq!((condition(&pod, "Ready"), condition(&pod, "Initialized")), ("False", "True"));
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_signals_are_those_of_the_command() {
    let node = TestNode::start().await;
    for (name, text, code) in [("three", "exit 3", 3), ("killed", "kill -9 $$$$", 137), ("term", "kill -15 $$$$", 143)]
    {
        let (phase, state, _) = node.run(script(name, text)).await;
        assert_eq!((phase.as_str(), &state["terminated"]["exitCode"]), ("Failed", &json!(code)), "{name}");
        assert_eq!(state["terminated"]["reason"], "Error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_pod_is_ready_and_its_log_can_be_followed() {
    let node = TestNode::start().await;
    node.create(script("p", "echo begun; exec sleep 1000"));
    let pod = node.until("p", running).await;
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!((condition(&pod, "Ready"), condition(&pod, "ContainersReady")), ("True", "True"));
    assert_eq!(pod["status"]["podIP"], "127.0.0.1");
    assert_eq!(pod["status"]["containerStatuses"][0]["ready"], true);
    assert_eq!(pod["status"]["containerStatuses"][0]["started"], true);
    node.until_logged("p", "begun").await;
    assert!(matches!(
        node.log("p", LogQuery { previous: true, ..LogQuery::default() }).await,
        Err(LogError::NoPrevious { .. })
    ));
    let other = LogQuery { container: Some("other".into()), ..LogQuery::default() };
    assert!(matches!(node.log("p", other).await, Err(LogError::NoSuchContainer { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_gets_sigterm_and_is_gone_when_nothing_runs() {
    let node = TestNode::start().await;
    let word = unique("term");
    node.create(script("p", &format!("trap 'exit 0' TERM; echo ready; : {word}; while :; do sleep 0.1; done")));
    node.until("p", running).await;
    node.until_logged("p", "ready").await;
    assert!(!processes_with(&word).is_empty());
    node.delete("p", 600);
    node.until("p", Value::is_null).await;
    assert_eq!(processes_with(&word), Vec::<String>::new());
    assert!(node.events("p").contains(&"Normal Killing Stopping container main".to_owned()));
    let left = |folder: &str| std::fs::read_dir(node.data_dir.path().join(folder)).unwrap().count();
    assert_eq!((left("pods"), left("logs")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_answer_sigterm_is_killed_with_all_its_children() {
    let node = TestNode::start().await;
    let word = unique("kill");
    let text = format!(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; : {word}; while :; do sleep 1; done' & echo ready; : {word}; \
         while :; do sleep 1; done"
    );
    node.create(script("p", &text));
    node.until("p", running).await;
    node.until_logged("p", "ready").await;
    node.delete("p", 1);
    node.until("p", Value::is_null).await;
    assert_eq!(processes_with(&word), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn children_left_behind_end_with_the_main_process() {
    let node = TestNode::start().await;
    let word = unique("left");
    let (phase, ..) = node.run(script("p", &format!("(sh -c ': {word}; sleep 1000' &) ; exit 0"))).await;
    assert_eq!(phase, "Succeeded");
    assert_eq!(processes_with(&word), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_every_process_and_leaves_the_pods() {
    let node = TestNode::start().await;
    let word = unique("shut");
    for name in ["a", "b"] {
        node.create(script(name, &format!(": {word}; sleep 1000; :")));
        node.until(name, running).await;
    }
    node.node.shutdown().await;
    assert_eq!(processes_with(&word), Vec::<String>::new());
    assert!(!node.until("a", |_| true).await.is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_before_a_restart_is_dead_and_started_again_by_its_policy() {
    let first = TestNode::start().await;
    let always = |name: &str| {
        let mut pod = script(name, "echo run; exec sleep 1000");
        pod["spec"]["restartPolicy"] = json!("Always");
        pod
    };
    first.create(always("again"));
    first.create(script("never", "exec sleep 1000"));
    for name in ["again", "never"] {
        first.until(name, running).await;
    }
    // As after the end of the whole process: the status still says that both run.
    let storage = local_cluster::Storage::new();
    for name in ["again", "never"] {
        let pod = first.until(name, |_| true).await;
        storage.create(crate::support::pod_key(name), pod).unwrap();
    }
    first.node.shutdown().await;
    let second = TestNode::with(storage, first.data_dir.clone(), vec![]).await;
    let never = second.until("never", |it| it["status"]["phase"] == "Failed").await;
    let state = &never["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&state["exitCode"], &state["reason"]), (&json!(137), &json!("ContainerStatusUnknown")));
    let again =
        second.until("again", |it| it["status"]["containerStatuses"][0]["restartCount"] == 1 && running(it)).await;
    let last = &again["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["reason"], "ContainerStatusUnknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_crashes_backs_off_and_keeps_its_previous_log() {
    let node = TestNode::start().await;
    let mut pod = script("p", "echo attempt; exit 1");
    pod["spec"]["restartPolicy"] = json!("Always");
    node.create(pod);
    let pod = node.until("p", |it| waiting(it) == "CrashLoopBackOff").await;
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!((&status["restartCount"], &status["ready"]), (&json!(1), &json!(false)));
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let expected = format!("back-off 10s restarting failed container=main pod=p_default({uid})");
    assert_eq!(status["state"]["waiting"]["message"], expected);
    let told = format!("Warning BackOff Back-off restarting failed container main in pod p_default({uid})");
    node.until("p", |_| node.events("p").contains(&told)).await;
    for previous in [false, true] {
        assert_eq!(node.log("p", LogQuery { previous, ..LogQuery::default() }).await.unwrap(), "attempt\n");
    }
    node.delete("p", 30);
    node.until("p", Value::is_null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_run_in_order_before_the_others() {
    let node = TestNode::start().await;
    let step = |name: &str, text: &str| json!({"name": name, "image": "x", "command": ["sh", "-c", text], "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let mut pod = pod("p", json!([step("main", "cat /v/f")]));
    pod["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    pod["spec"]["initContainers"] = json!([step("one", "echo one >> /v/f"), step("two", "echo two >> /v/f")]);
    let (phase, _, log) = node.run(pod).await;
    assert_eq!((phase.as_str(), log.as_str()), ("Succeeded", "one\ntwo\n"));
    let pod = node.until("p", |_| true).await;
    assert_eq!(pod["status"]["initContainerStatuses"][1]["state"]["terminated"]["exitCode"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_init_container_fails_the_pod_and_the_others_never_run() {
    let node = TestNode::start().await;
    let mut pod = script("p", "echo never");
    pod["spec"]["initContainers"] = json!([{"name": "init", "image": "x", "command": ["false"]}]);
    let (phase, state, _) = node.run(pod).await;
    assert_eq!(phase, "Failed");
    assert_eq!(state["waiting"]["reason"], "PodInitializing");
    let pod = node.until("p", |_| true).await;
    assert_eq!(condition(&pod, "Initialized"), "False");
    assert!(matches!(node.log("p", LogQuery::default()).await, Err(LogError::WaitingToStart { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_runs_beside_the_others_and_ends_after_them() {
    let node = TestNode::start().await;
    let word = unique("side");
    let mut pod = script("p", "exit 0");
    let command = ["sh", "-c", &format!(": {word}; exec sleep 1000")].map(str::to_owned);
    pod["spec"]["initContainers"] =
        json!([{"name": "side", "image": "x", "restartPolicy": "Always", "command": command}]);
    let (phase, ..) = node.run(pod).await;
    assert_eq!(phase, "Succeeded");
    let ended = |it: &Value| it["status"]["initContainerStatuses"][0]["state"]["terminated"].is_object();
    node.until("p", ended).await;
    assert_eq!(processes_with(&word), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_over_its_deadline_fails() {
    let node = TestNode::start().await;
    let mut pod = script("p", "exec sleep 1000");
    // Long enough for its container to begin.
    pod["spec"]["activeDeadlineSeconds"] = json!(3);
    let (phase, state, _) = node.run(pod).await;
    assert_eq!((phase.as_str(), &state["terminated"]["exitCode"]), ("Failed", &json!(143)));
    let pod = node.until("p", |_| true).await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
}

/// As when the whole program is killed: the kernel ends a sandbox with the thread that started it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_dropped_takes_all_its_processes_along() {
    let test = TestNode::start().await;
    let word = unique("drop");
    test.create(script("p", &format!("trap '' TERM; sh -c ': {word}; sleep 1000; :' & echo begun; : {word}; wait")));
    test.until("p", running).await;
    test.until_logged("p", "begun").await;
    let pids = pids_with(&word);
    assert!(pids.len() > 1);
    drop(test);
    end_of(pids).await;
    assert_eq!(processes_with(&word), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bubblewrap_ends_everything_in_its_sandbox() {
    let node = TestNode::start().await;
    let word = unique("bwrap");
    node.create(script("p", &format!("setsid sh -c ': {word}; sleep 1000; :' & echo begun; : {word}; wait")));
    node.until("p", running).await;
    node.until_logged("p", "begun").await;
    // The oldest of them is the one outside of the sandbox.
    let pids = pids_with(&word);
    let outer = rustix::process::Pid::from_raw(*pids.iter().min().unwrap()).unwrap();
    rustix::process::kill_process(outer, rustix::process::Signal::KILL).unwrap();
    let pod = node.until("p", |it| it["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
    end_of(pids).await;
    assert_eq!(processes_with(&word), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_an_earlier_run_left_behind_ends_when_the_node_starts() {
    let data_dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let (uid, word) = (unique("uid"), unique("orphan"));
    let folder = data_dir.path().join("pods").join(&uid).join("tmp-0-0");
    std::fs::create_dir_all(&folder).unwrap();
    let mut orphan = std::process::Command::new("bwrap")
        .args(["--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--bind"])
        .args([folder.to_str().unwrap(), "/tmp", "--", "sh", "-c", &format!(": {word}; echo up; sleep 1000; :")])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(orphan.stdout.as_mut().unwrap(), &mut [0; 2]).unwrap();
    TestNode::with(local_cluster::Storage::new(), data_dir, vec![]).await;
    orphan.wait().unwrap();
    assert_eq!(processes_with(&word), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_removes_the_files_of_the_run_before() {
    let node = TestNode::start().await;
    let mut pod = script("p", "test -e /tmp/left && exit 9; mkdir -p /tmp/left/over; exit 1");
    pod["spec"]["restartPolicy"] = json!("OnFailure");
    node.create(pod);
    let again = |it: &Value| {
        let status = &it["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && waiting(it) == "CrashLoopBackOff"
    };
    let pod = node.until("p", again).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1);
    let folder = node.data_dir.path().join("pods").join(pod["metadata"]["uid"].as_str().unwrap());
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["termination-0-1", "tmp-0-1", "volumes"]);
}
