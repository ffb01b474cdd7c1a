//! The composition root: the only place that wires the rooms together, and the order in which they start and end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::{Authenticator, Users, create_startup_users};
use crate::cluster::Cluster;
use crate::config::{Config, Environment, SharedConfig};
use crate::http::{Api, Limits, Server, routes};
use crate::log_handlers;
use crate::services::{Services, Site, recover_forever};
use crate::store::{DatabaseUrl, Store};
use crate::stored_log_handlers::StoredLogHandlers;

/// Everything that a process needs to know before it starts.
pub struct Settings {
    pub config: Config,
    pub environment: Environment,
    pub database_url: DatabaseUrl,
    pub listen: SocketAddr,
    /// The text of a kubeconfig; without one the environment is asked.
    pub kubeconfig: Option<String>,
}

/// A running K8s Manager.
pub struct App {
    address: SocketAddr,
    end: watch::Sender<bool>,
    server: JoinHandle<()>,
    recovery: JoinHandle<()>,
    log_changes: JoinHandle<()>,
    pub store: Store,
    pub services: Arc<Services>,
}

impl App {
    /// Starts: database, log handlers, users, cluster, services, and at last the listener, so that whoever gets an answer gets the
    /// right one.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let Settings { config, environment, database_url, listen, kubeconfig } = settings;
        let store = Store::connect(&database_url).await.with_context(|| format!("database {database_url}"))?;
        let config = SharedConfig::new(config);
        let log_handlers = StoredLogHandlers::new(
            store.clone(),
            log_handlers::of_this_process(),
            config.clone(),
            environment.smtp_login.clone(),
        );
        log_handlers.synchronise().await.context("failed to read the stored log handlers")?;
        let installation = store.installation_id().await?;
        create_users(&store, &config.current(), &environment).await?;

        let client = crate::cluster::connect(kubeconfig.as_deref()).await?;
        let cluster = Cluster::new(client, &installation);
        cluster.watches().watch_pods(&environment.deployment_namespace);
        let site = Site {
            stage: environment.stage.clone(),
            deployment_name: environment.deployment_name.clone(),
            namespace: environment.deployment_namespace.clone(),
            installation,
        };
        let limits = Limits {
            max_header_bytes: config.current().http.max_header_bytes,
            request_timeout: Duration::from_secs(config.current().http.request_timeout_seconds),
        };
        let services = Services::new(store.clone(), cluster, config.clone(), site);
        let authenticator = Arc::new(Authenticator::new(store.clone()));

        let listener = TcpListener::bind(listen).await.with_context(|| format!("failed to listen on {listen}"))?;
        let address = listener.local_addr()?;
        let (end, ended) = watch::channel(false);
        let users = Users::new(store.clone());
        let api = Api { services: services.clone(), authenticator, users, log_handlers: log_handlers.clone(), config };
        let server = tokio::spawn(Server::new(listener, routes(api), limits).run(ended));
        let recovery = tokio::spawn(recover_forever(services.clone()));
        let log_changes = tokio::spawn(log_handlers.follow_forever());
        tracing::info!(%address, "listening");
        Ok(Self { address, end, server, recovery, log_changes, store, services })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets open requests finish and ends. What is not done is done by the next process.
    pub async fn shut_down(self) -> anyhow::Result<()> {
        self.recovery.abort();
        self.log_changes.abort();
        let _ = self.end.send(true);
        self.server.await.context("the server broke off")
    }
}

async fn create_users(store: &Store, config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let superuser = environment.superuser_password.clone();
    create_startup_users(store, superuser, &config.startup.create_user, |name| environment.user_password(name).cloned())
        .await
        .context("failed to create the users of startup.create_user")
}
