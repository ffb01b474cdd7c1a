//! A service as clients see it: POST, list and poll all show the same object. The keys and their order are theirs.

use serde_json::json;

use super::ServiceRecord;
use super::record::Details;

/// The object that POST answers with and lists hold.
pub fn service(record: &ServiceRecord) -> String {
    format!("{{{}}}", members(record, record.stop_pending()))
}

/// The answer to a poll while the service runs, whatever became of it since: to be kept, and told when it does.
pub fn running(record: &ServiceRecord) -> String {
    format!("{{{},{}}}", members(record, false), status(true, None))
}

/// The same with `running`, and `details` where there is something to say.
pub fn polled(record: &ServiceRecord, running: bool, details: Option<&Details>) -> String {
    format!("{{{},{}}}", members(record, record.stop_pending()), status(running, details))
}

/// The members that a poll adds.
pub fn status(running: bool, details: Option<&Details>) -> String {
    let details = details.map_or_else(String::new, |details| {
        let (error, detailed_error) = (json!(details.error), json!(details.detailed_error));
        format!(",\"details\":{{\"error\":{error},\"detailed_error\":{detailed_error}}}")
    });
    format!("\"running\":{running}{details}")
}

fn members(record: &ServiceRecord, stop_pending: bool) -> String {
    format!(
        "\"servername\":{},\"start_id\":{},\"user_options\":{},\"jhub_user_id\":{},\"jhub_credential\":{},\
         \"start_date\":\"{}\",\"stop_pending\":{stop_pending}",
        json!(record.server_name.as_str()),
        json!(record.start_id.as_str()),
        record.user_options.to_text(),
        record.jhub_user_id,
        json!(record.credential.as_str()),
        record.start_date.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
    )
}
