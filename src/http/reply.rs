//! An answer: status, `Allow`, and a body that is JSON or nothing.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use super::error::ApiError;

/// What a resource answers with.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    content_type: Option<&'static str>,
    body: Bytes,
    allow: Option<&'static str>,
    challenge: bool,
    further: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    fn new(status: StatusCode, content_type: Option<&'static str>, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, body: body.into(), allow: None, challenge: false, further: Vec::new() }
    }

    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, Some("application/json"), body)
    }

    pub fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT, None, Bytes::new())
    }

    pub fn ok_without_content() -> Self {
        Self::new(StatusCode::OK, None, Bytes::new())
    }

    /// The empty page that health checks have always got.
    pub fn empty_page() -> Self {
        Self::new(StatusCode::OK, Some("text/html; charset=utf-8"), Bytes::new())
    }

    /// What is no JSON.
    pub fn page(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(status, Some(media_type), body)
    }

    pub fn error(error: &ApiError, allow: Option<&'static str>) -> Self {
        let mut reply = Self::json(error.status(), error.body());
        reply.challenge = error.status() == StatusCode::UNAUTHORIZED;
        reply.allow = allow;
        reply
    }

    pub fn allowing(mut self, allow: &'static str) -> Self {
        self.allow = Some(allow);
        self
    }

    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.further.push((name, value));
        self
    }
}

impl warp::Reply for Reply {
    fn into_response(self) -> warp::reply::Response {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(content_type) = self.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"api\""));
        }
        headers.extend(self.further);
        response.into_response()
    }
}
