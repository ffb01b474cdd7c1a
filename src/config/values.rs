//! Values of config.json that are checked when they are read.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::ordered_values::OrderedJson;
use crate::domain::Json;

/// The name of one file or folder, without a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct FileName(String);

impl FileName {
    pub(super) fn known(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FileName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_plain_segment(&text) {
            Ok(Self(text))
        } else {
            Err(format!("`{}` is not the name of one file (no `/`, not empty, not `.` or `..`)", text.escape_debug()))
        }
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

/// A part of a folder's name, without a path. May be empty where it is a suffix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct FolderName(String);

impl FolderName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FolderName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || is_plain_segment(&text) {
            Ok(Self(text))
        } else {
            Err(format!("`{}` is not the name of one folder (no `/`, not `.` or `..`)", text.escape_debug()))
        }
    }
}

impl From<FolderName> for String {
    fn from(name: FolderName) -> Self {
        name.0
    }
}

fn is_plain_segment(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.contains('/') && !text.chars().any(char::is_control)
}

/// What stands before and after a keyword.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Indicators {
    pub open: String,
    pub close: String,
}

impl Default for Indicators {
    fn default() -> Self {
        Self { open: "<".to_owned(), close: ">".to_owned() }
    }
}

impl TryFrom<Vec<String>> for Indicators {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        match <[String; 2]>::try_from(texts) {
            Ok([open, close]) if !open.is_empty() && !close.is_empty() => Ok(Self { open, close }),
            _ => Err("expected two texts that are not empty, such as [\"<\", \">\"]".to_owned()),
        }
    }
}

impl From<Indicators> for Vec<String> {
    fn from(indicators: Indicators) -> Self {
        vec![indicators.open, indicators.close]
    }
}

impl JsonSchema for Indicators {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Indicators".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let text = schemars::json_schema!({ "type": "string", "minLength": 1 });
        schemars::json_schema!({ "type": "array", "items": text, "minItems": 2, "maxItems": 2 })
    }
}

/// What a keyword is replaced with: a text, or a number, which stands for its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ReplaceValue(String);

impl ReplaceValue {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ReplaceValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match OrderedJson::deserialize(deserializer)?.0 {
            Json::String(text) => Ok(Self(text)),
            number @ (Json::Integer(_) | Json::Float(_)) => Ok(Self(number.python_str())),
            Json::Bool(_) => {
                Err(de::Error::custom("expected a text or a number; write \"true\" or \"false\" as a text"))
            }
            _ => Err(de::Error::custom("expected a text or a number")),
        }
    }
}

impl JsonSchema for ReplaceValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ReplaceValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number"] })
    }
}
