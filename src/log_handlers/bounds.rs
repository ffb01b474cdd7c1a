//! What a log handler may write to: files in the configured folders, hosts of the configured list. Checked when a
//! handler is made and again whenever it connects.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::domain::AllowedTarget;

const CONNECT_TIME: Duration = Duration::from_secs(3);

/// User and password for the mail host.
#[derive(Clone, Debug)]
pub struct SmtpLogin {
    pub user: String,
    pub password: SecretString,
}

#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// A file lies directly in one of these.
    pub directories: Vec<PathBuf>,
    pub targets: Vec<AllowedTarget>,
    pub smtp_login: Option<SmtpLogin>,
}

/// The login does not change while the process runs.
impl PartialEq for Bounds {
    fn eq(&self, other: &Self) -> bool {
        (&self.directories, &self.targets) == (&other.directories, &other.targets)
    }
}

impl Bounds {
    /// The path of a log file, free of links in its folders. Asks the disk.
    pub fn file(&self, filename: &str) -> Result<PathBuf, String> {
        let path = std::path::absolute(filename).map_err(|_| format!("filename {filename:?} is not a path"))?;
        let (Some(folder), Some(name), false) = (path.parent(), path.file_name(), filename.ends_with('/')) else {
            return Err(format!("filename {filename:?} is not the path of a file"));
        };
        let real = folder
            .canonicalize()
            .map_err(|error| format!("filename {filename:?}: no folder {}: {}", folder.display(), why(&error)))?;
        if self.directories.iter().any(|it| is_same_folder(it, &real)) {
            return Ok(real.join(name));
        }
        let allowed: Vec<_> = self.directories.iter().map(|it| it.display().to_string()).collect();
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        Err(format!("filename {filename:?} is not in a folder of logs.directories ({allowed})"))
    }

    /// Where to connect to for `host`: its addresses that are allowed, all of them where the host is listed by name.
    /// Asks the resolver.
    pub fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let resolved = (host, port).to_socket_addrs();
        let resolved = resolved.map_err(|error| format!("host {host:?} is not known: {}", why(&error)))?;
        let is_allowed =
            |it: &SocketAddr| self.names(host, port) || self.targets.iter().any(|target| target.holds(it.ip(), port));
        let allowed: Vec<_> = resolved.filter(is_allowed).collect();
        if allowed.is_empty() { Err(format!("{host}:{port} is not among logs.targets")) } else { Ok(allowed) }
    }

    /// Whether the configuration lists this very host.
    pub fn names(&self, host: &str, port: u16) -> bool {
        self.targets.iter().any(|target| target.names(host, port))
    }

    /// A connection to the first address that answers.
    pub fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let mut reason = String::new();
        for address in self.addresses(host, port)? {
            match TcpStream::connect_timeout(&address, CONNECT_TIME) {
                Ok(stream) => return Ok(stream),
                Err(error) => reason = format!("failed to connect to {address}: {}", why(&error)),
            }
        }
        Err(reason)
    }
}

fn is_same_folder(allowed: &Path, real: &Path) -> bool {
    allowed.canonicalize().is_ok_and(|it| it == real)
}

/// The error without `(os error 2)`.
pub(super) fn why(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lies_in_a_listed_folder_whatever_its_path_looks_like() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["logs", "logs/sub", "other"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("logs"), root.join("link")).unwrap();
        std::os::unix::fs::symlink(root.join("other"), root.join("logs/out")).unwrap();
        let bounds = Bounds { directories: vec![root.join("link"), root.join("missing")], ..Bounds::default() };
        let file = |name: &str| bounds.file(root.join(name).to_str().unwrap());
        for name in ["logs/k.log", "link/k.log", "other/../logs/./k.log"] {
            assert_eq!(file(name).unwrap(), root.join("logs/k.log"), "{name}");
        }
        for name in ["k.log", "other/k.log", "logs/../other/k.log", "logs/out/k.log", "logs/sub/k.log", "logs/k/", ""] {
            file(name).unwrap_err();
        }
        let refused = file("missing/k.log").unwrap_err();
        assert!(refused.contains("no folder") && refused.contains("/missing"), "{refused}");
        assert!(Bounds::default().file("/tmp/k.log").unwrap_err().contains("logs.directories (none)"));
    }

    #[test]
    fn only_allowed_addresses_of_a_host_are_used() {
        let bounds = |targets: &[&str]| Bounds {
            targets: targets.iter().map(|it| it.parse().unwrap()).collect(),
            ..Bounds::default()
        };
        for host in ["localhost", "127.0.0.1", "127.1", "::1", "169.254.169.254", "10.0.0.1"] {
            let refused = bounds(&["public"]).addresses(host, 514).unwrap_err();
            assert!(refused.contains("logs.targets"), "{refused}");
        }
        assert!(!bounds(&["localhost"]).addresses("localhost", 514).unwrap().is_empty());
        assert_eq!(bounds(&["127.0.0.0/8"]).addresses("127.0.0.1", 514).unwrap().len(), 1);
        assert!(bounds(&["127.0.0.1:514"]).addresses("127.0.0.1", 25).is_err());
        assert!(bounds(&["public"]).addresses("nobody.invalid", 25).unwrap_err().contains("not known"));
    }
}
