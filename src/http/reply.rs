//! An answer: status, `Allow`, and a body that is JSON or nothing.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, stream};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use super::error::ApiError;

type ChunkStream = Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>> + Send + Sync>>;

/// A body that is made while it is sent; how long it will be is known before.
pub struct Chunks {
    length: usize,
    stream: ChunkStream,
}

impl Chunks {
    pub fn new(length: usize, chunks: impl Iterator<Item = Bytes> + Send + Sync + 'static) -> Self {
        Self { length, stream: Box::pin(stream::iter(chunks.map(Ok))) }
    }

    #[cfg(test)]
    pub fn into_parts(self) -> (usize, ChunkStream) {
        (self.length, self.stream)
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in chunks", self.length)
    }
}

#[derive(Debug)]
enum Body {
    Whole(Bytes),
    Chunks(Chunks),
}

/// What a resource answers with.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    content_type: Option<&'static str>,
    body: Body,
    allow: Option<&'static str>,
    challenge: bool,
    further: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    fn new(status: StatusCode, content_type: Option<&'static str>, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            body: Body::Whole(body.into()),
            allow: None,
            challenge: false,
            further: Vec::new(),
        }
    }

    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, Some("application/json"), body)
    }

    pub fn json_in_chunks(status: StatusCode, chunks: Chunks) -> Self {
        Self { body: Body::Chunks(chunks), ..Self::json(status, Bytes::new()) }
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
        let (length, mut response) = match self.body {
            Body::Whole(bytes) => (None, Response::new(bytes).into_response()),
            Body::Chunks(Chunks { length, stream }) => (Some(length), warp::reply::stream(stream).into_response()),
        };
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
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
        response
    }
}
