use serde_json::json;

use crate::support::{TestNode, processes_with, running, script, unique};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_its_own_environment_and_nothing_of_ours() {
    let node = TestNode::start().await;
    node.create_object("configmaps", "c", json!({"data": {"dash-key": "1", "dotted.key": "2"}}));
    let mut pod = script("p", "unset PWD OLDPWD SHLVL _; exec env");
    let container = &mut pod["spec"]["containers"][0];
    container["command"] = json!(["env"]);
    container["envFrom"] = json!([{"configMapRef": {"name": "c"}}]);
    container["workingDir"] = json!("/work");
    container["env"] = json!([
        {"name": "A", "value": "with space"}, {"name": "B", "value": "$(A)!"}, {"name": "LD_LIBRARY_PATH", "value": "/x"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    let (phase, _, log) = node.run(pod).await;
    assert_eq!(phase, "Succeeded", "{log}");
    let mut lines: Vec<&str> = log.lines().filter(|it| !it.starts_with("PWD=")).collect();
    lines.sort_unstable();
    let expected = [
        "A=with space",
        "B=with space!",
        "HOME=/work",
        "HOSTNAME=p",
        "LD_LIBRARY_PATH=/x",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "POD=p",
        "dash-key=1",
        "dotted.key=2",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_of_the_machine_is_seen() {
    let node = TestNode::start().await;
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(secret.path().join("key"), "secret").unwrap();
    let text = format!(
        "ls /; ls -A /home /tmp /root 2>/dev/null; cat {0}/key; ls {1}; cat /etc/shadow; echo pids $(ls /proc | grep -c '^[0-9]'); \
         hostname; touch /usr/x; touch /etc/x; head -1 /etc/passwd",
        secret.path().display(),
        node.data_dir.path().display()
    );
    let (_, _, log) = node.run(script("p", &text)).await;
    for absent in ["secret", "claims", "root:$", "root:*", "root:!"] {
        assert!(!log.contains(absent), "{absent} in {log}");
    }
    assert!(log.contains("pids "), "{log}");
    let pids: u32 = log.lines().find_map(|it| it.strip_prefix("pids ")).unwrap().parse().unwrap();
    assert!(pids < 10, "{log}");
    assert!(log.lines().any(|it| it == "p"), "the hostname: {log}");
    assert!(log.contains("'/usr/x': Read-only") && log.contains("'/etc/x': Read-only"), "{log}");
    assert!(log.contains("root:x:0:0"), "{log}");
    assert!(!std::path::Path::new("/usr/x").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_no_privileges_and_cannot_get_any() {
    let node = TestNode::start().await;
    let text =
        "grep -E '^(Cap|NoNewPrivs)' /proc/self/status; id -u; id -g; mount -t tmpfs x /tmp; chown 0:0 /tmp; echo end";
    let mut pod = script("p", text);
    pod["spec"]["securityContext"] = json!({"runAsUser": 1234, "runAsGroup": 2345});
    let (_, _, log) = node.run(pod).await;
    for kind in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(log.contains(&format!("{kind}:\t0000000000000000")), "{log}");
    }
    assert!(log.contains("NoNewPrivs:\t1"), "{log}");
    assert!(log.contains("\n1234\n2345\n"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_a_root_node_is_another_user_of_the_machine() {
    if !is_root() {
        // Every container is this user then, inside a user namespace.
        return;
    }
    let node = TestNode::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots");
    std::fs::write(&file, "of root").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut pod = script("p", "id -u; cat /h/roots; echo end");
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "h", "mountPath": "/h"}]);
    pod["spec"]["volumes"] = json!([{"name": "h", "hostPath": {"path": folder.path()}}]);
    let (_, _, log) = node.run(pod).await;
    assert!(log.starts_with("65534\n") && !log.contains("of root") && log.ends_with("end\n"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_on_no_command_line() {
    let node = TestNode::start().await;
    let (word, secret) = (unique("word"), unique("secret"));
    let mut pod = script("p", &format!(": {word}; echo begun; sleep 1000; :"));
    pod["spec"]["containers"][0]["env"] = json!([{"name": "TOKEN", "value": secret}]);
    node.create(pod);
    node.until("p", running).await;
    node.until_logged("p", "begun").await;
    assert!(!processes_with(&word).is_empty());
    assert_eq!(processes_with(&secret), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn extra_host_paths_are_seen_and_read_only() {
    let extra = tempfile::tempdir().unwrap();
    std::fs::set_permissions(extra.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let tool = extra.path().join("tool");
    std::fs::write(&tool, "#!/bin/sh\necho from the tool; touch $0.new").unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let data_dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let node = TestNode::with(local_cluster::Storage::new(), data_dir, vec![extra.path().to_owned()]).await;
    let (_, _, log) = node.run(script("p", &format!("exec {}", tool.display()))).await;
    assert!(log.starts_with("from the tool\n") && log.contains("Read-only"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_in_a_container_changes_no_setting_of_the_kernel() {
    let node = TestNode::start().await;
    // Opening is enough to know: nothing is written.
    let open = "for file in /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness /proc/sys/fs/file-max \
                $(find /proc/irq -name smp_affinity | head -3) /proc/sysrq-trigger; do \
                test -e $file && (: >> $file) 2>/dev/null && echo opened $file; done; \
                cat /proc/sys/kernel/ostype; : > /proc/self/comm && echo own";
    // In a user namespace of its own, root may set what belongs to that sandbox alone.
    let find = "; find /proc/sys /proc/irq /proc/bus /proc/fs /proc/acpi -type f -writable 2>/dev/null | head";
    let text = &[open, if is_root() { find } else { "" }].concat();
    let mut pod = script("p", text);
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    let (_, state, log) = node.run(pod).await;
    assert_eq!(log, "Linux\nown\n", "{state}");
}
