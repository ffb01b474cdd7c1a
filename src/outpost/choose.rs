//! Which service description a start is made from.

use crate::config::Outpost;
use crate::domain::{Credential, Json, NameError, ServiceName};

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    #[error("user_options.{0} must be a text")]
    NoText(&'static str),
    #[error("user_options.service: {0}")]
    Service(NameError),
    #[error(
        "It is not said what to start: user_options.service is missing, and outpost.{credential} in the configuration of \
         K8s Manager has no default_service{}",
        profile.as_ref().map(|it| format!(" and no profile `{it}`")).unwrap_or_default()
    )]
    Nothing { credential: String, profile: Option<String> },
}

/// `user_options.service`, else what `user_options.profile` stands for, else the hub's default.
pub fn service(credential: &Credential, user_options: &Json, settings: &Outpost) -> Result<ServiceName, ChoiceError> {
    if let Some(service) = text(user_options, "service")? {
        return ServiceName::parse(service).map_err(ChoiceError::Service);
    }
    let profile = text(user_options, "profile")?;
    let by_profile = profile.and_then(|it| settings.profiles.get(it));
    let chosen = by_profile.or(settings.default_service.as_ref()).map(|it| it.0.clone());
    chosen.ok_or_else(|| ChoiceError::Nothing {
        credential: credential.to_string(),
        profile: profile.map(|it| it.escape_debug().take(100).collect()),
    })
}

/// Nothing, `null` and an empty text choose nothing.
fn text<'a>(user_options: &'a Json, key: &'static str) -> Result<Option<&'a str>, ChoiceError> {
    match user_options.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.as_str()).filter(|it| !it.is_empty())),
        Some(_) => Err(ChoiceError::NoText(key)),
    }
}
