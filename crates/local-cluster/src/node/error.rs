//! Why a node cannot start on this machine, in words that say what to do about it.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(
        "containers run as local processes on Linux only; on this system, give K8s Manager a real Kubernetes cluster \
         (KUBECONFIG)"
    )]
    NotLinux,
    #[error(
        "the program \"{program}\" was not found in PATH; install it (`apt install {package}` on Debian and Ubuntu, \
         `dnf install {package}` on Fedora) or use a real Kubernetes cluster (KUBECONFIG)"
    )]
    Missing { program: &'static str, package: &'static str },
    #[error(
        "bubblewrap is too old: `bwrap --help` does not list --bind-fd; update it (`apt update && apt install \
         bubblewrap`) or use a real Kubernetes cluster (KUBECONFIG)"
    )]
    Outdated,
    #[error(
        "bubblewrap cannot make a sandbox here: {said}. It needs user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, \
         `sysctl user.max_user_namespaces=15000`; on Ubuntu 24.04 and later also `sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0`; in a container, one started with --privileged). Otherwise use a \
         real Kubernetes cluster (KUBECONFIG)"
    )]
    Unusable { said: String },
    #[error("the path {} that containers are to see cannot be read", path.display())]
    HostPath {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to prepare the data directory {}", path.display())]
    DataDir {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to run {program}")]
    Run {
        program: String,
        #[source]
        source: std::io::Error,
    },
}
