//! Answers: JSON objects, text, streams and `Status` objects.

use bytes::Bytes;
use futures::Stream;
use futures::StreamExt;
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::ApiError;

pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;
pub type Answer = Response<Body>;

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn with(code: u16, content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    answer.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache, private"));
    answer
}

pub fn json(code: u16, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            with(code, "application/json", full(bytes))
        }
        Err(error) => refusal(&ApiError::internal(error.to_string())),
    }
}

pub fn text(code: u16, text: impl Into<Bytes>) -> Answer {
    with(code, "text/plain; charset=utf-8", full(text))
}

pub fn bytes(code: u16, content_type: &'static str, bytes: impl Into<Bytes>) -> Answer {
    with(code, content_type, full(bytes))
}

/// A body that is written as it comes; `content_type` says how it is framed.
pub fn stream(content_type: &'static str, pieces: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    let frames = pieces.map(|piece| Ok(Frame::data(piece)));
    with(200, content_type, StreamBody::new(frames).boxed_unsync())
}

pub fn refusal(error: &ApiError) -> Answer {
    let bytes = serde_json::to_vec(&error.status()).unwrap_or_default();
    let mut answer = with(error.code, "application/json", full(bytes));
    if error.code == 429 {
        let seconds = error.details.as_ref().and_then(|it| it["retryAfterSeconds"].as_u64()).unwrap_or(1);
        answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    }
    answer
}

/// The `Status` of a deletion that is complete.
pub fn success(details: &Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
