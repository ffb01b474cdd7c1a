//! Keyword replacement, the dialect of service.yaml.

use super::DescriptionRequest;
use super::names::{certs_secret_name, secret_name};
use crate::config::{Keywords, Replace};

/// The keywords of one start with their values, in the order in which they are replaced.
#[derive(Clone)]
pub struct Replacements<'a> {
    replace: &'a Replace,
    steps: Vec<(&'a str, String)>,
}

impl<'a> Replacements<'a> {
    pub fn new(request: &DescriptionRequest<'a>, input: String) -> Self {
        let replace = &request.config.services.replace;
        let user_id = request.user_id.to_string();
        let mut steps = vec![
            (replace.input_keyword.as_str(), input),
            (&replace.drfid_keyword, request.id.to_string()),
            (&replace.uniqueuserid_keyword, format!("{}_{user_id}", request.credential)),
            (&replace.userid_keyword, user_id),
            (&replace.secretname_keyword, secret_name(request.id, request.deployment_name)),
            (&replace.secretcertsname_keyword, certs_secret_name(request.id, request.deployment_name)),
            (&replace.namespace_keyword, request.namespace.to_owned()),
        ];
        let own = own_keywords(replace, request.stage, request.credential.as_str());
        steps.extend(own.into_iter().map(|(keyword, value)| (keyword, value.to_owned())));
        Self { replace, steps }
    }

    /// Replaces one keyword after the other: the first that is found wins, a value may hold a later keyword, and
    /// what nobody knows stays.
    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (keyword, value) in &self.steps {
            let indicators = &self.replace.indicators;
            let marked = format!("{}{keyword}{}", indicators.open, indicators.close);
            if text.contains(&marked) {
                text = text.replace(&marked, value);
            }
        }
        text
    }
}

/// The operator's keywords that hold for a stage and a credential: by both, by stage, by credential.
pub fn own_keywords<'a>(replace: &'a Replace, stage: Option<&str>, credential: &str) -> Vec<(&'a str, &'a str)> {
    let by_both = stage.and_then(|stage| replace.stage_credential.get(stage)?.get(credential));
    let by_stage = stage.and_then(|stage| replace.stage.get(stage));
    let all = [by_both, by_stage, replace.credential.get(credential)];
    let entries = all.into_iter().flatten().flat_map(|Keywords(entries)| entries);
    entries.map(|(keyword, value)| (keyword.as_str(), value.as_str())).collect()
}
