//! `k8smgr serve` in a process of its own, on folders, a database and a description of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::{Client, Target};
use crate::cluster::{Cluster, NAMESPACE};
use crate::constant::{listening, spawn};
use crate::load::{Until, closed};
use crate::operations;
use crate::process::{ProcessId, on_core};

/// How long next to nothing must have happened.
const REST: Duration = Duration::from_secs(1);

pub const SERVICE: &str = "Lab";
const SERVICE_YAML: &str = include_str!("../descriptions/bench/Lab/service.yaml");
const START_SCRIPT: &str = include_str!("../descriptions/bench/Lab/input/start.sh");

/// The folders and the database of one installation; they outlive its process.
pub struct Site {
    folder: TempDir,
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Site {
    pub fn new(program: &Path, cluster: &Cluster) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("descriptions/bench/Lab/input"))?;
        std::fs::write(path("descriptions/bench/Lab/service.yaml"), SERVICE_YAML)?;
        std::fs::write(path("descriptions/bench/Lab/input/start.sh"), START_SCRIPT)?;
        for name in ["services", "userhomes", "skel/bench"] {
            std::fs::create_dir_all(path(name))?;
        }
        let config = json!({
            "services": {"base": path("services"), "descriptions": path("descriptions")},
            "userhomes": {"base": path("userhomes"), "skel": path("skel"), "uid": own_uid(), "gid": own_gid()},
            "startup": {"create_user": {"bench": ["access_to_webservice", "access_to_logging"]}},
            "logs": {"targets": ["127.0.0.1"]},
        });
        std::fs::write(path("config.json"), config.to_string())?;
        let kubeconfig = path("kubeconfig");
        std::fs::write(&kubeconfig, cluster.embedded.kubeconfig())?;
        Ok(Self { folder, program: program.to_owned(), kubeconfig })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn serve(&self) -> anyhow::Result<Server> {
        self.server(spawn(self.command()?)?).await
    }

    /// On one core, as on a machine that has no more.
    pub async fn serve_on(&self, core: usize) -> anyhow::Result<Server> {
        let command = self.command()?;
        self.server(on_core(core, || spawn(command))??).await
    }

    fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(self.path("config.json"))
            .arg("--database-url")
            .arg(format!("sqlite://{}", self.path("k8smgr.sqlite3").display()))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("DEPLOYMENT_NAME", "k8smgr")
            .env("DEPLOYMENT_NAMESPACE", NAMESPACE)
            .env("BENCH_USER_PASS", "benchpw")
            .current_dir(self.folder.path())
            .stderr(std::fs::File::create(self.path("log"))?);
        Ok(command)
    }

    async fn server(&self, child: Child) -> anyhow::Result<Server> {
        let (child, address) = listening(child).await.with_context(|| self.last_words())?;
        let id = ProcessId(child.id().context("the server has no process id")?);
        Ok(Server { address, id, child })
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        format!("{} did not start: {log}", self.program.display())
    }

    /// Of SQLite's main file and its log, in MiB.
    pub fn database_mib(&self) -> f64 {
        let size = |name: &str| std::fs::metadata(self.path(name)).map_or(0, |it| it.len());
        (size("k8smgr.sqlite3") + size("k8smgr.sqlite3-wal")) as f64 / 1_048_576.0
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub id: ProcessId,
    child: Child,
}

impl Server {
    pub fn kept(&self) -> Target {
        Target { address: self.address, authorization: Some(basic("bench", "benchpw")), keep: true }
    }

    pub fn new_each(&self) -> Target {
        Target { keep: false, ..self.kept() }
    }

    pub fn client(&self) -> Client {
        Client::new(self.kept())
    }

    /// Starts `count` services and sees each of them run.
    pub async fn fill(&self, prefix: &str, count: usize) -> anyhow::Result<()> {
        let started = closed(&self.kept(), 16, Until::Count(count), operations::starts(prefix, SERVICE)).await;
        anyhow::ensure!(started.failures == 0, "{} of {count} starts failed", started.failures);
        Ok(())
    }

    /// Waits until it has nothing left to do: what was answered may go on in the background.
    pub async fn rests(&self) -> anyhow::Result<()> {
        loop {
            let before = self.id.cpu_time()?;
            tokio::time::sleep(REST).await;
            if self.id.cpu_time()? - before < REST / 20 {
                return Ok(());
            }
        }
    }

    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

fn own_gid() -> u32 {
    rustix::process::getgid().as_raw()
}
