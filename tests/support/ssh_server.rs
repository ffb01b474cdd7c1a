//! A real sshd on loopback, with a configuration and keys of its own, for whoever runs the tests; and servers behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::ports::ReservedPort;
use super::wait::eventually;

pub struct SshServer {
    folder: TempDir,
    process: Child,
    _port: ReservedPort,
}

impl SshServer {
    /// With a client configuration that names `tunnel_login01` and `tunnel_login02`.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["host_key", "user_key"] {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(name)).status();
            assert!(made.unwrap().success(), "ssh-keygen");
        }
        std::fs::copy(path("user_key.pub"), path("authorized_keys")).unwrap();
        let reserved = ReservedPort::take();
        let port = reserved.number();
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        let at = folder.path().display();
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nLogLevel VERBOSE\n"
        );
        std::fs::write(path("sshd_config"), server).unwrap();
        let host_key = std::fs::read_to_string(path("host_key.pub")).unwrap();
        std::fs::write(path("known_hosts"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        let client = format!(
            "Host tunnel_login01 tunnel_login02\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {at}/user_key\n  \
             IdentitiesOnly yes\n  UserKnownHostsFile {at}/known_hosts\n  GlobalKnownHostsFile none\n\
             Host tunnel_closed\n  HostName 127.0.0.1\n  Port 1\n"
        );
        std::fs::write(path("config"), client).unwrap();
        let process = serve(folder.path());
        let server = Self { folder, process, _port: reserved };
        eventually("sshd listens", async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        server
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(folder: &Path) -> Child {
    // Only root's sshd separates its privileges; it wants this folder, which an init script makes.
    let _ = std::fs::create_dir_all("/run/sshd");
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().find(|it| Path::new(it).exists());
    // Whatever becomes of the test, the server ends with it.
    Command::new("setpriv")
        .args(["--pdeathsig=TERM", "--"])
        .arg(program.expect("no sshd: these tests need Debian's package `openssh-server`"))
        .args(["-D", "-e", "-f"])
        .arg(folder.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A server that answers each line with its name and the line. Gives its port.
pub async fn echo_server(name: &'static str) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (reader, mut writer) = stream.into_split();
                let mut lines = BufReader::new(reader).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    writer.write_all(format!("{name}: {line}\n").as_bytes()).await.unwrap();
                }
            });
        }
    });
    port
}

/// What the server behind a port answers to a line; `None`: nobody is there.
pub async fn ask(port: u16, line: &str) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.ok()?;
        stream.write_all(format!("{line}\n").as_bytes()).await.ok()?;
        stream.shutdown().await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        (!answer.is_empty()).then(|| answer.trim_end().to_owned())
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), asked).await.ok()?
}

/// The processes whose arguments hold `part`: pid and arguments.
pub fn processes_with(part: &str) -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let process = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let bytes = std::fs::read(entry.path().join("cmdline")).ok()?;
        let arguments = String::from_utf8_lossy(&bytes).replace('\0', " ");
        arguments.contains(part).then_some((pid, arguments))
    };
    entries.filter_map(process).collect()
}

/// A stand-in for ssh that notes its arguments and does what the script says.
pub fn fake_ssh(folder: &Path, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join("fake-ssh");
    let text = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> {}/ssh-calls\n{script}\n", folder.display());
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    program
}
