//! Starts as this door shows them. The keys and their order are the reference's.

use jiff::Timestamp;
use serde_json::json;

use crate::domain::{ServiceRecord, ServiceState};
use crate::services::OutpostListed;

/// The hub looks for the server at the name that it asked for.
pub const ADDRESS_LATER: &str = r#"{"service":""}"#;
/// What the reference calls the end of a service that has none.
const NO_END: &str = "9999-12-31T23:59:59.999999";

pub fn started(record: &ServiceRecord) -> String {
    format!("{{\"service\":{}}}", json!(record.address().unwrap_or_default()))
}

/// `None`: it runs, or may come up yet.
pub fn polled(exit_code: Option<i32>, logs: &[String]) -> String {
    format!("{{\"status\":{},\"logs\":{}}}", json!(exit_code), json!(logs))
}

pub fn stopped(logs: &[String]) -> String {
    format!("{{\"logs\":{}}}", json!(logs))
}

pub fn list(services: &[OutpostListed]) -> String {
    let entries: Vec<String> = services.iter().map(entry).collect();
    format!("[{}]", entries.join(","))
}

fn entry(listed: &OutpostListed) -> String {
    let service = &listed.service;
    let start_date = date(service.start_date);
    format!(
        "{{\"name\":{},\"start_id\":{},\"start_date\":\"{start_date}\",\"end_date\":\"{}\",\"jupyterhub\":{},\
         \"jupyterhub_userid\":\"{}\",\"last_update\":\"{start_date}\",\"state_stored\":{},\"start_pending\":{},\
         \"stop_pending\":{}}}",
        json!(service.server_name.outpost_name().unwrap_or_default()),
        json!(service.start_id.as_str()),
        service.ends_at.map_or_else(|| NO_END.to_owned(), date),
        json!(service.credential.as_str()),
        service.jhub_user_id,
        listed.state != ServiceState::Starting,
        listed.is_starting,
        listed.state == ServiceState::Stopping,
    )
}

/// As Python writes a time without a zone: microseconds where there are some.
fn date(at: Timestamp) -> String {
    let has_fraction = at.subsec_microsecond() != 0 || at.subsec_millisecond() != 0;
    at.strftime(if has_fraction { "%Y-%m-%dT%H:%M:%S%.6f" } else { "%Y-%m-%dT%H:%M:%S" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_reference_writes_them() {
        for (given, expected) in [
            ("2026-11-20T11:43:08.812929Z", "2026-11-20T11:43:08.812929"),
            ("2026-11-20T11:43:08.5Z", "2026-11-20T11:43:08.500000"),
            ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00"),
        ] {
            assert_eq!(date(given.parse().unwrap()), expected);
        }
    }

    #[test]
    fn answers_have_the_keys_of_the_protocol() {
        assert_eq!(polled(None, &[]), r#"{"status":null,"logs":[]}"#);
        assert_eq!(polled(Some(3), &["a\"b".to_owned()]), r#"{"status":3,"logs":["a\"b"]}"#);
        assert_eq!(stopped(&[]), r#"{"logs":[]}"#);
        assert_eq!(list(&[]), "[]");
    }
}
