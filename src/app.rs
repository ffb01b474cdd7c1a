//! The composition root: the only place that wires the rooms together, and the order in which they start and end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::ready;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::{Authenticator, create_startup_users};
use crate::cluster::Cluster;
use crate::cluster::watch::{WatchFailure, Watched};
use crate::config::{Config, Environment, SharedConfig};
use crate::description::{Place, SharedCatalogue};
use crate::health::{Conditions, Failure};
use crate::http::{Api, Limits, Server, operators_routes, routes};
use crate::log_handlers::{self, LogHandlers};
use crate::metrics_page::MetricsPage;
use crate::reload::{Reloader, follow_forever};
use crate::services::{Services, Site, recover_forever};
use crate::store::{DatabaseUrl, Store};
use crate::stored_log_handlers::StoredLogHandlers;

/// Everything that a process needs to know before it starts.
pub struct Settings {
    pub config: Config,
    pub environment: Environment,
    pub database_url: DatabaseUrl,
    pub listen: SocketAddr,
    /// Where the configuration was read from, to see its changes.
    pub config_file: Option<PathBuf>,
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
    upkeep: JoinHandle<()>,
    operators: Option<(SocketAddr, JoinHandle<()>)>,
    health: Arc<Conditions>,
    changes: JoinHandle<()>,
    pub reloader: Arc<Reloader>,
    pub store: Store,
    pub services: Arc<Services>,
}

impl App {
    /// Starts: database, log handlers, users, cluster, services, and at last the listener, so that whoever gets an answer gets the
    /// right one.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        crate::metrics::begin();
        let Settings { config, config_file, environment, database_url, listen, kubeconfig } = settings;
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
        let limits = Limits { max_header_bytes: config.current().http.max_header_bytes, config: config.clone() };
        let descriptions = SharedCatalogue::new(config.current());
        let place = Place {
            stage: environment.stage.clone(),
            deployment_name: environment.deployment_name.clone(),
            namespace: environment.deployment_namespace.clone(),
        };
        let reloader = Reloader::new(config_file, config.clone(), descriptions.clone(), place);
        let hangups = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
        let handlers = log_handlers::of_this_process();
        let metrics_page = Arc::new(MetricsPage::new(store.clone(), cluster.clone(), handlers.clone()));
        let health = Arc::new(conditions(&store, &cluster, handlers, &reloader, &environment.deployment_namespace));
        let services = Services::new(store.clone(), cluster, config.clone(), descriptions, site);
        let authenticator = Arc::new(Authenticator::new(store.clone()));

        let listener = TcpListener::bind(listen).await.with_context(|| format!("failed to listen on {listen}"))?;
        let address = listener.local_addr()?;
        let (end, ended) = watch::channel(false);
        let operators_address = config.current().metrics.listen;
        let api = Api {
            services: services.clone(),
            authenticator,
            log_handlers: log_handlers.clone(),
            config,
            health: health.clone(),
            metrics_page,
        };
        let operators = match operators_address {
            Some(wanted) => Some(serve_operators(wanted, api.clone(), limits.clone(), ended.clone()).await?),
            None => None,
        };
        let server = tokio::spawn(Server::new(listener, routes(api), limits).run(ended));
        let recovery = tokio::spawn(recover_forever(services.clone()));
        let log_changes = tokio::spawn(log_handlers.follow_forever());
        let changes = tokio::spawn(follow_forever(reloader.clone(), hangups));
        let upkeep = tokio::spawn(crate::metrics::upkeep_forever());
        tracing::info!(%address, "listening");
        Ok(Self {
            address,
            end,
            server,
            recovery,
            log_changes,
            upkeep,
            operators,
            health,
            changes,
            reloader,
            store,
            services,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `metrics.listen` serves.
    pub fn operators_address(&self) -> Option<SocketAddr> {
        self.operators.as_ref().map(|(address, _)| *address)
    }

    /// From now on changes on the disk apply only when `reloader` is told to look.
    pub fn stop_following_changes(&self) {
        self.changes.abort();
    }

    /// Lets open requests finish and ends. What is not done is done by the next process.
    pub async fn shut_down(self) -> anyhow::Result<()> {
        self.health.begin_end();
        self.recovery.abort();
        self.upkeep.abort();
        self.changes.abort();
        self.log_changes.abort();
        let _ = self.end.send(true);
        self.server.await.context("the server broke off")?;
        match self.operators {
            Some((_, operators)) => operators.await.context("the server for metrics broke off"),
            None => Ok(()),
        }
    }
}

/// `/metrics`, `/livez` and `/readyz` on an address of their own.
async fn serve_operators(
    wanted: SocketAddr,
    api: Api,
    limits: Limits,
    ended: watch::Receiver<bool>,
) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let listener =
        TcpListener::bind(wanted).await.with_context(|| format!("failed to listen on {wanted} for metrics"))?;
    let address = listener.local_addr()?;
    Ok((address, tokio::spawn(Server::new(listener, operators_routes(api), limits).run(ended))))
}

/// How long a new process may be unready for want of the cluster. Then it answers from what the database says: were
/// it the only replica, every poll would fail meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `/readyz` tells; `health` says what decides and why.
fn conditions(
    store: &Store,
    cluster: &Cluster,
    log_handlers: LogHandlers,
    reloader: &Arc<Reloader>,
    namespace: &str,
) -> Conditions {
    let (config, descriptions) = (reloader.clone(), reloader.clone());
    let (pods, begun) = (Watched::pods(namespace), Instant::now());
    let (watches, failing) = (cluster.watches().clone(), cluster.watches().clone());
    let store = store.clone();
    Conditions::default()
        .deciding("started", move || {
            let has_seen = watches.is_synced(&pods) || begun.elapsed() >= PATIENCE;
            ready(if has_seen { Ok(()) } else { Err("the cluster was not seen yet".to_owned().into()) })
        })
        .telling("database", move || {
            let store = store.clone();
            async move { store.ping().await.map_err(|error| error.to_string().into()) }
        })
        .telling("cluster", move || ready(first_failure(failing.failures())))
        .telling("config", move || {
            let bad = config.status().bad_file.map(|bad| Failure {
                reason: format!("config.json: {}; the last good one stays", bad.place),
                since: Some(bad.since),
            });
            ready(bad.map_or(Ok(()), Err))
        })
        .telling("descriptions", move || {
            let status = descriptions.status();
            let broken = status.broken_descriptions().map(|reason| Failure { reason, since: status.broken_since });
            ready(broken.map_or(Ok(()), Err))
        })
        .telling("log-handlers", move || {
            let failing = log_handlers.statuses().into_iter().filter(|(_, status)| status.failing.is_some());
            let failing: Vec<_> = failing.map(|(name, _)| name).collect();
            ready(match failing.is_empty() {
                true => Ok(()),
                false => Err(format!("failing: {}; GET /api/logs/handler/ says why", failing.join(", ")).into()),
            })
        })
}

fn first_failure(mut failures: Vec<WatchFailure>) -> Result<(), Failure> {
    failures.sort_by_key(|it| it.since);
    let Some(first) = failures.first() else { return Ok(()) };
    let WatchFailure { watched, since, .. } = first;
    // Why is in the log: the text may hold addresses.
    let reason = format!("the watch on {} in {} does not work; the log says why", watched.kind, watched.namespace);
    Err(Failure { reason, since: Some(*since) })
}

async fn create_users(store: &Store, config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let superuser = environment.superuser_password.clone();
    create_startup_users(store, superuser, &config.startup.create_user, |name| environment.user_password(name).cloned())
        .await
        .context("failed to create the users of startup.create_user")
}
