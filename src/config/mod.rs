//! config.json and the environment, as types: read, checked and documented here, one file a section.
//!
//! Pure data once loaded. The doc comment of a field is its entry in `docs/configuration.md` and in the JSON schema:
//! what it does, its unit, and (last) whether a reload applies it. Nothing here logs or watches.

mod changes;
mod cleanup;
pub mod environment;
mod http;
mod hubs;
mod keywords;
mod leader_election;
mod load;
mod logs;
mod metrics;
mod name_pattern;
mod ordered_values;
mod outpost;
mod progress_messages;
mod secret_url;
mod services;
mod shared;
mod startup;
mod status_information;
mod tls;
mod tunnel;
mod unknown_keys;
mod user_jobs;
mod userhomes;
mod values;

pub mod reference;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cleanup::{Cleanup, CleanupHub};
pub use environment::Environment;
pub use http::Http;
pub use hubs::{ApiUrl, Hub};
pub use keywords::{Keywords, Replace};
pub use leader_election::{ElectionMethod, LeaderElection};
pub use load::{ConfigError, Loaded};
pub use logs::Logs;
pub use metrics::Metrics;
pub use name_pattern::NamePattern;
pub use ordered_values::OrderedValues;
pub use outpost::{AdmittedValues, DescriptionPath, Outpost};
pub use progress_messages::{Message, ProgressMessages};
pub use secret_url::SecretUrl;
pub use services::{Services, Skip, Ssl};
pub use shared::SharedConfig;
pub use startup::Startup;
pub use status_information::StatusInformation;
pub use tls::{ClientCertificates, Tls};
pub use tunnel::{CertificatePath, Tunnel, TunnelStage};
pub use unknown_keys::{UnknownKey, unknown_keys};
pub use user_jobs::UserJobs;
pub use userhomes::UserHomes;
pub use values::{FileName, FolderName, Indicators, ReplaceValue};

/// The configuration of K8s Manager, read from the file that `CONFIG_PATH` or `--config` names. Without a file all defaults apply.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// How services are described, started and watched.
    pub services: Services,
    /// Where the persistent data of users lives.
    pub userhomes: UserHomes,
    /// User jobs: ports of the nodes of an HPC system, reached through ssh. The variable SSHCONFIGFILE names the ssh
    /// configuration; without it there are none.
    pub userjobs: UserJobs,
    /// The hubs to be told that K8s Manager has started, so that they make their tunnels again. Restart.
    pub tunnel: Vec<Tunnel>,
    /// How hubs, by their logins, are told of their users' starts. One that is not named here is told by the defaults.
    pub hubs: BTreeMap<String, Hub>,
    pub progress_messages: ProgressMessages,
    /// Hubs that speak Outpost's protocol (`/services`), by their logins.
    pub outpost: BTreeMap<String, Outpost>,
    /// flavors.yaml of JupyterHub Outpost: what users may start, how many of it and for how long. Where it says anything, every
    /// start has to name a flavor of it (`user_options.flavor`). Its changes apply at once; one that is bad is kept out. The
    /// environment's OUTPOST_FLAVORS_PATH comes first. Without a file nothing is limited. Reload.
    pub flavors_file: Option<PathBuf>,
    /// credits.yaml of JupyterHub Outpost, which hubs ask for; K8s Manager only hands it on. The environment's
    /// OUTPOST_CREDITS_PATH comes first. Reload.
    pub credits_file: Option<PathBuf>,
    /// Most services that a user of a hub may have at a time, whatever their flavors. Only where there is a `flavors_file`.
    /// Without it there is no such limit. Reload.
    pub global_max_per_user: Option<u32>,
    /// How often services are looked at whose flavor has a `runtime`, in seconds: one whose time is over is stopped. 0: never.
    /// The environment's CHECK_ENDDATES and JUPYTERHUB_CHECK_ENDDATES_SLEEP_TIMER come first. Reload.
    pub end_date_check_seconds: u64,
    /// What is done once at the start of K8s Manager.
    pub startup: Startup,
    /// Headlines shown to users instead of the built-in ones, by the place that fails: `services.utils.common.start_service_2`
    /// (`Could not start service`), `services.utils.common.stop_service`, `services.utils.status_service`
    /// (`Could not check status service.`), `services.utils.update_service` (`Could not update service.`). Reload.
    pub error_messages: BTreeMap<String, String>,
    /// The request headers that go into a service's environment: from the header, written as `HTTP_X_EXTRA` for
    /// `X-Extra`, to the key in the Secret. What is given here replaces the default. Reload.
    pub custom_headers_keys: BTreeMap<String, String>,
    /// Bounds of what is read from clients.
    pub http: Http,
    /// What log handlers, which are changed over the API, may write to.
    pub logs: Logs,
    /// How several K8s Managers on one PostgreSQL database agree on the one that does the background work. One on
    /// SQLite is alone.
    pub leader_election: LeaderElection,
    /// The page `/metrics` for Prometheus.
    pub metrics: Metrics,
    /// HTTPS instead of HTTP, TLS 1.2 and 1.3. The files are followed: new contents apply to new connections as soon as
    /// they are good, open connections go on, and bad contents are kept out.
    pub tls: Tls,
    /// Address and port to listen on; `--listen` comes first. Without any `127.0.0.1:8080`, with TLS `127.0.0.1:8443`. In
    /// a pod that is `0.0.0.0:8080`. Restart.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    /// The database: `sqlite:///path/to/file.sqlite3` or `postgresql://user:password@host:5432/name`; `--database-url`
    /// and the environment come first, which is the better place for a password. Without any: a file
    /// `k8smgr.sqlite3` in the working directory. Restart.
    #[schemars(with = "Option<String>")]
    pub database_url: Option<SecretUrl>,
}

impl Default for Config {
    fn default() -> Self {
        let headers = [("HTTP_ACCESS_TOKEN", "access-token"), ("HTTP_UUIDCODE", "uuidcode")];
        Self {
            services: Services::default(),
            userhomes: UserHomes::default(),
            userjobs: UserJobs::default(),
            tunnel: Vec::new(),
            hubs: BTreeMap::new(),
            progress_messages: ProgressMessages::default(),
            outpost: BTreeMap::new(),
            flavors_file: None,
            credits_file: None,
            global_max_per_user: None,
            end_date_check_seconds: 60,
            startup: Startup::default(),
            error_messages: BTreeMap::new(),
            custom_headers_keys: headers.map(|(header, key)| (header.to_owned(), key.to_owned())).into(),
            http: Http::default(),
            logs: Logs::default(),
            leader_election: LeaderElection::default(),
            metrics: Metrics::default(),
            tls: Tls::default(),
            listen: None,
            database_url: None,
        }
    }
}

impl Config {
    /// Where to listen, with TLS or without.
    pub fn listen(&self, has_tls: bool) -> SocketAddr {
        let port = if has_tls { 8443 } else { 8080 };
        self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// The headline for a failure: the operator's text for `place`, else the built-in one.
    pub fn error_message<'a>(&'a self, place: &str, built_in: &'a str) -> &'a str {
        self.error_messages.get(place).map_or(built_in, String::as_str)
    }
}
