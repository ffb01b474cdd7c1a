//! A real PostgreSQL server for tests, from Debian's package, on a socket in a folder of its own. The tests over HTTP
//! (`tests/support`) use this file, too.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio_postgres::NoTls;

use super::ports::ReservedPort;

/// It only names the socket.
const SOCKET_PORT: u16 = 5432;

pub struct PostgresServer {
    folder: TempDir,
    programs: PathBuf,
    /// Where it listens on 127.0.0.1 too; otherwise on its socket only.
    port: Option<ReservedPort>,
    process: Child,
}

impl PostgresServer {
    /// On a socket alone, where everybody is trusted.
    pub async fn start() -> Self {
        Self::start_with(None, |_| {}).await
    }

    /// `prepare` gets the data folder before the server starts.
    pub async fn start_with(port: Option<ReservedPort>, prepare: impl FnOnce(&Path)) -> Self {
        let programs = programs();
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let data = folder.path().join("data");
        let made = unprivileged(&programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=k8smgr", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        prepare(&data);
        let process = serve(&programs, folder.path(), port.as_ref());
        let server = Self { folder, programs, port, process };
        server.wait().await;
        server
    }

    pub async fn restart(&mut self) {
        self.kill();
        self.process = serve(&self.programs, self.folder.path(), self.port.as_ref());
        self.wait().await;
    }

    /// An immediate shutdown: nobody's connection survives it.
    pub fn kill(&mut self) {
        // Its number may be another process's since.
        if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        let _ = Command::new("kill").arg("-QUIT").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }

    pub fn url(&self, database: &str) -> String {
        let port = number(self.port.as_ref());
        format!("postgres:///{database}?user=k8smgr&port={port}&host={}", self.folder.path().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{}", number(self.port.as_ref())))
    }

    /// Makes a database and gives its URL.
    pub async fn create_database(&self, name: &str) -> String {
        // PostgreSQL cuts names at 63 characters.
        let name = &name[..name.len().min(60)];
        self.execute(&format!("CREATE DATABASE {name}")).await;
        self.url(name)
    }

    pub async fn execute(&self, sql: &str) {
        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
    }

    async fn wait(&self) {
        for _ in 0..600 {
            if tokio_postgres::connect(&self.url("postgres"), NoTls).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("the PostgreSQL server does not answer: {log}");
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|it| it.path().join("bin")).filter(|it| it.join("initdb").exists()).max();
    found.expect("no /usr/lib/postgresql/*/bin/initdb: these tests need Debian's package `postgresql`")
}

/// Of the TCP port, and of the socket's name.
fn number(port: Option<&ReservedPort>) -> u16 {
    port.map_or(SOCKET_PORT, ReservedPort::number)
}

fn serve(programs: &Path, folder: &Path, port: Option<&ReservedPort>) -> Child {
    let log = std::fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
    unprivileged(&programs.join("postgres"))
        .args(["-c", "fsync=off", "-c"])
        .arg(format!("unix_socket_directories={}", folder.display()))
        .arg("-c")
        .arg(if port.is_some() { "listen_addresses=127.0.0.1" } else { "listen_addresses=" })
        .args(["-c", &format!("port={}", number(port))])
        .arg("-D")
        .arg(folder.join("data"))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// PostgreSQL refuses to run as root. Whatever becomes of the test, the server ends with it.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg("--pdeathsig=QUIT").arg("--").arg(program);
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
