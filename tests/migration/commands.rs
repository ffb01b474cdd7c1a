//! The program itself, beside the service of a test: on the same database, folders and cluster.

use std::path::Path;

use tokio::process::Command;

use crate::support::app::TestApp;
use crate::support::wait::eventually;

pub struct Ended {
    pub is_success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn succeeded(self) -> String {
        assert!(self.is_success, "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What was printed, and why it failed.
    pub fn failed(self) -> (String, String) {
        assert!(!self.is_success, "{}", self.stdout);
        (self.stdout, self.stderr)
    }
}

pub fn database(app: &TestApp) -> String {
    app.path("k8smgr.sqlite3").display().to_string()
}

/// Runs `k8smgr` with these arguments and nothing of our own environment.
pub async fn k8smgr(app: &TestApp, arguments: &[&str]) -> Ended {
    k8smgr_with(app, arguments, &[]).await
}

/// The same with more variables.
pub async fn k8smgr_with(app: &TestApp, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let output = command(app, arguments, variables).output().await.unwrap();
    Ended {
        is_success: output.status.success(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The program, to be started.
pub fn command(app: &TestApp, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let kubeconfig = app.path("kubeconfig");
    std::fs::write(&kubeconfig, &app.cluster.kubeconfig).unwrap();
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_k8smgr")));
    command
        .args(arguments)
        .env_clear()
        .env("KUBECONFIG", &kubeconfig)
        .env("CONFIG_PATH", app.path("config.json"))
        .env("DATABASE_URL", database(app))
        .env("DEPLOYMENT_NAME", "k8smgr")
        .env("DEPLOYMENT_NAMESPACE", &app.cluster.namespace)
        .env("STAGE", "production")
        .envs(variables.iter().copied());
    command
}

/// Ends the service, and waits until it has closed its database. Its log says nothing: of two connections that close at
/// the same moment neither is the last, and SQLite leaves it.
pub async fn stop(app: &mut TestApp) {
    app.stop_process().await;
    let file = app.path("k8smgr.sqlite3").canonicalize().unwrap();
    let is_open = || {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        descriptors.flatten().any(|it| std::fs::read_link(it.path()).is_ok_and(|opened| opened == file))
    };
    eventually("the database is closed", async || (!is_open()).then_some(())).await;
}

/// Takes the database of a stopped service away.
pub fn lose_database(app: &TestApp) {
    for part in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(app.path(format!("k8smgr.sqlite3{part}")));
    }
    assert!(!app.path("k8smgr.sqlite3").exists());
}
