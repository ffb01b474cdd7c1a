//! From a request of Outpost's protocol to a start of a description: `choose -> overrides -> names -> StartRequest`.
//!
//! Pure: no client, no disk but the descriptions in memory, no HTTP. What is wrong is told in words for the user, since
//! OutpostSpawner shows them.

mod choose;
mod labels;
mod overrides;
mod templates;

use std::collections::BTreeMap;

pub use self::choose::ChoiceError;
pub use self::templates::NameTemplateError;

use self::overrides::Misc;
use self::templates::Properties;
use crate::config::{Config, Outpost};
use crate::description::Chosen;
use crate::description::environment::{EnvironmentError, secret_data};
use crate::domain::outpost::OutpostStart;
use crate::domain::{Credential, Json, ObjectId, OutpostName, ServerName, ServiceName, StartId};
use crate::flavors::{Authentication, AuthenticationError, Rules, Wanted};
use crate::services::StartRequest;

/// What KubeSpawner listens on where nobody says otherwise.
const DEFAULT_PORT: u16 = 8888;
/// Where KubeSpawner mounts the certificates.
const SSL_FOLDER: &str = "/etc/jupyterhub/ssl";
/// The variables that name them, and the keys of the Secret.
const SSL_FILES: [(&str, &str); 3] = [
    ("JUPYTERHUB_SSL_KEYFILE", "ssl.key"),
    ("JUPYTERHUB_SSL_CERTFILE", "ssl.crt"),
    ("JUPYTERHUB_SSL_CLIENT_CA", "notebooks-ca_trust.crt"),
];

/// The body of a start, of checked types. No `Debug`: it holds tokens.
#[derive(Clone)]
pub struct StartBody {
    pub name: OutpostName,
    pub start_id: StartId,
    /// `JUPYTERHUB_USER_ID`, else 0.
    pub user_id: i64,
    /// An object.
    pub env: Json,
    /// An object; without the start id.
    pub user_options: Json,
    /// Of the user's options, else of the body.
    pub flavor: Option<String>,
    /// An object.
    pub misc: Json,
    pub certificates: Option<Certificates>,
    /// What the hub says of the user, for the flavors. Never stored, never logged.
    pub authentication: Option<Json>,
}

/// PEM texts of a server whose hub encrypts internally. No `Debug`: one is a key.
#[derive(Clone)]
pub struct Certificates {
    pub key: String,
    pub certificate: String,
    /// The authorities of the hub and of its servers.
    pub trusted: String,
}

impl Certificates {
    fn into_data(self) -> BTreeMap<String, String> {
        let texts = [self.key, self.certificate, self.trusted];
        SSL_FILES.iter().zip(texts).map(|((_, file), text)| ((*file).to_owned(), text)).collect()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    #[error(transparent)]
    Template(#[from] NameTemplateError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
}

/// Where K8s Manager is, and how it finds a description.
pub struct Place<'a, C> {
    pub config: &'a Config,
    pub rules: &'a Rules,
    /// Where objects without a namespace go.
    pub namespace: &'a str,
    pub choose: C,
}

/// A start as `services` take it. `headers` are all of the request's.
pub fn start_request<C>(
    place: Place<'_, C>,
    credential: &Credential,
    body: StartBody,
    headers: &[(String, String)],
) -> Result<StartRequest, RequestError>
where
    C: FnOnce(&Credential, &ServiceName) -> Chosen,
{
    let Place { config, rules, namespace, choose } = place;
    let defaults = Outpost::default();
    let settings = config.outpost.get(credential.as_str()).unwrap_or(&defaults);
    let service = choose::service(credential, &body.user_options, settings)?;
    let misc = overrides::admitted(credential, settings, &body.misc);
    let outpost = outpost_start(&body, Misc(&misc), settings, namespace)?;
    let user = body.authentication.as_ref().map(Authentication::read).transpose()?.flatten();
    let flavor = rules.claim(&Wanted {
        hub: credential,
        server_name: body.name.as_str(),
        flavor: body.flavor.as_deref(),
        user: user.as_ref(),
        sends_authentication: settings.sends_authentication,
        global_max_per_user: config.global_max_per_user,
    })?;
    let server_name = ServerName::of_outpost(&body.name, &body.start_id);
    let object_id = ObjectId::of_outpost(credential, &body.name, &body.start_id);
    let chosen = choose(credential, &service);
    let env = environment(&body.env, outpost.has_certificates);
    let headers: Vec<_> = headers.iter().filter(|(name, _)| !is_secret(name)).cloned().collect();
    let env = secret_data(&chosen.config, &env, &headers, body.name.as_str(), &object_id)?;
    Ok(StartRequest {
        credential: credential.clone(),
        server_name,
        start_id: body.start_id,
        object_id,
        service,
        jhub_user_id: body.user_id,
        user_options: body.user_options,
        env,
        certs: body.certificates.map(Certificates::into_data),
        flavor,
        outpost: Some(outpost),
        is_awaited: false,
        chosen,
    })
}

/// The hub's secrets about a user, which are for nobody.
fn is_secret(header: &str) -> bool {
    header.to_ascii_lowercase().starts_with("auth-state-")
}

fn outpost_start(
    body: &StartBody,
    misc: Misc<'_>,
    settings: &Outpost,
    namespace: &str,
) -> Result<OutpostStart, NameTemplateError> {
    let username = body.env.get("JUPYTERHUB_USER").map(Json::python_str).unwrap_or_default();
    let properties = Properties { username: &username, name: body.name.as_str(), user_id: body.user_id, namespace };
    let has_certificates = body.certificates.is_some();
    let dns_name_template = misc.text("dns_name_template").unwrap_or(templates::DNS_NAME);
    templates::check_dns_name(dns_name_template)?;
    let port = misc.port().or_else(|| port_of(&body.env)).unwrap_or(DEFAULT_PORT);
    Ok(OutpostStart {
        name: body.name.clone(),
        name_label: labels::value(body.name.as_str()),
        username_label: labels::value(&username),
        pod_name: templates::pod_name(misc.text("pod_name_template").unwrap_or(templates::POD_NAME), &properties)?,
        dns_name_template: dns_name_template.to_owned(),
        port,
        ip: misc.text("ip").unwrap_or("0.0.0.0").to_owned(),
        internal_ssl: has_certificates || misc.boolean("internal_ssl").unwrap_or_default(),
        has_certificates,
        services_enabled: misc.boolean("services_enabled").unwrap_or_default(),
        labels: labels::of_start(misc.get("extra_labels"), &properties)?,
        start_timeout: misc.start_timeout(settings),
        misc: misc.0.clone(),
        username,
    })
}

/// The port that the hub tells the server to listen on.
fn port_of(env: &Json) -> Option<u16> {
    let url: http::Uri = env.get("JUPYTERHUB_SERVICE_URL")?.as_str()?.parse().ok()?;
    url.port_u16().filter(|it| *it != 0)
}

/// The hub names files of its own machine; in a pod they are where the certificates are mounted, if there are any.
fn environment(env: &Json, has_certificates: bool) -> Json {
    let Json::Object(members) = env else { return env.clone() };
    let is_ssl = |key: &str| SSL_FILES.iter().any(|(name, _)| *name == key);
    let mut members: Vec<_> = members.iter().filter(|(key, _)| !is_ssl(key)).cloned().collect();
    if has_certificates {
        let files = SSL_FILES.iter().map(|(name, file)| ((*name).to_owned(), format!("{SSL_FOLDER}/{file}")));
        members.extend(files.map(|(name, path)| (name, Json::String(path))));
    }
    Json::Object(members)
}

#[cfg(test)]
mod tests;
