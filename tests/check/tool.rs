//! Calling the binary, in a folder of its own.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// What a run of `k8smgr` gave.
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    /// `file:line severity code` of each finding, sorted.
    pub fn findings(&self) -> Vec<String> {
        let report: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr));
        let mut findings: Vec<String> = report["findings"].as_array().unwrap().iter().map(brief).collect();
        findings.sort();
        findings
    }
}

fn brief(finding: &Value) -> String {
    let text = |key: &str| finding[key].as_str().unwrap_or("-");
    let line = finding["line"].as_u64().map(|it| format!(":{it}")).unwrap_or_default();
    format!("{}{line} {} {}", text("file"), text("severity"), text("code"))
}

pub fn k8smgr(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_k8smgr"));
    command.current_dir(folder).env_clear().env("DEPLOYMENT_NAMESPACE", "labs");
    command.env("TUNNELSVC_K8SMGR_USER_TOKEN", "any");
    command
}

pub fn run(folder: &Path, arguments: &[&str]) -> Run {
    k8smgr(folder).args(arguments).output().unwrap().into()
}

/// A copy of the sound installation, with what `over` changes.
pub fn installation(over: Option<&Path>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/sound"), folder.path());
    if let Some(over) = over {
        copy(over, folder.path());
    }
    folder
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else if kind.is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
