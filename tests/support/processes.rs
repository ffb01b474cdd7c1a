//! Real processes of `k8smgr serve`, for what only they can show: signals, kills, locks.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::app::TestApp;
use super::wait::eventually_within;

const PATIENCE: Duration = Duration::from_secs(60);

/// One process. It ends with the test.
pub struct Process {
    child: Child,
    /// What it has written so far, on both outputs.
    output: Arc<Mutex<String>>,
    /// Who reads the two outputs, each to its end.
    readers: [JoinHandle<()>; 2],
}

impl Process {
    /// `k8smgr serve` with the configuration, the cluster and the folders of a test.
    pub fn serve(app: &TestApp, database_url: &str, listen: &str) -> Self {
        Self::serve_by(Path::new(env!("CARGO_BIN_EXE_k8smgr")), app, database_url, listen)
    }

    /// The same by another version of the program.
    pub fn serve_by(program: &Path, app: &TestApp, database_url: &str, listen: &str) -> Self {
        let kubeconfig = app.path("kubeconfig");
        std::fs::write(&kubeconfig, &app.cluster.kubeconfig).unwrap();
        let mut command = Command::new(program);
        command.args(["serve", "--listen", listen, "--database-url", database_url]);
        command.arg("--config").arg(app.path("config.json")).current_dir(app.path(""));
        command.env_clear().envs(&app.environment).env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info");
        Self::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let readers = [
            read_into(child.stdout.take().unwrap(), output.clone()),
            read_into(child.stderr.take().unwrap(), output.clone()),
        ];
        Self { child, output, readers }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    pub async fn writes(&self, what: &str) {
        eventually_within(PATIENCE, what, async || self.output().contains(what).then_some(())).await;
    }

    /// Where it listens, as soon as it does.
    pub async fn address(&self) -> SocketAddr {
        let line = "listening on http";
        self.writes(line).await;
        let output = self.output();
        let (_, rest) = output[output.find(line).unwrap()..].split_once("://").unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and for its last words.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.child);
        let status =
            eventually_within(PATIENCE, "the process ends", async || child.lock().unwrap().try_wait().unwrap()).await;
        let readers = &self.readers;
        let are_read = async || readers.iter().all(JoinHandle::is_finished).then_some(());
        eventually_within(PATIENCE, "its outputs are read to their end", are_read).await;
        status
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_into(stream: impl Read + Send + 'static, output: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    })
}
