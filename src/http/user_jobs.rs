//! `/api/userjobs/` and `/api/userjobs/<service>/`.

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{Api, ApiError, Call, Reply, USER_JOB, USER_JOBS, user_job_input};
use crate::domain::{Credential, UserJob};
use crate::services::escape_html;
use crate::user_jobs::RequestError;

/// What the user sees first.
const HEADLINE: &str = "Could not make the user job.";

pub async fn collection(api: Api, mut call: Call) -> Reply {
    let reply = async {
        let principal = USER_JOBS.admit(&api, &call).await?;
        match call.method {
            Method::POST => create(&api, &principal.credential, &mut call).await,
            Method::OPTIONS => Ok(Reply::json(StatusCode::OK, "{\"name\":\"User Jobs List\"}".to_owned())),
            _ => list(&api, &principal.credential).await,
        }
    };
    USER_JOBS.reply(reply.await)
}

pub async fn item(name: String, api: Api, call: Call) -> Reply {
    let reply = async {
        let principal = USER_JOB.admit(&api, &call).await?;
        if call.method == Method::OPTIONS {
            return Ok(Reply::json(StatusCode::OK, "{\"name\":\"User Jobs Instance\"}".to_owned()));
        }
        let service = percent_decode_str(&name).decode_utf8().map_err(|_| ApiError::NotFound)?;
        // No name holds one, and PostgreSQL takes none.
        if service.contains('\0') {
            return Err(ApiError::NotFound);
        }
        match call.method {
            Method::DELETE => {
                api.user_jobs.delete(&principal.credential, &service).await?;
                Ok(Reply::no_content())
            }
            _ => {
                let job = api.user_jobs.get(&principal.credential, &service).await?;
                Ok(Reply::json(StatusCode::OK, view(&job)))
            }
        }
    };
    USER_JOB.reply(reply.await)
}

async fn list(api: &Api, credential: &Credential) -> Result<Reply, ApiError> {
    let jobs: Vec<_> = api.user_jobs.list(credential).await?.iter().map(view).collect();
    Ok(Reply::json(StatusCode::OK, format!("[{}]", jobs.join(","))))
}

async fn create(api: &Api, credential: &Credential, call: &mut Call) -> Result<Reply, ApiError> {
    let request = user_job_input::request(credential, call, &api.config.current()).await?;
    let job = api.user_jobs.create(request).await?;
    Ok(Reply::json(StatusCode::CREATED, view(&job)))
}

fn view(job: &UserJob) -> String {
    let UserJob { service, hostname, target_node, .. } = job;
    let (service, hostname, target_node) = (json!(service), json!(hostname), json!(target_node));
    format!("{{\"service\":{service},\"hostname\":{hostname},\"target_node\":{target_node}}}")
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Wrong(fields) => {
                ApiError::WrongFields(fields.into_iter().map(|it| (it.field, it.text)).collect())
            }
            RequestError::NotFound => ApiError::NotFound,
            // A hub shows it as HTML, and what ssh says comes from elsewhere.
            RequestError::Failed(reason) => {
                tracing::warn!(reason, "a user job was not made");
                ApiError::Failed { error: HEADLINE.to_owned(), detailed_error: escape_html(&reason) }
            }
            RequestError::Store(error) => error.into(),
        }
    }
}
