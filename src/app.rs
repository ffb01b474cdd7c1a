//! The composition root: the only place that wires the rooms together, and the order in which they start and end.

mod conditions;
mod database;
mod file_limit;
mod telling;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::{Authenticator, Users, create_hubs, create_startup_users};
use crate::cluster::{Cluster, Deadline};
use crate::config::{Config, Environment, SharedConfig};
use crate::description::{Place, SharedCatalogue};
use crate::domain::{Clock, Credential};
use crate::flavors::{Answered, SharedRules};
use crate::health::Conditions;
use crate::http::{Api, Limits, Server, operators_routes, routes};
use crate::hubs::{FlavorsOf, Notices};
use crate::leader::{Election, Leader};
use crate::log_handlers;
use crate::metrics_page::MetricsPage;
use crate::reload::{Reloader, RuleFiles, follow_forever};
use crate::services::{Services, Site, end_services_forever, follow_changes, recover_forever, stop_unanswered_forever};
use crate::store::{CryptKeys, DatabaseUrl, ProcessLock, Store};
use crate::stored_log_handlers::StoredLogHandlers;
use crate::tls::{ServerTls, TlsFiles};
use crate::user_jobs::{self, UserJobs};

/// Everything that a process needs to know before it starts.
pub struct Settings {
    pub config: Config,
    pub environment: Environment,
    pub database_url: DatabaseUrl,
    pub listen: SocketAddr,
    /// Without: HTTP.
    pub tls: Option<TlsFiles>,
    /// Where the configuration was read from, to see its changes.
    pub config_file: Option<PathBuf>,
    /// The text of a kubeconfig; without one the environment is asked.
    pub kubeconfig: Option<String>,
    /// The system's; tests move theirs.
    pub clock: Clock,
}

/// What the first look at the descriptions may take before requests are answered without it.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// How long the end may wait for what is under way. With what follows it stays within ten seconds.
const LONGEST_WORK: Duration = Duration::from_millis(6500);
/// Connections that wait to be taken: a hub that restarts polls all of its servers at once. The kernel allows fewer where
/// `net.core.somaxconn` says so.
const MOST_WAITING: u32 = 65_535;
/// For what the last requests left.
const LAST_WORK: Duration = Duration::from_millis(500);

/// A running K8s Manager.
pub struct App {
    address: SocketAddr,
    end: watch::Sender<bool>,
    server: JoinHandle<()>,
    recovery: JoinHandle<()>,
    /// Stops what has run for as long as it may.
    ending: JoinHandle<()>,
    /// What goes on for hubs, and looks at what they were never told.
    telling: Vec<JoinHandle<()>>,
    service_changes: JoinHandle<()>,
    log_changes: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    operators: Option<(SocketAddr, JoinHandle<()>)>,
    health: Arc<Conditions>,
    changes: JoinHandle<()>,
    pub reloader: Arc<Reloader>,
    /// How long requests are taken after it is told to end.
    shutdown_delay: Duration,
    pub leader: Leader,
    pub store: Store,
    pub services: Arc<Services>,
    user_jobs: Arc<UserJobs>,
    forwarding: JoinHandle<()>,
    /// The last to go.
    _process_lock: ProcessLock,
}

impl App {
    /// Starts: database, log handlers, users, cluster, services, and at last the listener, so that whoever gets an answer gets the
    /// right one.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        crate::metrics::begin();
        let Settings { config, config_file, environment, database_url, listen, tls, kubeconfig, clock } = settings;
        let process_lock = ProcessLock::take(&database_url).with_context(|| format!("database {database_url}"))?;
        let keys = CryptKeys::read(environment.crypt_keys.as_ref(), environment.crypt_keys_file.as_deref())?;
        let tls = tls.map(ServerTls::open).transpose()?;
        // Bound early and served last: who connects meanwhile waits for the right answer.
        let listener = bind(listen)?;
        let operators = match config.metrics.listen {
            Some(wanted) => Some(bind(wanted).context("`metrics.listen`")?),
            None => None,
        };
        let max_header_bytes = config.http.max_header_bytes;
        let config = SharedConfig::new(config);
        let limits = Limits {
            max_header_bytes,
            config: config.clone(),
            outpost_base_path: environment.outpost_base_path.clone().into(),
        };
        let waiting = database::Listeners { api: &listener, tls: tls.as_ref(), operators: operators.as_ref() };
        let store = database::open(&database_url, &keys, &waiting, limits.clone()).await?;
        let log_handlers = StoredLogHandlers::new(
            store.clone(),
            log_handlers::of_this_process(),
            config.clone(),
            environment.smtp_login.clone(),
        );
        log_handlers.synchronise().await.context("failed to read the stored log handlers")?;
        file_limit::raise();
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
        let descriptions = SharedCatalogue::new(config.current());
        let place = Place {
            stage: environment.stage.clone(),
            deployment_name: environment.deployment_name.clone(),
            namespace: environment.deployment_namespace.clone(),
        };
        let end_date_check_seconds = environment.end_date_check_seconds;
        let rule_files = RuleFiles::new(&environment, &config.current());
        let rules = rule_files.shared.clone();
        let reloader = Reloader::new(config_file, config.clone(), descriptions.clone(), place, rule_files);
        let looking = reloader.clone();
        let first_look = tokio::task::spawn_blocking(move || looking.reload());
        let hangups = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
        let handlers = log_handlers::of_this_process();
        let metrics_page = Arc::new(MetricsPage::new(store.clone(), cluster.clone(), handlers.clone()));
        let leader = leader(&store, &cluster, &config.current(), &site);
        let user_jobs =
            UserJobs::new(store.clone(), cluster.clone(), config.clone(), user_jobs_site(&environment, &site));
        user_jobs.begin().await.context("failed to look at the stored user jobs")?;
        let notices = Notices::new(&config.current().tunnel, &environment, store.clone(), clock.clone());
        let services = Services::new(store.clone(), cluster.clone(), config.clone(), descriptions, site, clock.clone());
        let is_on_one_machine = crate::cluster::is_on_this_machine(kubeconfig.as_deref()).await;
        let health = Arc::new(conditions::all(conditions::Parts {
            store: store.clone(),
            cluster: cluster.clone(),
            services: services.clone(),
            user_jobs: user_jobs.clone(),
            log_handlers: handlers,
            reloader: reloader.clone(),
            leader: leader.clone(),
            tls: tls.clone(),
            notices: notices.clone(),
            namespace: environment.deployment_namespace.clone(),
        }));
        // From here on nothing is missed.
        let service_changes = store.changes().await;
        services.remember_all().await.context("failed to read the stored services")?;
        services.watch_what_runs();
        let mut telling = telling::begin(telling::Parts {
            config: config.clone(),
            cluster,
            store: store.clone(),
            leader: leader.clone(),
            clock,
            services: services.clone(),
            notices,
            flavors: flavors_of(services.clone(), rules.clone()),
            environment: environment.clone(),
            is_on_one_machine,
        });
        let authenticator = Arc::new(Authenticator::new(store.clone()));

        let shutdown_delay = match store.is_shared() {
            true => Duration::from_secs(config.current().http.shutdown_delay_seconds),
            false => Duration::ZERO,
        };
        // Starts get a description with the configuration that it was seen with. A file system that hangs is not waited for.
        let _ = tokio::time::timeout(FIRST_LOOK, first_look).await;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (end, ended) = watch::channel(false);
        let api = Api {
            services: services.clone(),
            user_jobs: user_jobs.clone(),
            authenticator,
            users: Users::new(store.clone()),
            log_handlers: log_handlers.clone(),
            config,
            health: health.clone(),
            metrics_page,
            rules: rules.clone(),
            outpost_base_path: environment.outpost_base_path.clone().into(),
        };
        let operators = operators
            .map(|listener| serve_operators(listener, api.clone(), limits.clone(), ended.clone()))
            .transpose()?;
        let server = tokio::spawn(Server::new(listener, routes(api), limits).with_tls(tls.clone()).run(ended));
        let recovered = services.clone();
        let recovery = tokio::spawn(leader.clone().while_leading(move || recover_forever(recovered.clone())));
        let (ended, end_date_check) = (services.clone(), end_date_check_seconds);
        let ending = move || end_services_forever(ended.clone(), rules.clone(), end_date_check);
        let ending = tokio::spawn(leader.clone().while_leading(ending));
        telling.push(tokio::spawn(stop_unanswered_forever(services.clone(), leader.clone())));
        let forwarded = user_jobs.clone();
        let forwarding = tokio::spawn(leader.clone().while_leading(move || user_jobs::lead(forwarded.clone())));
        let service_changes = tokio::spawn(follow_changes(services.clone(), service_changes));
        let log_changes = tokio::spawn(log_handlers.follow_forever());
        let changes = tokio::spawn(follow_forever(reloader.clone(), tls, hangups));
        let upkeep = tokio::spawn(crate::metrics::upkeep_forever());
        tracing::info!(%address, "listening");
        Ok(Self {
            address,
            end,
            server,
            recovery,
            ending,
            telling,
            service_changes,
            log_changes,
            upkeep,
            operators,
            health,
            changes,
            reloader,
            shutdown_delay,
            leader,
            store,
            services,
            user_jobs,
            forwarding,
            _process_lock: process_lock,
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

    /// Gives the leadership to another process, finishes what is under way while polls are answered, then takes no more
    /// requests, lets the open ones finish and ends. What is not done by then is done by `recover`, here or elsewhere.
    pub async fn shut_down(self) -> anyhow::Result<()> {
        let work_ends = Deadline::after(LONGEST_WORK);
        self.health.begin_end();
        self.services.announce_end();
        self.user_jobs.announce_end();
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
        // It leads no more, and so has let go of its connections.
        self.user_jobs.ended().await;
        let mut tasks = vec![
            self.recovery,
            self.ending,
            self.forwarding,
            self.service_changes,
            self.log_changes,
            self.changes,
            self.upkeep,
        ];
        tasks.extend(self.telling);
        tasks.iter().for_each(JoinHandle::abort);
        // Their connections are closed with them: whoever looks at the database's files next finds them at rest.
        for task in tasks {
            let _ = task.await;
        }
        self.store.end_changes().await;
        if let Some((_, operators)) = self.operators {
            operators.await.context("the server for metrics broke off")?;
        }
        served.context("the server broke off")
    }
}

fn bind(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(MOST_WAITING)?.into_std()
    };
    bound().with_context(|| format!("failed to listen on {address}"))
}

/// `/metrics`, `/livez` and `/readyz` on an address of their own.
fn serve_operators(
    listener: std::net::TcpListener,
    api: Api,
    limits: Limits,
    ended: watch::Receiver<bool>,
) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    Ok((address, tokio::spawn(Server::new(listener, operators_routes(api), limits).run(ended))))
}

fn leader(store: &Store, cluster: &Cluster, config: &Config, site: &Site) -> Leader {
    if !store.is_shared() {
        return Leader::alone();
    }
    let settings = &config.leader_election;
    Leader::elected(Election::new(settings, store.clone(), cluster.clone(), &site.namespace, &site.installation))
}

fn user_jobs_site(environment: &Environment, site: &Site) -> user_jobs::Site {
    user_jobs::Site {
        deployment_name: site.deployment_name.clone(),
        namespace: site.namespace.clone(),
        installation: site.installation.clone(),
        pod_name: environment.pod_name.clone(),
        ssh_config_file: environment.ssh_config_file.clone(),
    }
}

/// The figures that hubs are told, as GET /flavors/ gives them.
fn flavors_of(services: Arc<Services>, rules: SharedRules) -> FlavorsOf {
    Arc::new(move |hub: Credential| {
        let (services, rules) = (services.clone(), rules.clone());
        Box::pin(async move {
            let counts = services.flavor_counts(&hub).await?;
            match rules.current().flavors_answer(&hub, None, &counts)? {
                Answered::Json(text) => Ok(text),
                Answered::Unreadable => Err("the file with the flavors is bad".into()),
            }
        })
    })
}

async fn create_users(store: &Store, config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let superuser = environment.superuser_password.clone();
    create_startup_users(store, superuser, &config.startup.create_user, |name| {
        environment.user_password(name).cloned()
    })
    .await
    .context("failed to create the users of startup.create_user")?;
    create_hubs(store, &environment.outpost_users).await.context("failed to create the users of `usernames`")
}
