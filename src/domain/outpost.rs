//! What a hub of Outpost's protocol said of a start, checked: for whoever renders its description and looks for its server.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Json, OutpostName};

/// Names and address of a server as its hub expects them. Nothing in here is secret.
#[derive(Clone, Debug, PartialEq)]
pub struct OutpostStart {
    /// As the hub knows the server; empty for a user's default one.
    pub name: OutpostName,
    /// `JUPYTERHUB_USER`.
    pub username: String,
    /// Both as values of labels.
    pub name_label: String,
    pub username_label: String,
    /// What the pod and the Service should be called: where no address is answered, the hub looks for the server there.
    pub pod_name: String,
    /// `{name}` and `{namespace}` of a Service become the host that the hub is told.
    pub dns_name_template: String,
    pub port: u16,
    /// What the server should listen on.
    pub ip: String,
    /// The hub speaks TLS with the server.
    pub internal_ssl: bool,
    /// The hub sent certificates: there is a Secret with them.
    pub has_certificates: bool,
    pub services_enabled: bool,
    /// Labels that pod and Service should have.
    pub labels: BTreeMap<String, String>,
    /// All of `misc` that is admitted.
    pub misc: Json,
    /// How long the server may take to come up.
    pub start_timeout: Duration,
}

impl OutpostStart {
    /// The host of a Service of this name.
    pub fn host(&self, service: &str, namespace: &str) -> String {
        self.dns_name_template.replace("{name}", service).replace("{namespace}", namespace)
    }

    pub fn scheme(&self) -> &'static str {
        if self.internal_ssl { "https" } else { "http" }
    }
}
