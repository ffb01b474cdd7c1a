//! The composition root: the only place that wires the rooms together, and the order in which they start and end.

mod database;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::{Authenticator, create_startup_users};
use crate::cluster::{Cluster, Deadline};
use crate::config::{Config, Environment, SharedConfig};
use crate::domain::Clock;
use crate::http::{Api, Limits, Server, routes};
use crate::leader::{Election, Leader};
use crate::log_handlers;
use crate::services::{Services, Site, follow_changes, recover_forever};
use crate::store::{DatabaseUrl, ProcessLock, Store};
use crate::stored_log_handlers::StoredLogHandlers;

/// Everything that a process needs to know before it starts.
pub struct Settings {
    pub config: Config,
    pub environment: Environment,
    pub database_url: DatabaseUrl,
    pub listen: SocketAddr,
    /// The text of a kubeconfig; without one the environment is asked.
    pub kubeconfig: Option<String>,
    /// The system's; tests move theirs.
    pub clock: Clock,
}

/// How long the end may wait for what is under way. With what follows it stays within ten seconds.
const LONGEST_WORK: Duration = Duration::from_millis(6500);
/// For what the last requests left.
const LAST_WORK: Duration = Duration::from_millis(500);

/// A running K8s Manager.
pub struct App {
    address: SocketAddr,
    end: watch::Sender<bool>,
    server: JoinHandle<()>,
    recovery: JoinHandle<()>,
    service_changes: JoinHandle<()>,
    log_changes: JoinHandle<()>,
    /// How long requests are taken after it is told to end.
    shutdown_delay: Duration,
    pub leader: Leader,
    pub store: Store,
    pub services: Arc<Services>,
    /// The last to go.
    _process_lock: ProcessLock,
}

impl App {
    /// Starts: database, log handlers, users, cluster, services, and at last the listener, so that whoever gets an answer gets the
    /// right one.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let Settings { config, environment, database_url, listen, kubeconfig, clock } = settings;
        let process_lock = ProcessLock::take(&database_url).with_context(|| format!("database {database_url}"))?;
        // Bound early and served last: who connects meanwhile waits for the right answer.
        let listener = bind(listen).await?;
        let limits = Limits {
            max_header_bytes: config.http.max_header_bytes,
            request_timeout: Duration::from_secs(config.http.request_timeout_seconds),
        };
        let store = database::open(&database_url, &listener, limits).await?;
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
        let cluster =
            Cluster::new(client, &installation, clock.clone(), config.current().services.shrunken_list_percent);
        cluster.watches().watch_pods(&environment.deployment_namespace);
        let site = Site {
            stage: environment.stage.clone(),
            deployment_name: environment.deployment_name.clone(),
            namespace: environment.deployment_namespace.clone(),
            installation,
        };
        let leader = leader(&store, &cluster, &config.current(), &site);
        let services = Services::new(store.clone(), cluster, config.clone(), site, clock);
        // From here on nothing is missed.
        let changes = store.changes().await;
        services.remember_all().await.context("failed to read the stored services")?;
        services.watch_what_runs();
        let authenticator = Arc::new(Authenticator::new(store.clone()));

        let shutdown_delay = match store.is_shared() {
            true => Duration::from_secs(config.current().http.shutdown_delay_seconds),
            false => Duration::ZERO,
        };
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (end, ended) = watch::channel(false);
        let api = Api { services: services.clone(), authenticator, log_handlers: log_handlers.clone(), config };
        let server = tokio::spawn(Server::new(listener, routes(api), limits).run(ended));
        let recovered = services.clone();
        let recovery = tokio::spawn(leader.clone().while_leading(move || recover_forever(recovered.clone())));
        let service_changes = tokio::spawn(follow_changes(services.clone(), changes));
        let log_changes = tokio::spawn(log_handlers.follow_forever());
        tracing::info!(%address, "listening");
        Ok(Self {
            address,
            end,
            server,
            recovery,
            service_changes,
            log_changes,
            shutdown_delay,
            leader,
            store,
            services,
            _process_lock: process_lock,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives the leadership to another process, finishes what is under way while polls are answered, then takes no more
    /// requests, lets the open ones finish and ends. What is not done by then is done by `recover`, here or elsewhere.
    pub async fn shut_down(self) -> anyhow::Result<()> {
        let work_ends = Deadline::after(LONGEST_WORK);
        self.services.announce_end();
        let resigned = tokio::spawn({
            let leader = self.leader.clone();
            async move { leader.resign().await }
        });
        tokio::time::sleep(self.shutdown_delay).await;
        self.services.refuse_starts();
        if !self.services.finish_work(work_ends).await {
            tracing::warn!("work that takes longer is left to recovery");
        }
        self.end.send_replace(true);
        let served = self.server.await;
        self.services.finish_work(Deadline::after(LAST_WORK)).await;
        resigned.await.context("resigning broke off")?;
        self.recovery.abort();
        self.service_changes.abort();
        self.log_changes.abort();
        served.context("the server broke off")
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let bound = TcpListener::bind(address).await.and_then(TcpListener::into_std);
    bound.with_context(|| format!("failed to listen on {address}"))
}

fn leader(store: &Store, cluster: &Cluster, config: &Config, site: &Site) -> Leader {
    if !store.is_shared() {
        return Leader::alone();
    }
    let settings = &config.leader_election;
    Leader::elected(Election::new(settings, store.clone(), cluster.clone(), &site.namespace, &site.installation))
}

async fn create_users(store: &Store, config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let superuser = environment.superuser_password.clone();
    create_startup_users(store, superuser, &config.startup.create_user, |name| environment.user_password(name).cloned())
        .await
        .context("failed to create the users of startup.create_user")
}
