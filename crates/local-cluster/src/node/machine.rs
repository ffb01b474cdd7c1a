//! What this machine offers: the programs a sandbox needs (checked by making one), its size, its Node object.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::NodeError;
use super::fields::Capacity;
use super::sandbox::Programs;
use crate::events::set_condition;
use crate::storage::{Key, Resource, Storage, now};

/// Finds the programs in a search path and proves that a sandbox can be made here.
pub async fn programs(search_path: &OsStr, privileged: bool) -> Result<Programs, NodeError> {
    if !cfg!(target_os = "linux") {
        return Err(NodeError::NotLinux);
    }
    let find = |program: &'static str, package: &'static str| {
        let found = std::env::split_paths(search_path).map(|it| it.join(program)).find(executable);
        found.ok_or(NodeError::Missing { program, package })
    };
    let programs = Programs {
        bwrap: find("bwrap", "bubblewrap")?,
        setpriv: find("setpriv", "util-linux")?,
        nsenter: find("nsenter", "util-linux")?,
        env: find("env", "coreutils")?,
        timeout: find("timeout", "coreutils")?,
    };
    let (_, help) = output(&programs.bwrap, &["--help".into()]).await?;
    if !help.contains("--bind-fd") {
        return Err(NodeError::Outdated);
    }
    let mut try_out = vec!["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"];
    if !privileged {
        try_out.push("--unshare-user");
    }
    try_out.extend(["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--"]);
    let mut arguments: Vec<OsString> = try_out.into_iter().map(OsString::from).collect();
    arguments.extend([programs.env.clone().into(), "true".into()]);
    match output(&programs.bwrap, &arguments).await? {
        (true, _) => Ok(programs),
        (false, said) => Err(NodeError::Unusable { said: said.trim().trim_start_matches("bwrap: ").to_owned() }),
    }
}

async fn output(program: &Path, arguments: &[OsString]) -> Result<(bool, String), NodeError> {
    let run = tokio::process::Command::new(program).args(arguments).stdin(std::process::Stdio::null()).output().await;
    let output = run.map_err(|source| NodeError::Run { program: program.display().to_string(), source })?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn executable(path: &PathBuf) -> bool {
    std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// CPUs and memory of this machine.
pub fn capacity() -> Capacity {
    let cpus = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    Capacity { cpus, memory_bytes: kibibytes * 1024 }
}

/// Writes the Node object, ready.
pub fn register(storage: &Storage, name: &str, capacity: Capacity) {
    let key = Key::new(Resource::core("nodes"), "", name);
    let labels = json!({
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture(),
    });
    let new = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {},
    });
    // It is there already after a restart.
    let _ = storage.create(key.clone(), new);
    let fill = |node: &mut Value| -> Result<(), std::convert::Infallible> {
        let size = json!({
            "cpu": capacity.cpus.to_string(), "memory": format!("{}Ki", capacity.memory_bytes / 1024), "pods": "110",
        });
        let status = &mut node["status"];
        status["capacity"] = size.clone();
        status["allocatable"] = size;
        status["addresses"] =
            json!([{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}]);
        status["nodeInfo"] = json!({
            "architecture": architecture(), "operatingSystem": "linux", "containerRuntimeVersion": "bwrap://1",
            "kubeletVersion": "v1.36.0", "kubeProxyVersion": "", "machineID": "", "systemUUID": "", "bootID": "",
            "kernelVersion": first_line("/proc/sys/kernel/osrelease"), "osImage": "Linux",
        });
        for kind in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
            set_condition(status, kind, false, Some("KubeletHasSufficientResources"), None);
        }
        set_condition(status, "Ready", true, Some("KubeletReady"), Some("kubelet is posting ready status"));
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastHeartbeatTime"] = json!(now());
        }
        Ok(())
    };
    let _ = storage.update(&key, fill);
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn program(folder: &Path, name: &str, script: &str) {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn refused(folder: &Path) -> String {
        programs(folder.as_os_str(), false).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_machine_without_a_usable_bubblewrap_is_told_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let said = refused(folder.path()).await;
        assert!(said.contains("\"bwrap\"") && said.contains("apt install bubblewrap"), "{said}");
        assert!(said.contains("real Kubernetes cluster"), "{said}");
        program(folder.path(), "bwrap", "echo --bind");
        let said = refused(folder.path()).await;
        assert!(said.contains("apt install util-linux"), "{said}");
        for name in ["setpriv", "nsenter", "env", "timeout"] {
            program(folder.path(), name, "true");
        }
        let said = refused(folder.path()).await;
        assert!(said.contains("too old"), "{said}");
        program(
            folder.path(),
            "bwrap",
            r#"[ "$1" = --help ] && echo --bind-fd && exit; echo "bwrap: No permissions to create new namespace"; exit 1"#,
        );
        let said = refused(folder.path()).await;
        assert!(said.contains("No permissions to create new namespace") && said.contains("user namespaces"), "{said}");
        program(folder.path(), "bwrap", "echo --bind-fd");
        assert!(programs(folder.path().as_os_str(), false).await.is_ok());
    }

    #[test]
    fn the_node_is_registered_ready_and_again_after_a_restart() {
        let storage = Storage::new();
        for _ in 0..2 {
            register(&storage, "here", Capacity { cpus: 2, memory_bytes: 1 << 20 });
        }
        let node = storage.get(&Key::new(Resource::core("nodes"), "", "here")).unwrap();
        let ready = node["status"]["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Ready").unwrap();
        assert_eq!(ready["status"], "True");
        assert_eq!(node["status"]["capacity"]["memory"], "1024Ki");
    }
}
