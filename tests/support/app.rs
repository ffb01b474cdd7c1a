//! A K8s Manager of its own for a test: real HTTP, a database, folders and a cluster, in one line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8smgr::app::{App, Settings};
use k8smgr::auth::{imported_token, token_hash};
use k8smgr::config::{Config, Environment};
use k8smgr::domain::{Clock, ServiceState};
use k8smgr::store::DatabaseUrl;
use k8smgr::tls::TlsFiles;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cluster::TestCluster;
use super::folders;
use super::records::contract_folder;
use super::turns::{Together, together};
use super::wait::eventually;
use super::wire::{Answer, Request};

/// The token of `jupyterhub` in the records.
pub const TOKEN: &str = "b1a3d3b531cdde047d01ec8a27b92c267005b8b5";
pub const JUPYTERHUB: &str = "jupyterhub:jhubpw";
pub const OTHERHUB: &str = "otherhub:otherpw";
pub const ADMIN: &str = "admin:superpw";

/// What K8s Manager tries at first to carry a stop out.
const STOP_TIME: Duration = Duration::from_secs(8);

/// A change of the configuration.
type Edit = Box<dyn FnOnce(&mut Value)>;

pub struct TestAppBuilder {
    config: &'static str,
    stage: Option<&'static str>,
    edit: Vec<Edit>,
    environment: BTreeMap<String, String>,
    database_url: Option<String>,
}

impl TestAppBuilder {
    /// Instead of a SQLite file of its own.
    pub fn database(mut self, url: &str) -> Self {
        self.database_url = Some(url.to_owned());
        self
    }

    /// One of the configurations that the records were made with.
    pub fn config(mut self, name: &'static str) -> Self {
        self.config = name;
        self
    }

    pub fn stage(mut self, stage: Option<&'static str>) -> Self {
        self.stage = stage;
        self
    }

    pub fn edit(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.edit.push(Box::new(edit));
        self
    }

    /// Lets a waiting reason that cannot heal fail a service at once.
    pub fn grace_seconds(self, seconds: u64) -> Self {
        self.edit(move |config| config["services"]["status_information"]["fatal_grace_seconds"] = json!(seconds))
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub async fn start(self) -> TestApp {
        let mut app = self.prepare().await;
        app.start_process().await;
        app.import_token().await;
        app
    }

    /// Everything but the process.
    pub async fn prepare(self) -> TestApp {
        let folder = TempDir::new().unwrap();
        let cluster = TestCluster::start().await;
        folders::set_up(folder.path());
        let mut environment = self.environment;
        for (name, value) in [
            ("JUPYTERHUB", "jhubpw"),
            ("OTHERHUB", "otherpw"),
            ("NOGROUP", "nogrouppw"),
            ("WEBONLY", "webpw"),
            ("LOGONLY", "logpw"),
        ] {
            environment.entry(format!("{name}_USER_PASS")).or_insert_with(|| value.to_owned());
        }
        let fixed = [
            ("SUPERUSER_PASS", "superpw"),
            ("DEPLOYMENT_NAME", "k8smgr"),
            ("DEPLOYMENT_NAMESPACE", &cluster.namespace),
            ("STAGE", self.stage.unwrap_or_default()),
        ];
        for (name, value) in fixed {
            environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }

        let text = std::fs::read_to_string(contract_folder().join("fixtures/configs").join(self.config)).unwrap();
        let text = text.replace("/srv/k8smgr", folder.path().to_str().unwrap());
        let mut config: Value = serde_json::from_str(&text).unwrap();
        // Nobody listens there; the notices are another test's.
        config["tunnel"] = json!([]);
        for edit in self.edit {
            edit(&mut config);
        }
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();

        let database_url = self.database_url;
        let clock = Clock::default();
        TestApp { folder, cluster, environment, database_url, running: None, clock, _turn: together() }
    }
}

pub struct TestApp {
    folder: TempDir,
    pub cluster: TestCluster,
    pub environment: BTreeMap<String, String>,
    database_url: Option<String>,
    running: Option<App>,
    /// The clocks of the process, and of the next one.
    pub clock: Clock,
    _turn: Together,
}

impl TestApp {
    /// As the records were made: main.json, STAGE=production.
    pub fn builder() -> TestAppBuilder {
        TestAppBuilder {
            config: "main.json",
            stage: Some("production"),
            edit: Vec::new(),
            environment: BTreeMap::new(),
            database_url: None,
        }
    }

    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts the process again on the same database, folders and cluster.
    pub async fn restart(&mut self) {
        self.stop_process().await;
        self.start_process().await;
    }

    pub async fn stop_process(&mut self) {
        if let Some(running) = self.running.take() {
            running.shut_down().await.unwrap();
        }
    }

    pub async fn start_process(&mut self) {
        self.running = Some(App::start(self.settings()).await.unwrap());
    }

    pub fn settings(&self) -> Settings {
        let config = Config::load(&self.path("config.json")).unwrap().config;
        let environment = Environment::from_variables(&self.environment, None).unwrap();
        Settings {
            tls: TlsFiles::of(&config.tls, &environment).unwrap(),
            config,
            environment,
            database_url: self.database_url(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            config_file: Some(self.path("config.json")),
            kubeconfig: Some(self.cluster.kubeconfig.clone()),
            clock: self.clock.clone(),
        }
    }

    pub fn database_url(&self) -> DatabaseUrl {
        match &self.database_url {
            Some(url) => url.parse().unwrap(),
            None => DatabaseUrl::sqlite(&self.path("k8smgr.sqlite3")).unwrap(),
        }
    }

    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub fn edit_config(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.path("config.json");
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        edit(&mut config);
        std::fs::write(path, config.to_string()).unwrap();
    }

    async fn import_token(&self) {
        let token = imported_token(TOKEN).unwrap();
        self.app().store.add_token("jupyterhub", &token_hash(&token), "records").await.unwrap();
    }

    pub fn app(&self) -> &App {
        self.running.as_ref().expect("the process runs")
    }

    pub fn address(&self) -> SocketAddr {
        self.app().address()
    }

    /// A path beneath what the records call /srv/k8smgr.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names in a folder, sorted; none where there is no folder.
    pub fn names_in(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub async fn send(&self, request: &Request) -> Answer {
        request.send(self.address()).await
    }

    /// With the credentials `user:password`.
    pub async fn send_as(&self, user: &str, request: Request) -> Answer {
        self.send(&request.header("Authorization", &basic(user))).await
    }

    pub async fn get(&self, user: &str, name: &str) -> Answer {
        self.send_as(user, Request::get(&format!("/api/services/{name}/"))).await
    }

    pub async fn list(&self, user: &str) -> Answer {
        self.send_as(user, Request::get("/api/services/")).await
    }

    /// Stops a service and gives the stop the time to be carried out.
    pub async fn delete(&self, user: &str, name: &str) -> Answer {
        let answer = self.ask_to_stop(user, name).await;
        if answer.status == 204 {
            self.stop_is_carried_out(name).await;
        }
        answer
    }

    /// The same without waiting for what happens after the answer.
    pub async fn ask_to_stop(&self, user: &str, name: &str) -> Answer {
        self.send_as(user, Request::new("DELETE", &format!("/api/services/{name}/"))).await
    }

    /// Waits until nothing of this name is being stopped; where the cluster does not let that happen, not for ever.
    pub async fn stop_is_carried_out(&self, name: &str) {
        let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
        let is_over = async || {
            let stopping = self.app().store.services_in(&[ServiceState::Stopping]).await.ok()?;
            stopping.iter().all(|it| it.server_name.as_str() != name).then_some(())
        };
        let carried_out = eventually("a stop that was answered is carried out", is_over);
        let _ = tokio::time::timeout(STOP_TIME, carried_out).await;
    }

    pub async fn put(&self, user: &str, name: &str) -> Answer {
        self.send_as(user, Request::new("PUT", &format!("/api/services/{name}/"))).await
    }

    pub async fn post(&self, user: &str, name: &str, body: &Value) -> Answer {
        let request = Request::new("POST", "/api/services/").header("uuidcode", name).json(body);
        self.send_as(user, request).await
    }

    /// Starts `service` as most records do.
    pub async fn start_service(&self, user: &str, name: &str, start_id: &str, service: &str) -> Answer {
        self.post(user, name, &start_body(service, start_id)).await
    }

    /// Ends the process and the cluster. Not called after a failure: the test's process ends anyway.
    pub async fn end(mut self) {
        self.stop_process().await;
        self.cluster.end().await;
    }
}

pub fn basic(user: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(user))
}

pub fn start_body(service: &str, start_id: &str) -> Value {
    json!({
        "env": {
            "JUPYTERHUB_STATUS_URL": "http://hub/status",
            "JUPYTERHUB_API_TOKEN": "tok",
            "JUPYTERHUB_USER_ID": 7,
        },
        "user_options": {"service": service},
        "start_id": start_id,
    })
}
