//! What can go wrong between us and the API server, in words for the admin.

use kube::core::response::Status;

/// No variant's text holds response headers, addresses or tokens: it may reach a hub.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server's own words, such as `services "x" already exists`.
    #[error("{}", status_text(.0))]
    Api(Box<Status>),
    #[error("no matches for kind \"{kind}\" in version \"{api_version}\"")]
    UnknownKind { api_version: String, kind: String },
    #[error("{kind} \"{name}\" already exists and belongs to somebody else")]
    Taken { kind: String, name: String },
    #[error("the Kubernetes API server cannot be reached")]
    Unreachable(#[source] kube::Error),
    #[error("the Kubernetes API server did not answer in time")]
    Timeout,
    #[error("the Kubernetes API server gave an answer that cannot be read")]
    Garbled(#[source] kube::Error),
}

fn is_quota_conflict(status: &Status) -> bool {
    status.reason == "Conflict" && status.message.contains("resourcequotas")
}

fn status_text(status: &Status) -> String {
    match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("the Kubernetes API server answered {}", status.code),
        ("", reason) => format!("the Kubernetes API server answered {} {reason}", status.code),
        (message, _) => message.to_owned(),
    }
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => ClusterError::Api(status),
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
                ClusterError::Unreachable(error)
            }
            other => ClusterError::Garbled(other),
        }
    }
}

impl ClusterError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, ClusterError::Api(status) if status.code == 404)
    }

    /// We may not do it, or there is nothing to do it on: asking again changes nothing.
    pub fn is_missing_right(&self) -> bool {
        matches!(self, ClusterError::Api(status) if matches!(status.code, 403..=405))
    }

    pub fn is_already_there(&self) -> bool {
        matches!(self, ClusterError::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
    }

    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, ClusterError::Api(status) if status.code == 409)
    }

    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, ClusterError::Api(status) if status.code == 403)
    }

    /// The kind is served and cannot be listed, or is not served any more.
    pub(super) fn is_not_listable(&self) -> bool {
        matches!(self, ClusterError::Api(status) if [404, 405, 406].contains(&status.code))
    }

    /// The API server is there and has no room for us at the moment.
    pub fn is_overload(&self) -> bool {
        matches!(self, ClusterError::Api(status) if status.code == 429)
    }

    /// The API server may answer otherwise a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            ClusterError::Unreachable(_) | ClusterError::Timeout | ClusterError::Garbled(_) => true,
            // A quota that is just being counted is a conflict, too.
            ClusterError::Api(status) if status.code == 409 => is_quota_conflict(status),
            ClusterError::Api(status) => match status.code {
                // A token that is just being replaced is refused until the new one was read.
                401 | 429 | 500 | 502 | 503 | 504 => true,
                _ => false,
            },
            ClusterError::UnknownKind { .. } | ClusterError::Taken { .. } => false,
        }
    }

    pub(super) fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            ClusterError::Api(status) => {
                status.details.as_ref().map(|it| it.retry_after_seconds).filter(|&seconds| seconds > 0)
            }
            _ => None,
        }
    }
}
