//! A service as clients see it, where it is more than the object of `domain::service_json`.

use bytes::Bytes;
use serde_json::json;

use crate::domain::service_json::{self, status};
use crate::domain::{Credential, ServerName, ServiceRecord, ServiceState};
use crate::services::{KnownService, Polled};

/// The end of every answer that was rendered while a service ran.
const RUNNING_END: &str = "\"stop_pending\":false,\"running\":true}";

/// The answer to a poll: the object with `running`, and `details` where there is something to say.
pub fn polled(polled: &Polled, credential: &Credential, server_name: &ServerName) -> Bytes {
    match polled {
        Polled::Runs(service) => service.running_answer.clone(),
        Polled::Status(it) => service_json::polled(&it.record, it.running, it.details.as_ref()).into(),
        Polled::Remembered { service, running, details } => {
            format!("{},{}}}", known_members(service), status(*running, details.as_ref())).into()
        }
        // Nothing else is known of it.
        Polled::Unknown(details) => format!(
            "{{\"servername\":{},\"jhub_credential\":{},{}}}",
            json!(server_name.as_str()),
            json!(credential.as_str()),
            status(true, Some(details))
        )
        .into(),
    }
}

pub fn services(records: &[ServiceRecord]) -> String {
    let views: Vec<_> = records.iter().map(service_json::service).collect();
    format!("[{}]", views.join(","))
}

/// The same from memory.
pub fn known_services(services: &[impl AsRef<KnownService>]) -> String {
    let views: Vec<_> = services.iter().map(|it| format!("{}}}", known_members(it.as_ref()))).collect();
    format!("[{}]", views.join(","))
}

fn known_members(service: &KnownService) -> String {
    let answer = String::from_utf8_lossy(&service.running_answer);
    let members = answer.strip_suffix(RUNNING_END).unwrap_or_default();
    format!("{members}\"stop_pending\":{}", service.state == ServiceState::Stopping)
}
