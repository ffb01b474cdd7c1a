use serde_json::{Value, json};

use crate::support::{TestNode, pod, running, script, waiting};

fn mounted(name: &str, text: &str, volumes: Value, mounts: Value) -> Value {
    let mut pod = script(name, text);
    pod["spec"]["volumes"] = volumes;
    pod["spec"]["containers"][0]["volumeMounts"] = mounts;
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn files_appear_where_they_are_mounted_also_where_the_machine_has_no_such_folder() {
    let node = TestNode::start().await;
    node.create_object("configmaps", "c", json!({"data": {"start.sh": "echo started with $1"}}));
    node.create_object("secrets", "s", json!({"data": {"token": "dG9rZW4="}}));
    let pod = mounted(
        "p",
        "stat -c '%a %n' /mnt/data/start.sh; sh /mnt/data/start.sh x; cat /etc/no-such/app/token; cat /usr/share/no-such.d/t; \
         ls /usr/share | wc -l; cat /home/u/.config/app; echo; touch /mnt/data/x; cat /run/secrets/x/token; ls -d /etc/ssl",
        json!([
            {"name": "c", "configMap": {"name": "c", "defaultMode": 400}},
            {"name": "s", "secret": {"secretName": "s"}},
            {"name": "home", "emptyDir": {}},
        ]),
        json!([
            {"name": "c", "mountPath": "/mnt/data"},
            {"name": "s", "mountPath": "/etc/no-such/app"},
            {"name": "s", "mountPath": "/usr/share/no-such.d/t", "subPath": "token"},
            {"name": "home", "mountPath": "/home/u"},
            {"name": "s", "mountPath": "/home/u/.config/app", "subPath": "token"},
            {"name": "s", "mountPath": "/var/run/secrets/x"},
        ]),
    );
    let (phase, state, log) = node.run(pod).await;
    assert_eq!(phase, "Succeeded", "{state} {log}");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..2], ["620 /mnt/data/start.sh", "started with x"], "{log}");
    assert!(lines[2].starts_with("tokentoken"), "{log}");
    assert!(lines.iter().any(|it| it.contains("'/mnt/data/x': Read-only")), "{log}");
    assert!(lines.contains(&"token/etc/ssl"), "{log}");
    assert!(!std::path::Path::new("/usr/share/no-such.d").exists());
    assert!(!std::path::Path::new("/etc/no-such").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_on_the_host_is_written_to_as_the_user_asked_for() {
    let node = TestNode::start().await;
    let homes = tempfile::tempdir().unwrap();
    let home = homes.path().join("ann");
    let volume = json!([{"name": "h", "hostPath": {"path": home, "type": "DirectoryOrCreate"}}]);
    let mounts = json!([{"name": "h", "mountPath": "/home/jovyan"}]);
    let mut pod = mounted("p", "pwd; echo hello > file; cat $HOME/file; id -u", volume, mounts);
    pod["spec"]["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 100});
    pod["spec"]["containers"][0]["workingDir"] = json!("/home/jovyan");
    let (phase, _, log) = node.run(pod).await;
    assert_eq!((phase.as_str(), log.as_str()), ("Succeeded", "/home/jovyan\nhello\n1000\n"));
    assert_eq!(std::fs::read_to_string(home.join("file")).unwrap(), "hello\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_keeps_its_data_from_pod_to_pod_until_it_is_deleted() {
    let node = TestNode::start().await;
    node.create_object("persistentvolumeclaims", "c", json!({"spec": {"accessModes": ["ReadWriteOnce"]}}));
    let with = |name: &str, text: &str| {
        mounted(
            name,
            text,
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
            json!([{"name": "v", "mountPath": "/data", "subPath": "users/ann"}]),
        )
    };
    let (phase, ..) = node.run(with("one", "echo kept > /data/f")).await;
    assert_eq!(phase, "Succeeded");
    let (_, _, log) = node.run(with("two", "cat /data/f")).await;
    assert_eq!(log, "kept\n");
    let key = local_cluster::storage::Key::new(
        local_cluster::storage::Resource::core("persistentvolumeclaims"),
        "default",
        "c",
    );
    assert_eq!(node.storage.get(&key).unwrap()["status"]["phase"], "Bound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_path_that_leads_out_of_its_volume_is_refused() {
    let node = TestNode::start().await;
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir(host.path().join("volume")).unwrap();
    std::fs::write(host.path().join("outside"), "outside").unwrap();
    std::os::unix::fs::symlink("/etc", host.path().join("volume/absolute")).unwrap();
    std::os::unix::fs::symlink("../outside", host.path().join("volume/up")).unwrap();
    let volume = json!([{"name": "h", "hostPath": {"path": host.path().join("volume")}}]);
    for (index, sub_path) in ["../outside", "absolute", "up", "absolute/passwd", "x/../../outside"].iter().enumerate() {
        let name = format!("p{index}");
        let mounts = json!([{"name": "h", "mountPath": "/m", "subPath": sub_path}]);
        node.create(mounted(&name, "cat /m /m/passwd", volume.clone(), mounts));
        let pod = node.until(&name, |it| waiting(it) == "CreateContainerError").await;
        let message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("subPath"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_pod_share_an_empty_dir_that_goes_with_it() {
    let node = TestNode::start().await;
    let container = |name: &str, text: &str| json!({"name": name, "image": "x", "command": ["sh", "-c", text], "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let mut pod = pod(
        "p",
        json!([
            container("main", "until test -s /v/f; do sleep 0.05; done; cat /v/f; exec sleep 1000"),
            container("other", "echo shared > /v/f"),
        ]),
    );
    pod["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {"medium": "Memory"}}]);
    node.create(pod);
    node.until("p", running).await;
    node.until_logged("p", "shared").await;
    node.delete("p", 30);
    node.until("p", Value::is_null).await;
    assert_eq!(std::fs::read_dir(node.data_dir.path().join("pods")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_a_user_left_makes_no_file_on_the_machine() {
    let node = TestNode::start().await;
    let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let planted = outside.path().join("planted");
    let from_bubblewrap = std::path::Path::new("/oldroot").join(planted.strip_prefix("/").unwrap());
    std::os::unix::fs::symlink(&from_bubblewrap, home.path().join("msg")).unwrap();
    let volumes = json!([
        {"name": "h", "hostPath": {"path": home.path()}}, {"name": "inner", "emptyDir": {}},
    ]);
    for (index, (read_only, message, inner)) in
        [(false, "/h/msg", None), (true, "/h/msg", None), (false, "", Some("/h/msg/x")), (true, "", Some("/h/msg"))]
            .into_iter()
            .enumerate()
    {
        let name = format!("p{index}");
        let mut mounts = vec![json!({"name": "h", "mountPath": "/h", "readOnly": read_only})];
        mounts.extend(inner.map(|it| json!({"name": "inner", "mountPath": it})));
        let mut pod = mounted(&name, "echo started", volumes.clone(), json!(mounts));
        pod["spec"]["containers"][0]["terminationMessagePath"] = json!(message);
        node.create(pod);
        let pod = node.until(&name, |it| waiting(it) == "CreateContainerError").await;
        let message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("a symlink is in the way"), "{message}");
        assert!(!planted.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_message_may_be_written_inside_a_volume() {
    let node = TestNode::start().await;
    let volumes = json!([{"name": "v", "emptyDir": {}}]);
    let mut pod = mounted("p", "printf told > /v/below/msg", volumes, json!([{"name": "v", "mountPath": "/v"}]));
    pod["spec"]["containers"][0]["terminationMessagePath"] = json!("/v/below/msg");
    let (phase, state, log) = node.run(pod).await;
    assert_eq!((phase.as_str(), &state["terminated"]["message"]), ("Succeeded", &json!("told")), "{log}");
}
