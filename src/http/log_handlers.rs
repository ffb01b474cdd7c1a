//! `/api/logs/handler/` and `/api/logs/handler/<handler>/`.

use http::{Method, StatusCode};
use serde_json::json;

use super::{Api, ApiError, Call, LOG_HANDLER, LOG_HANDLERS, Reply, input};
use crate::domain::Json;
use crate::log_handlers::{HandlerKind, HandlerStatus, StoredHandler};
use crate::stored_log_handlers::ChangeError;

pub async fn collection(api: Api, mut call: Call) -> Reply {
    let reply = async {
        LOG_HANDLERS.admit(&api, &call).await?;
        match call.method {
            Method::POST => create(&api, &mut call).await,
            Method::OPTIONS => Ok(Reply::json(StatusCode::OK, "{\"name\":\"Handler List\"}".to_owned())),
            _ => list(&api).await,
        }
    };
    LOG_HANDLERS.reply(reply.await)
}

pub async fn item(name: String, api: Api, mut call: Call) -> Reply {
    let reply = async {
        LOG_HANDLER.admit(&api, &call).await?;
        if call.method == Method::OPTIONS {
            return Ok(Reply::json(StatusCode::OK, "{\"name\":\"Handler Instance\"}".to_owned()));
        }
        let kind = HandlerKind::named(&name).ok_or(ApiError::NotFound);
        match call.method {
            Method::DELETE => delete(&api, kind?).await,
            Method::PUT | Method::PATCH => change(&api, kind, &mut call).await,
            _ => get(&api, kind?).await,
        }
    };
    LOG_HANDLER.reply(reply.await)
}

async fn list(api: &Api) -> Result<Reply, ApiError> {
    let views = api.log_handlers.list().await?.into_iter().map(|handler| {
        // In the list only what went wrong for good: records that are lost.
        let status = api.log_handlers.status(&handler.handler);
        view(&handler, if status.dropped > 0 { status } else { HandlerStatus::default() })
    });
    Ok(Reply::json(StatusCode::OK, format!("[{}]", views.collect::<Vec<_>>().join(","))))
}

async fn get(api: &Api, kind: HandlerKind) -> Result<Reply, ApiError> {
    let handler = api.log_handlers.get(kind).await?.ok_or(ApiError::NotFound)?;
    Ok(Reply::json(StatusCode::OK, view(&handler, api.log_handlers.status(kind.as_str()))))
}

async fn create(api: &Api, call: &mut Call) -> Result<Reply, ApiError> {
    let body = body(api, call).await?;
    let handler = body.get("handler").ok_or_else(|| ApiError::MissingKey("handler".to_owned()))?;
    let kind = HandlerKind::parse(handler).map_err(ApiError::Refused)?;
    let made = api.log_handlers.create(kind, body.get("configuration")).await?;
    Ok(Reply::json(StatusCode::CREATED, view(&made, HandlerStatus::default())))
}

/// The handler is the path's; a body may repeat it.
async fn change(api: &Api, kind: Result<HandlerKind, ApiError>, call: &mut Call) -> Result<Reply, ApiError> {
    let body = body(api, call).await?;
    let kind = kind?;
    api.log_handlers.get(kind).await?.ok_or(ApiError::NotFound)?;
    if let Some(given) = body.get("handler") {
        let given = HandlerKind::parse(given).map_err(ApiError::Refused)?;
        if given != kind {
            let (kind, given) = (kind.as_str(), given.as_str());
            return Err(ApiError::Refused(format!("The handler is {kind}; it cannot become {given}.")));
        }
    }
    let made = api.log_handlers.change(kind, body.get("configuration")).await?;
    Ok(Reply::json(StatusCode::OK, view(&made, HandlerStatus::default())))
}

async fn delete(api: &Api, kind: HandlerKind) -> Result<Reply, ApiError> {
    api.log_handlers.delete(kind).await?;
    Ok(Reply::no_content())
}

async fn body(api: &Api, call: &mut Call) -> Result<Json, ApiError> {
    let limit = usize::try_from(api.config.current().http.max_body_bytes).unwrap_or(usize::MAX);
    let body = input::read_object(call, limit).await;
    body.map_err(|error| match error {
        ApiError::BadInput(text) => ApiError::Refused(text),
        other => other,
    })
}

/// `failing` and `dropped` are there only where there is something to say.
fn view(handler: &StoredHandler, status: HandlerStatus) -> String {
    let mut view =
        format!("{{\"handler\":{},\"configuration\":{}", json!(handler.handler), handler.configuration.to_text());
    if let Some(reason) = status.failing {
        view.push_str(&format!(",\"failing\":{}", json!(reason)));
    }
    if status.dropped > 0 {
        view.push_str(&format!(",\"dropped\":{}", status.dropped));
    }
    view.push('}');
    view
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(text) => ApiError::Refused(text),
            ChangeError::Exists => {
                ApiError::WrongFields(vec![("handler", "handler model with this handler already exists.".to_owned())])
            }
            ChangeError::NotFound => ApiError::NotFound,
            ChangeError::Store(error) => error.into(),
            error @ (ChangeError::Busy | ChangeError::TaskLost(_)) => {
                tracing::error!(%error, "failed to change a log handler");
                ApiError::Internal
            }
        }
    }
}
