//! Section `services.replace`: what stands for what in a description.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{Indicators, ReplaceValue};

/// Replacements in service.yaml and update.yaml. The values of `stage_credential` come before those of `stage`, and
/// those before `credential`; a value may hold a keyword of a later step; unknown keywords stay as they are.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Replace {
    /// What stands before and after a keyword. Reload.
    pub indicators: Indicators,
    /// Keyword for the folder `services.input_dir` as tar.gz in base64. Reload.
    pub input_keyword: String,
    /// Keyword for the id of this start, `<server name>-<start id>` (or a slug of it), which belongs into the names
    /// of all objects. Reload.
    pub drfid_keyword: String,
    /// Keyword for `<credential>_<user id>`. Reload.
    pub uniqueuserid_keyword: String,
    /// Keyword for the hub's user id. Reload.
    pub userid_keyword: String,
    /// Keyword for the name of the Secret that holds the environment. Reload.
    pub secretname_keyword: String,
    /// Keyword for the name of the Secret that holds the certificates, where the hub sends some. Reload.
    pub secretcertsname_keyword: String,
    /// Keyword for the namespace of K8s Manager's objects. Reload.
    pub namespace_keyword: String,
    /// Own keywords by STAGE: `{"production": {"nfs": "10.0.0.1"}}`. Numbers stand for their text. Reload.
    pub stage: BTreeMap<String, Keywords>,
    /// Own keywords by credential, the name a hub signs in with. Reload.
    pub credential: BTreeMap<String, Keywords>,
    /// Own keywords by STAGE, then by credential. Reload.
    pub stage_credential: BTreeMap<String, BTreeMap<String, Keywords>>,
}

impl Default for Replace {
    fn default() -> Self {
        Self {
            indicators: Indicators::default(),
            input_keyword: "input".to_owned(),
            drfid_keyword: "id".to_owned(),
            uniqueuserid_keyword: "unique_user_id".to_owned(),
            userid_keyword: "user_id".to_owned(),
            secretname_keyword: "secret_name".to_owned(),
            secretcertsname_keyword: "secret_certs_name".to_owned(),
            namespace_keyword: "namespace".to_owned(),
            stage: BTreeMap::new(),
            credential: BTreeMap::new(),
            stage_credential: BTreeMap::new(),
        }
    }
}

/// Own keywords with their values, in the order of the file: they are replaced one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keywords(pub Vec<(String, ReplaceValue)>);

impl<'de> Deserialize<'de> for Keywords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Keywords;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Keywords, A::Error> {
                let mut keywords = Vec::new();
                while let Some(entry) = members.next_entry()? {
                    keywords.push(entry);
                }
                Ok(Keywords(keywords))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

impl Serialize for Keywords {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(keyword, value)| (keyword, value)))
    }
}

impl JsonSchema for Keywords {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Keywords".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, ReplaceValue>::json_schema(generator)
    }
}
