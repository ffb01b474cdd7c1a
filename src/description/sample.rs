//! Tries a description out as a start would use it, for every credential that may, to see whether it is good.

use super::catalogue::Place;
use super::find::Key;
use super::handlebars::TemplateError;
use super::snapshot::Snapshot;
use super::{DescriptionError, DescriptionRequest, prepare_from};
use crate::config::Config;
use crate::domain::{Credential, Json, ObjectId, ServerName, StartId};

/// Why starts from this description would fail; `None` where they would not, as far as can be told.
pub fn problem(snapshot: &Snapshot, key: &Key, config: &Config, place: &Place) -> Option<String> {
    credentials(&key.0, config).iter().find_map(|credential| problem_for(snapshot, key, config, place, credential))
}

/// All whose descriptions are in this folder.
fn credentials(folder: &str, config: &Config) -> Vec<Credential> {
    let mapping = &config.services.credential_mapping;
    let mapped = mapping.iter().filter(|(_, to)| to.as_str() == folder).map(|(credential, _)| credential.as_str());
    let own = (!mapping.contains_key(folder)).then_some(folder);
    own.into_iter().chain(mapped).filter_map(|it| Credential::parse(it).ok()).collect()
}

fn problem_for(
    snapshot: &Snapshot,
    key: &Key,
    config: &Config,
    place: &Place,
    credential: &Credential,
) -> Option<String> {
    let (server_name, start_id) = (ServerName::parse("sample").ok()?, StartId::parse("1").ok()?);
    let user_options = Json::Object(vec![("service".to_owned(), Json::String(key.1.to_string()))]);
    let tried = prepare_from(
        snapshot,
        &DescriptionRequest {
            config,
            stage: place.stage.as_deref(),
            deployment_name: &place.deployment_name,
            namespace: &place.namespace,
            credential,
            server_name: &server_name,
            start_id: &start_id,
            id: &ObjectId::new(&server_name, &start_id),
            service: &key.1,
            user_id: 1,
            user_options: &user_options,
            env_names: &[],
            flavor: None,
            resources: None,
            outpost: None,
        },
    );
    match tried.err()? {
        // What a template makes of a request depends on what a user chose.
        DescriptionError::Template(TemplateError::Render { .. }) => None,
        DescriptionError::Manifest(_) | DescriptionError::Workload(_) if snapshot.is_template(config) => None,
        error => Some(error.to_string()),
    }
}
