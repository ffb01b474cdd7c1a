//! The sound installation with a secured cluster: as its administrator, or as a service account with what it is granted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8smgr::app::{App, Settings};
use k8smgr::config::{Config, Environment};
use k8smgr::store::DatabaseUrl;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use local_cluster::{ClusterConfig, LocalCluster};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::tool::{Run, installation, k8smgr};

pub const HUB: &str = "hub:hubpw";

pub struct Site {
    pub folder: TempDir,
    pub cluster: LocalCluster,
}

impl Site {
    pub async fn start() -> Self {
        let cluster = LocalCluster::start(ClusterConfig { tls: true, ..ClusterConfig::default() }).await.unwrap();
        let site = Self { folder: installation(None), cluster };
        std::fs::write(site.path().join("admin.kubeconfig"), site.cluster.kubeconfig()).unwrap();
        site.kubectl(&["create", "namespace", "labs"], "").await;
        site.kubectl(&["create", "serviceaccount", "robot", "-n", "labs"], "").await;
        std::fs::write(site.path().join("robot.kubeconfig"), site.robot().await).unwrap();
        site
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A kubeconfig of the service account.
    async fn robot(&self) -> String {
        let mut kubeconfig = Kubeconfig::from_yaml(&self.cluster.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(kube::Client::try_from(config).unwrap(), "labs");
        let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
        let made = accounts.create_token_request("robot", &PostParams::default(), &request).await.unwrap();
        let old = kubeconfig.auth_infos.remove(0).auth_info.unwrap();
        let old = secrecy::ExposeSecret::expose_secret(old.token.as_ref().unwrap()).to_owned();
        self.cluster.kubeconfig().replace(&old, &made.status.unwrap().token)
    }

    pub async fn k8smgr(&self, who: &str, arguments: &[&str]) -> Run {
        let mut command = k8smgr(self.path());
        command.args(arguments).env("KUBECONFIG", self.path().join(format!("{who}.kubeconfig")));
        tokio::process::Command::from(command).output().await.unwrap().into()
    }

    /// As the administrator; it has to work.
    pub async fn kubectl(&self, arguments: &[&str], stdin: &str) -> String {
        let mut command = Command::new("kubectl");
        command.args(arguments).env("KUBECONFIG", self.path().join("admin.kubeconfig")).env("HOME", self.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).spawn().expect("kubectl is on the PATH");
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).await.unwrap();
        drop(input);
        let run = Run::from(child.wait_with_output().await.unwrap());
        assert_eq!(run.status, 0, "kubectl {arguments:?}: {}{}\n{stdin}", run.stdout, run.stderr);
        run.stdout
    }

    /// A K8s Manager that asks the cluster as `who`.
    pub async fn app(&self, who: &str) -> App {
        let variables = [("HUB_USER_PASS", "hubpw"), ("DEPLOYMENT_NAMESPACE", "labs")];
        let variables: BTreeMap<_, _> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut config = Config::load(&self.path().join("config.json")).unwrap().config;
        config.services.base = self.path().join("services");
        config.services.descriptions = self.path().join("descriptions");
        (config.userhomes.base, config.userhomes.skel) = (self.path().join("homes"), self.path().join("skel"));
        let settings = Settings {
            config,
            environment: Environment::from_variables(&variables, None).unwrap(),
            database_url: DatabaseUrl::sqlite(&self.path().join("k8smgr.sqlite3")).unwrap(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            kubeconfig: Some(std::fs::read_to_string(self.path().join(format!("{who}.kubeconfig"))).unwrap()),
            config_file: None,
            clock: k8smgr::domain::Clock::default(),
        };
        App::start(settings).await.unwrap()
    }

    pub fn describe(&self, name: &str, text: &str) {
        std::fs::write(self.path().join("descriptions/hub/Lab").join(name), text).unwrap();
    }

    pub async fn end(self) {
        self.cluster.shutdown().await;
    }
}
