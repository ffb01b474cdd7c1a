//! `/api/logs/logtest/`: one record on every level, so that an operator sees which handlers get what.

use http::{Method, StatusCode};

use super::{Api, Call, LOG_TEST, Reply};

pub async fn log_test(api: Api, call: Call) -> Reply {
    let reply = async {
        LOG_TEST.admit(&api, &call).await?;
        if call.method == Method::OPTIONS {
            return Ok(Reply::json(StatusCode::OK, "{\"name\":\"Log Test List\"}".to_owned()));
        }
        log_on_every_level();
        Ok(Reply::ok_without_content())
    };
    LOG_TEST.reply(reply.await)
}

/// The texts are the reference's.
fn log_on_every_level() {
    tracing::trace!("Trace");
    tracing::debug!("Debug");
    tracing::info!("Info");
    tracing::warn!("Warn");
    tracing::error!("Error");
    tracing::error!(critical = true, Extra1 = "message1", mesg = "msg1", filename_extra = "forbidden", "Critical");
}
