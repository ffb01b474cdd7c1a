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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::domain::{Credential, Json, ObjectId, ServerName, ServiceName, StartId};

    fn applied(config: &str, stage: Option<&str>, text: &str) -> String {
        let config = Config::from_json(config, "x").unwrap().config;
        Replacements::new(
            &DescriptionRequest {
                config: &config,
                stage,
                deployment_name: "k8smgr",
                namespace: "space",
                credential: &Credential::parse("hub").unwrap(),
                server_name: &ServerName::parse("lab").unwrap(),
                start_id: &StartId::parse("s1").unwrap(),
                id: &ObjectId::from_stored("lab-s1".to_owned()),
                service: &ServiceName::parse("S").unwrap(),
                user_id: 7,
                user_options: &Json::empty_object(),
                env_names: &[],
                flavor: None,
                resources: None,
                outpost: None,
            },
            "INPUT".to_owned(),
        )
        .apply(text)
    }

    const OWN: &str = r#"{"services": {"replace": {
        "stage": {"prod": {"a": "stage", "b": "<c> <namespace>", "d": "<e>", "e": 1.5}},
        "credential": {"hub": {"a": "credential", "c": "of hub", "id": "never"}, "other": {"o": "x"}},
        "stage_credential": {"prod": {"hub": {"a": "both", "f": "<b>"}}}
    }}}"#;

    #[test]
    fn keywords_are_replaced_one_after_the_other() {
        for (text, expected) in [
            ("<input> <id> <unique_user_id> <user_id> <namespace>", "INPUT lab-s1 hub_7 7 space"),
            ("<secret_name> <secret_certs_name>", "secret-lab-s1-k8smgr secret-certs-lab-s1-k8smgr"),
            ("<a>", "both"),
            // A later step is replaced in a value, an earlier one is not.
            ("<b>", "of hub <namespace>"),
            ("<f>", "of hub <namespace>"),
            ("<d>", "1.5"),
            ("<unknown> <o> < id> <ID> id", "<unknown> <o> < id> <ID> id"),
        ] {
            assert_eq!(applied(OWN, Some("prod"), text), expected, "{text}");
        }
        assert_eq!(applied(OWN, None, "<a> <b>"), "credential <b>");
        assert_eq!(applied(OWN, Some("staging"), "<a>"), "credential");
    }

    #[test]
    fn indicators_and_names_are_configurable() {
        let config = r#"{"services": {"replace": {"indicators": ["?!!?", "!??!"], "drfid_keyword": "mYiD"}}}"#;
        assert_eq!(applied(config, None, "?!!?mYiD!??! <mYiD> ?!!?id!??!"), "lab-s1 <mYiD> ?!!?id!??!");
    }

    proptest! {
        #[test]
        fn a_text_without_indicators_stays_as_it_is(text in "[^<>]{0,200}") {
            prop_assert_eq!(applied(OWN, Some("prod"), &text), text);
        }
    }
}
