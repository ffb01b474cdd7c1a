//! Section `progress_messages`: what users read while their server starts. The defaults are the texts.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What may stand in braces in a message.
const PLACEHOLDERS: [&str; 7] = ["time", "node", "image", "container", "message", "exit", "error"];

/// What users read while their server starts, one message a step. HTML; what is filled in is escaped: `{time}` since the
/// start, and, where the step has them, `{node}`, `{image}`, `{container}`, `{exit}` (how a container ended), `{message}` (of
/// Kubernetes) and `{error}`. An empty message leaves the step out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ProgressMessages {
    /// No node has room for the pod yet. Reload.
    pub unschedulable: Message,
    /// The pod has a node. Reload.
    pub scheduled: Message,
    /// A volume of the pod is not there yet. Reload.
    pub volume: Message,
    /// A container that runs before the others was started. Reload.
    pub preparing: Message,
    /// The node begins to pull an image. Reload.
    pub pulling: Message,
    /// The image of the main container is on the node. Reload.
    pub pulled: Message,
    /// An image cannot be pulled; the node tries again. Reload.
    pub pull_failed: Message,
    /// The main container was created. Reload.
    pub created: Message,
    /// The main container runs. Reload.
    pub started: Message,
    /// The pod is ready. Reload.
    pub ready: Message,
    /// Something of the pod cannot be made or started; the node tries again. Reload.
    pub trouble: Message,
    /// The main container ended and is started again. Reload.
    pub restarted: Message,
    /// The node gave the pod up; another one takes its place, where there is something that makes one. Reload.
    pub evicted: Message,
    /// The start has failed: the summary above the explanation that a poll gives, too. Reload.
    pub failed: Message,
}

impl Default for ProgressMessages {
    fn default() -> Self {
        let message = |text: &str| Message(text.to_owned());
        Self {
            unschedulable: message("Waiting for a machine with room for your server ({time}): {message}"),
            scheduled: message("Your server has a place on {node} ({time})."),
            volume: message("Waiting for your storage ({time}): {message}"),
            preparing: message("Your server is being prepared: {container} ({time})."),
            pulling: message("Fetching the software {image} ({time})."),
            pulled: message("The software is there ({time})."),
            pull_failed: message("The software cannot be fetched, trying again ({time}): {message}"),
            created: message("Your server is set up ({time})."),
            started: message("Your server runs ({time})."),
            ready: message("Your server is ready; waiting for it to answer ({time})."),
            trouble: message("Your server cannot be started yet, trying again ({time}): {message}"),
            restarted: message("Your server has ended{exit} and is started again ({time})."),
            evicted: message("The machine gave your server up ({time}): {message}"),
            failed: message("Your server could not be started ({time}): {error}{exit}"),
        }
    }
}

/// A text whose placeholders are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(String);

impl Message {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match unknown_placeholder(&text) {
            Some(unknown) => Err(serde::de::Error::custom(format!(
                "`{{{unknown}}}` is not known; there are {{{}}}",
                PLACEHOLDERS.join("}, {")
            ))),
            None => Ok(Self(text)),
        }
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Message {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Message".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// Braces around anything but letters are text.
fn unknown_placeholder(text: &str) -> Option<&str> {
    let inner = text.split('{').skip(1).filter_map(|it| it.split_once('}')).map(|(inner, _)| inner);
    let mut words = inner.filter(|it| !it.is_empty() && it.chars().all(|c| c.is_ascii_alphabetic() || c == '_'));
    words.find(|it| !PLACEHOLDERS.contains(it))
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_placeholder_that_nobody_fills_in_is_refused() {
        let read = |text: &str| {
            Config::from_json(&format!(r#"{{"progress_messages": {{"pulling": "{text}"}}}}"#), "config.json")
        };
        let config = read("<b>{image}</b> {} { {1} {time}").unwrap().config;
        assert_eq!(config.progress_messages.pulling.as_str(), "<b>{image}</b> {} { {1} {time}");
        assert_eq!(config.progress_messages.created, super::ProgressMessages::default().created);
        assert_eq!(
            read("{imgae}").unwrap_err().to_string(),
            "config.json, line 1: `progress_messages.pulling`: `{imgae}` is not known; there are {time}, {node}, {image}, \
             {container}, {message}, {exit}, {error}"
        );
    }
}
