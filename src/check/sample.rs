//! A start as a hub might ask for it, for a description to be rendered with. Its values are the awkward ones that hubs
//! really send: an id as long as ids become that begins with a digit, and a user id of some digits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::description::Chosen;
use crate::description::environment::{EnvironmentError, secret_data};
use crate::domain::outpost::OutpostStart;
use crate::domain::{Credential, Json, NameError, ObjectId, OutpostName, ServerName, ServiceName, StartId};
use crate::services::StartRequest;

/// A uuid, as hubs name servers; with the start id it makes an id of 47 characters.
pub const SERVER_NAME: &str = "0123456789abcdef0123456789abcdef";
pub const START_ID: &str = "check-sample-1";
pub const USER_ID: i64 = 1_234_567;

/// What the pod of a sample start is called where the hub says how.
pub const POD_NAME: &str = "jupyter-ada-2el-40example-2eorg---4dy-20-4cab";

/// The variables that the reference hub's spawner sends.
const VARIABLES: [&str; 12] = [
    "JUPYTERHUB_ACTIVITY_URL",
    "JUPYTERHUB_API_TOKEN",
    "JUPYTERHUB_API_URL",
    "JUPYTERHUB_BASE_URL",
    "JUPYTERHUB_CLIENT_ID",
    "JUPYTERHUB_HOST",
    "JUPYTERHUB_SERVER_NAME",
    "JUPYTERHUB_SERVICE_PREFIX",
    "JUPYTERHUB_SERVICE_URL",
    "JUPYTERHUB_STATUS_URL",
    "JUPYTERHUB_USER",
    "JPY_API_TOKEN",
];

/// The names of one sample start.
#[derive(Clone, Debug)]
pub struct Names {
    pub server_name: ServerName,
    pub start_id: StartId,
    pub id: ObjectId,
}

impl Names {
    pub fn new(server_name: &str, start_id: &str) -> Result<Self, NameError> {
        let (server_name, start_id) = (ServerName::parse(server_name)?, StartId::parse(start_id)?);
        let id = ObjectId::new(&server_name, &start_id);
        Ok(Self { server_name, start_id, id })
    }
}

/// `user_options.service` is the service's, whatever else is given.
pub fn user_options(service: &ServiceName, given: Option<&Json>) -> Json {
    let mut members = match given {
        Some(Json::Object(members)) => members.clone(),
        _ => Vec::new(),
    };
    members.retain(|(key, _)| key != "service");
    members.insert(0, ("service".to_owned(), Json::String(service.to_string())));
    Json::Object(members)
}

/// The environment of a sample start: what hubs send, the configured headers and `services.env`.
pub fn environment(config: &Config, names: &Names) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let text = |name: &str| (name.to_owned(), Json::String(format!("sample-{}", name.to_lowercase())));
    let mut members: Vec<_> = VARIABLES.into_iter().map(text).collect();
    members.push(("JUPYTERHUB_USER_ID".to_owned(), Json::Integer(USER_ID.to_string())));
    let headers: Vec<_> = config
        .custom_headers_keys
        .keys()
        .map(|name| (name.trim_start_matches("HTTP_").replace('_', "-"), "sample".to_owned()))
        .collect();
    secret_data(config, &Json::Object(members), &headers, names.server_name.as_str(), &names.id)
}

/// A start of `service` with the environment `env`.
pub fn request(
    config: Arc<Config>,
    credential: &Credential,
    service: &ServiceName,
    names: &Names,
    user_options: Json,
    env: BTreeMap<String, String>,
) -> StartRequest {
    // Where the hub may speak the other protocol, a template is rendered as for that.
    let is_outposts = config.outpost.contains_key(credential.as_str());
    StartRequest {
        credential: credential.clone(),
        server_name: names.server_name.clone(),
        start_id: names.start_id.clone(),
        object_id: names.id.clone(),
        service: service.clone(),
        jhub_user_id: USER_ID,
        user_options,
        env,
        certs: None,
        flavor: Ok(None),
        outpost: is_outposts.then(outpost),
        chosen: Chosen::from_disk(config),
        is_awaited: false,
    }
}

/// What a hub of Outpost's protocol expects of a sample start: names with signs that have to be escaped.
pub fn outpost() -> OutpostStart {
    let (name, username) = ("My Lab", "ada.l@example.org");
    OutpostStart {
        name: OutpostName::parse(name).unwrap_or_default(),
        username: username.to_owned(),
        name_label: "My-Lab-0123456789ab".to_owned(),
        username_label: "ada.l-example.org-0123456789ab".to_owned(),
        pod_name: POD_NAME.to_owned(),
        dns_name_template: "{name}.{namespace}.svc.cluster.local".to_owned(),
        port: 50_399,
        ip: "0.0.0.0".to_owned(),
        internal_ssl: true,
        has_certificates: true,
        services_enabled: true,
        labels: BTreeMap::from([("sample".to_owned(), "label".to_owned())]),
        misc: Json::empty_object(),
        start_timeout: Duration::from_secs(300),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_as_long_as_ids_become() {
        let names = Names::new(SERVER_NAME, START_ID).unwrap();
        assert_eq!(names.id.as_str(), format!("{SERVER_NAME}-{START_ID}"));
        assert_eq!(names.id.as_str().len(), 47);
    }
}
