//! A user job: ports of a node of an HPC system, reached through ssh, behind a Service of the cluster.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Credential, Mark};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserJobState {
    /// Asked for; whoever asked waits.
    Starting,
    /// Made; whatever of it breaks is made again.
    Running,
    /// To be removed.
    Stopping,
    /// Not made, nothing is left, and why is kept for whoever asked: the request was wrong.
    Refused,
    /// The same: something did not work.
    Failed,
}

impl UserJobState {
    pub const ALL: [UserJobState; 5] = [
        UserJobState::Starting,
        UserJobState::Running,
        UserJobState::Stopping,
        UserJobState::Refused,
        UserJobState::Failed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            UserJobState::Starting => "starting",
            UserJobState::Running => "running",
            UserJobState::Stopping => "stopping",
            UserJobState::Refused => "refused",
            UserJobState::Failed => "failed",
        }
    }

    pub fn from_stored(text: &str) -> Option<Self> {
        UserJobState::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// Whether there should be forwards and a Service.
    pub fn is_wanted(self) -> bool {
        matches!(self, UserJobState::Starting | UserJobState::Running)
    }
}

/// One forward: the Service's port, the port on our side, the port of the target node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForwardedPort {
    pub wanted: u16,
    /// `None` until one was chosen; then it stays the same.
    pub local: Option<u16>,
    pub remote: u16,
}

/// A job as it is first written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUserJob {
    pub credential: Credential,
    /// The name of its Service.
    pub service: String,
    pub hostname: String,
    pub target_node: String,
    pub ports: Vec<ForwardedPort>,
    pub state: UserJobState,
    /// The service that asked for it, by sequence.
    pub owner: Option<i64>,
    /// Tells it from an earlier job of the same name; empty: taken over from the reference implementation.
    pub token: String,
}

/// A stored job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserJob {
    pub sequence: i64,
    pub credential: Credential,
    pub service: String,
    pub hostname: String,
    pub target_node: String,
    pub ports: Vec<ForwardedPort>,
    pub state: UserJobState,
    pub owner: Option<i64>,
    pub token: String,
    /// The uid of its Service, once it is known.
    pub service_uid: Option<String>,
    /// Why it was refused or failed.
    pub problem: Option<String>,
}

impl UserJob {
    /// Whether it was taken over from the reference implementation, which left its Service, too.
    pub fn is_adopted(&self) -> bool {
        self.token.is_empty()
    }

    /// What its Service carries.
    pub fn mark(&self, installation: &str) -> Mark {
        Mark::of_user_job(installation, &self.credential, &self.service, &self.token)
    }
}

/// A port: a whole number from 1 to 65535, as a number or as text without anything around it.
pub fn port(text: &str) -> Option<u16> {
    let is_plain = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

/// `{"8080":[34085,59998]}`, as the reference implementation keeps them.
pub fn ports_to_text(ports: &[ForwardedPort]) -> String {
    let members: BTreeMap<String, Value> =
        ports.iter().map(|it| (it.wanted.to_string(), json!([it.local, it.remote]))).collect();
    json!(members).to_string()
}

/// Also what the reference implementation may have kept: texts in place of numbers, the remote port alone.
pub fn ports_from_text(text: &str) -> Option<Vec<ForwardedPort>> {
    let members: BTreeMap<String, Value> = serde_json::from_str(text).ok()?;
    let number = |value: &Value| match value {
        Value::String(text) => port(text),
        other => port(&other.to_string()),
    };
    let mut ports = Vec::new();
    for (wanted, value) in &members {
        let (local, remote) = match value.as_array().map(Vec::as_slice) {
            Some([Value::Null, remote]) => (None, number(remote)?),
            Some([local, remote]) => (Some(number(local)?), number(remote)?),
            Some(_) => return None,
            None => (None, number(value)?),
        };
        ports.push(ForwardedPort { wanted: port(wanted)?, local, remote });
    }
    ports.sort();
    (!ports.is_empty()).then_some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_as_the_reference_keeps_them() {
        let ports = [
            ForwardedPort { wanted: 8080, local: Some(34085), remote: 59998 },
            ForwardedPort { wanted: 9000, local: None, remote: 80 },
        ];
        let text = ports_to_text(&ports);
        assert_eq!(text, r#"{"8080":[34085,59998],"9000":[null,80]}"#);
        assert_eq!(ports_from_text(&text).unwrap(), ports);
        let reference = ports_from_text(r#"{"8080": [34085, "59998"], "9000": 80}"#).unwrap();
        assert_eq!(reference, ports);
    }

    #[test]
    fn what_is_no_port_is_none() {
        for text in ["", "0", "65536", "-1", "+80", " 80", "080", "8 0", "http", "1e3"] {
            assert_eq!(port(text), None, "{text}");
        }
        assert_eq!((port("1"), port("65535")), (Some(1), Some(65535)));
        for text in ["{}", "[]", r#"{"http": 1}"#, r#"{"80": []}"#, r#"{"80": [1, 2, 3]}"#, r#"{"80": 1.5}"#, "x"] {
            assert_eq!(ports_from_text(text), None, "{text}");
        }
    }
}
