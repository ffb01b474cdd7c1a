//! The real `k8smgr serve`, started, killed and started again.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use k8smgr::fail_points::{KILL_AT, Point};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::client::{Client, TUNNEL_TOKEN};
use super::site::Site;

const LISTENING: &str = "listening on http://";
/// Slow machines take their time; no test waits for this long on purpose.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a process is to die by itself, and at which time that it comes there.
pub type Death = (Point, u32);

pub struct Process {
    child: Child,
    pub client: Client,
}

/// It came as far as `Ok`, or died before it listened.
pub async fn spawn(site: &Site, death: Option<Death>) -> Option<Process> {
    let open = |name: &str| std::fs::OpenOptions::new().append(true).create(true).open(site.path(name)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_k8smgr"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).arg("--config").arg(site.path("config.json"));
    command.arg("--database-url").arg(format!("sqlite://{}", site.database().display()));
    command.env_clear().env("KUBECONFIG", site.path("kubeconfig")).env("DEPLOYMENT_NAMESPACE", "default");
    command.env("TUNNELSVC_K8SMGR_USER_TOKEN", TUNNEL_TOKEN);
    if let Some((point, hit)) = death {
        command.env(KILL_AT, format!("{point:?}:{hit}"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(open("stderr.log")).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut log = tokio::fs::File::from_std(open("stdout.log"));
    let (told, address) = oneshot::channel();
    tokio::spawn(async move {
        let mut told = Some(told);
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(address) = line.strip_prefix(LISTENING) {
                let address: SocketAddr = address.parse().unwrap();
                told.take().map(|it| it.send(address));
            }
            log.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        }
    });
    match tokio::time::timeout(PATIENCE, address).await.expect("k8smgr listens or ends") {
        Ok(address) => Some(Process { child, client: Client::new(address) }),
        Err(_) => {
            let status = child.wait().await.unwrap();
            assert_killed(site, status);
            None
        }
    }
}

impl Process {
    /// Whether it has died by itself: as it was ordered, or not at all.
    pub fn is_dead(&mut self, site: &Site) -> bool {
        let status = self.child.try_wait().unwrap();
        status.inspect(|it| assert_killed(site, *it)).is_some()
    }

    /// The same, within some time.
    pub async fn dies_within(&mut self, limit: Duration, site: &Site) -> bool {
        let status = tokio::time::timeout(limit, self.child.wait()).await;
        status.inspect(|it| assert_killed(site, *it.as_ref().unwrap())).is_ok()
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        let _ = self.child.start_kill();
        self.child.wait().await.unwrap();
    }

    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

fn assert_killed(site: &Site, status: ExitStatus) {
    use std::os::unix::process::ExitStatusExt;
    if status.signal() != Some(9) {
        let text = std::fs::read_to_string(site.path("stderr.log")).unwrap_or_default();
        let last: Vec<_> = text.lines().rev().take(20).collect();
        panic!("k8smgr ended with {status}: {last:#?}");
    }
}
