//! A service as clients see it, where it is more than the object of `domain::service_json`.

use bytes::Bytes;
use serde_json::json;

use super::reply::Chunks;
use crate::domain::service_json::{self, status};
use crate::domain::{Credential, ServerName, ServiceState};
use crate::services::{KnownService, ListedService, Polled};

/// What a list is sent in, in bytes.
const CHUNK: usize = 32 * 1024;
/// The end of every answer that was rendered while a service ran.
const RUNNING_END: &str = "\"stop_pending\":false,\"running\":true}";

/// The answer to a poll: the object with `running`, and `details` where there is something to say.
pub fn polled(polled: &Polled, credential: &Credential, server_name: &ServerName) -> Bytes {
    match polled {
        Polled::Runs(service) => Bytes::copy_from_slice(&service.running_answer),
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

/// A list, made while it is sent: however long it is, little of it is in memory at a time.
pub fn services(services: Vec<ListedService>) -> Chunks {
    let separators = services.len().saturating_sub(1);
    let length = services.iter().map(object_length).sum::<usize>() + separators + "[]".len();
    let count = services.len();
    let mut services = services.into_iter().enumerate();
    let mut is_over = false;
    let chunks = std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 4);
        while chunk.len() < CHUNK {
            let Some((index, service)) = services.next() else {
                is_over = true;
                chunk.extend_from_slice(if count == 0 { b"[]" } else { b"]" });
                break;
            };
            chunk.push(if index == 0 { b'[' } else { b',' });
            chunk.extend_from_slice(members(&service.service));
            chunk.extend_from_slice(object_end(&service).as_bytes());
        }
        Some(Bytes::from(chunk))
    });
    Chunks::new(length, chunks)
}

fn object_length(service: &ListedService) -> usize {
    members(&service.service).len() + object_end(service).len()
}

fn object_end(service: &ListedService) -> &'static str {
    if service.is_stopping { "\"stop_pending\":true}" } else { "\"stop_pending\":false}" }
}

/// All that never changes of a service, up to its last comma.
fn members(service: &KnownService) -> &[u8] {
    service.running_answer.strip_suffix(RUNNING_END.as_bytes()).unwrap_or_default()
}

fn known_members(service: &KnownService) -> String {
    let stop_pending = service.state == ServiceState::Stopping;
    format!("{}\"stop_pending\":{stop_pending}", String::from_utf8_lossy(members(service)))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use jiff::Timestamp;

    use super::*;
    use crate::domain::{Json, ObjectId, ServiceName, ServiceRecord, StartId};

    fn record(sequence: i64, user_options: &str, state: ServiceState) -> ServiceRecord {
        let server_name = ServerName::parse(&format!("lab{sequence}")).unwrap();
        let start_id = StartId::parse("s1").unwrap();
        ServiceRecord {
            sequence,
            credential: Credential::parse("hub").unwrap(),
            object_id: ObjectId::new(&server_name, &start_id),
            server_name,
            start_id,
            service: ServiceName::parse("a/b").unwrap(),
            user_options: Json::parse(user_options.as_bytes()).unwrap(),
            jhub_user_id: 7,
            start_date: Timestamp::UNIX_EPOCH,
            namespace: "n".to_owned(),
            state,
            objects: Vec::new(),
            update_manifest: None,
            flavor: None,
            ends_at: None,
            details: None,
            ended_at: None,
        }
    }

    async fn listed(records: &[ServiceRecord]) -> (usize, usize, String) {
        let listed = records.iter().map(ListedService::of).collect();
        let (length, stream) = services(listed).into_parts();
        let chunks: Vec<_> = stream.map(|it| it.unwrap()).collect().await;
        (length, chunks.len(), String::from_utf8(chunks.concat()).unwrap())
    }

    #[tokio::test]
    async fn a_list_is_the_objects_of_posts_in_as_many_chunks_as_it_needs() {
        for count in [0, 1, 2, 500] {
            let options = format!("{{\"service\":\"a/b\",\"text\":\"{}\"}}", "ü".repeat(200));
            let state = |number| if number % 3 == 0 { ServiceState::Stopping } else { ServiceState::Running };
            let records: Vec<_> = (0..count).map(|number| record(number, &options, state(number))).collect();
            let (length, chunks, text) = listed(&records).await;
            let expected: Vec<_> = records.iter().map(service_json::service).collect();
            assert_eq!(text, format!("[{}]", expected.join(",")));
            assert_eq!(length, text.len());
            assert!(chunks <= text.len() / CHUNK + 1, "{chunks}");
        }
    }
}
