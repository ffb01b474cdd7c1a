//! Taking over what the reference implementation keeps: users, tokens, services that run, log handlers, user jobs.
//!
//! Users come first: a service without a user would be stopped.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret;

use super::report::{Outcome, Report};
use crate::auth::{ImportedHash, imported_hash, imported_token, token_hash};
use crate::domain::group::Group;
use crate::domain::user_job::ports_from_text;
use crate::domain::{
    Credential, ForwardedPort, Json, NewUserJob, ServerName, ServiceName, StartId, UserJob, UserJobState,
};
use crate::log_handlers::{Configuration, HandlerKind};
use crate::services::{Adopted, Adoption, Services};
use crate::store::{
    LogHandlerRow, ReferenceDatabase, ReferenceLogHandler, ReferenceService, ReferenceToken, ReferenceUser,
    ReferenceUserJob, Store, StoreError, TokenAdded, User,
};

/// The label of tokens that were taken over.
const TOKEN_LABEL: &str = "imported";
/// What a new database has, before anybody changed it.
const DEFAULT_STREAM: &str = r#"{"level":10,"formatter":"simple","stream":"ext://sys.stdout"}"#;

/// What an import needs.
pub struct Import {
    pub store: Store,
    pub services: Arc<Services>,
    /// The folder with the rendered files of all services.
    pub base: PathBuf,
    /// Only tell what would be done.
    pub is_dry: bool,
}

/// Takes over all that can be. Fails only where our own database does.
pub async fn import(reference: &ReferenceDatabase, import: &Import) -> Result<Report, StoreError> {
    let mut report = Report::default();
    for user in &reference.users {
        report.add("user", &user.name, import.user(user).await?);
    }
    for token in &reference.tokens {
        report.add("token", format!("of {}", token.user), import.token(token).await?);
    }
    for service in &reference.services {
        let name = format!("{} {} ({})", service.credential, service.server_name, service.start_id);
        report.add("service", name, import.service(service, reference).await);
    }
    for handler in &reference.log_handlers {
        report.add("log handler", &handler.handler, import.log_handler(handler).await?);
    }
    for job in &reference.user_jobs {
        report.add("user job", format!("{} {}", job.credential, job.service), import.user_job(job).await?);
    }
    Ok(report)
}

fn taken() -> Outcome {
    Outcome::Taken(String::new())
}

fn not_taken(reason: impl Into<String>) -> Outcome {
    Outcome::NotTaken(reason.into())
}

impl Import {
    async fn user(&self, user: &ReferenceUser) -> Result<Outcome, StoreError> {
        let Ok(name) = Credential::parse(&user.name) else {
            return Ok(not_taken("a user's name is letters, digits and @ . + - _, at most 150"));
        };
        let mut notes = Vec::new();
        let password_hash = match imported_hash(user.password.expose_secret()) {
            ImportedHash::Kept(hash) => Some(hash),
            ImportedHash::NoPassword => {
                notes.push("it has no password: only tokens let it in".to_owned());
                None
            }
            ImportedHash::Unknown(method) => {
                let text = "its password cannot be taken (hashed by";
                notes.push(format!("{text} {method}): set one with `k8smgr user passwd {name}`"));
                None
            }
        };
        let (known, unknown): (Vec<_>, Vec<_>) = user.groups.iter().partition(|it| it.parse::<Group>().is_ok());
        if !unknown.is_empty() {
            let names: Vec<&str> = unknown.iter().map(|it| it.as_str()).collect();
            notes.push(format!("groups without a meaning here are left out: {}", names.join(", ")));
        }
        if self.store.user(name.as_str()).await?.is_some() {
            return Ok(Outcome::ThereAlready);
        }
        if self.is_dry {
            return Ok(Outcome::Taken(notes.join("; ")));
        }
        let user = User {
            name,
            password_hash,
            is_superuser: user.is_superuser,
            is_active: user.is_active,
            groups: known.iter().filter_map(|it| it.parse().ok()).collect(),
        };
        Ok(match self.store.insert_user(&user).await? {
            true => Outcome::Taken(notes.join("; ")),
            false => Outcome::ThereAlready,
        })
    }

    async fn token(&self, token: &ReferenceToken) -> Result<Outcome, StoreError> {
        let key = match imported_token(token.key.expose_secret()) {
            Ok(key) => key,
            Err(error) => return Ok(not_taken(error.to_string())),
        };
        let hash = token_hash(&key);
        match self.store.user_by_token_hash(&hash).await? {
            Some(owner) if owner.name.as_str() == token.user => return Ok(Outcome::ThereAlready),
            Some(owner) => return Ok(not_taken(format!("user {} has this token already", owner.name))),
            None if self.is_dry => return Ok(taken()),
            None => {}
        }
        Ok(match self.store.add_token(&token.user, &hash, TOKEN_LABEL).await? {
            TokenAdded::Added => taken(),
            TokenAdded::NoSuchUser => not_taken("its user was not taken"),
            TokenAdded::Exists => not_taken(format!(
                "the user has another token labelled `{TOKEN_LABEL}`; revoke it with \
                 `k8smgr user token {} --revoke --label {TOKEN_LABEL}`",
                token.user
            )),
        })
    }

    async fn service(&self, service: &ReferenceService, reference: &ReferenceDatabase) -> Outcome {
        let adoption = match self.checked(service) {
            Ok(adoption) => adoption,
            Err(reason) => return not_taken(reason),
        };
        // A dry run has not taken the user.
        let comes_with_its_user = reference.users.iter().any(|it| it.name == service.credential);
        match self.services.adopt(&adoption, self.is_dry && comes_with_its_user, self.is_dry).await {
            Ok(Adopted::Taken { objects, notes }) => {
                let stops = adoption.is_stopping.then(|| "its stop is finished when the service runs".to_owned());
                let all = std::iter::once(format!("{objects} objects")).chain(notes).chain(stops);
                Outcome::Taken(all.collect::<Vec<_>>().join("; "))
            }
            Ok(Adopted::ThereAlready) => Outcome::ThereAlready,
            Err(error) => not_taken(error.to_string()),
        }
    }

    fn checked(&self, service: &ReferenceService) -> Result<Adoption, String> {
        let bad = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        let user_options = Json::parse(service.user_options.as_bytes()).map_err(|it| bad("user_options", &it))?;
        let name = user_options.get("service").and_then(Json::as_str).ok_or("user_options has no service")?;
        Ok(Adoption {
            credential: Credential::parse(&service.credential).map_err(|it| bad("credential", &it))?,
            server_name: ServerName::parse(&service.server_name).map_err(|it| bad("servername", &it))?,
            start_id: StartId::parse(&service.start_id).map_err(|it| bad("start_id", &it))?,
            service: ServiceName::parse(name).map_err(|it| bad("user_options.service", &it))?,
            user_options,
            jhub_user_id: service.jhub_user_id,
            start_date: start_date(&service.start_date).ok_or("its start date cannot be read")?,
            is_stopping: service.is_stopping,
            base: self.base.clone(),
        })
    }

    async fn log_handler(&self, handler: &ReferenceLogHandler) -> Result<Outcome, StoreError> {
        let Some(kind) = HandlerKind::named(&handler.handler) else {
            return Ok(not_taken("there are the handlers stream, file, smtp and syslog"));
        };
        let Ok(given) = Json::parse(handler.configuration.as_bytes()) else {
            return Ok(not_taken("its configuration is no JSON"));
        };
        let wanted = match Configuration::merged(kind, None, Some(&given)) {
            Ok(configuration) => configuration.json,
            Err(reason) => return Ok(not_taken(reason)),
        };
        let rows = self.store.log_handlers().await?;
        let Some(LogHandlerRow { configuration: present, .. }) = rows.iter().find(|it| it.handler == handler.handler)
        else {
            let added = self.is_dry || self.store.insert_log_handler(&handler.handler, &wanted).await?;
            return Ok(if added { taken() } else { Outcome::ThereAlready });
        };
        if is_same(present, &wanted) {
            return Ok(Outcome::ThereAlready);
        }
        let is_untouched = Json::parse(DEFAULT_STREAM.as_bytes()).is_ok_and(|default| is_same(present, &default));
        if !is_untouched {
            return Ok(not_taken("it is configured otherwise here, and left as it is"));
        }
        let replaced = self.is_dry || self.store.replace_log_handler(&handler.handler, present, &wanted).await?;
        Ok(if replaced { taken() } else { not_taken("somebody changes it at the same time") })
    }

    async fn user_job(&self, job: &ReferenceUserJob) -> Result<Outcome, StoreError> {
        let Ok(credential) = Credential::parse(&job.credential) else {
            return Ok(not_taken("its user was not taken"));
        };
        let Some(ports) = ports_from_text(&job.ports) else {
            return Ok(not_taken("its ports cannot be read"));
        };
        let new = NewUserJob {
            credential,
            service: job.service.clone(),
            hostname: job.hostname.clone(),
            target_node: job.target_node.clone(),
            ports,
            state: UserJobState::Running,
            owner: None,
            token: String::new(),
        };
        let present = self.store.user_job(&new.credential, &new.service).await?;
        if present.as_ref().is_some_and(|it| is_same_job(it, &new)) {
            return Ok(Outcome::ThereAlready);
        }
        let added = present.is_none() && (self.is_dry || self.store.insert_user_job(&new).await?.is_some());
        Ok(match added {
            true => Outcome::Taken("its forwards are made when the service runs".to_owned()),
            false => not_taken("there is another job of this service"),
        })
    }
}

/// Django keeps UTC without saying so.
pub(super) fn start_date(text: &str) -> Option<Timestamp> {
    let naive = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|it| it.timestamp());
    text.parse::<Timestamp>().ok().or_else(naive)
}

/// Whether a job is the one that is to be taken, whatever became of its local ports since.
fn is_same_job(present: &UserJob, new: &NewUserJob) -> bool {
    let ends = |ports: &[ForwardedPort]| ports.iter().map(|it| (it.wanted, it.remote)).collect::<Vec<_>>();
    let target = (&present.hostname, &present.target_node) == (&new.hostname, &new.target_node);
    target && ends(&present.ports) == ends(&new.ports)
}

/// Whether two objects have the same members, in whatever order.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Object(one), Json::Object(other_members)) => {
            one.len() == other_members.len() && one.iter().all(|(key, value)| other.get(key) == Some(value))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_both_databases_are_read() {
        let expected: Timestamp = "2026-11-20T11:36:30.41584Z".parse().unwrap();
        for text in ["2026-11-20 11:36:30.415840", "2026-11-20T11:36:30.415840Z", "2026-11-20 12:36:30.415840+01:00"] {
            assert_eq!(start_date(text), Some(expected), "{text}");
        }
        assert_eq!(start_date("2026-11-20 11:36:30"), "2026-11-20T11:36:30Z".parse().ok());
        assert_eq!(start_date("yesterday"), None);
    }
}
