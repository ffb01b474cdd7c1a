//! What every request to the API server passes: the token of a file that is replaced now and then, and the pause that an
//! overloaded server asks for.
//!
//! The client has a reader of token files of its own, which goes by the wall clock: a clock that is set back would keep
//! it from reading for as long.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use kube::client::Body;
use secrecy::{ExposeSecret, SecretString};
use tower_layer::Layer;
use tower_service::Service;

/// A new token is used this soon; a refusal makes it sooner.
const REREAD: Duration = Duration::from_secs(10);
/// Nobody is waited for longer, whatever is asked for.
const LONGEST_RETRY_AFTER: u32 = 10;

/// The token in a file, read again now and then.
pub struct TokenFile {
    path: PathBuf,
    /// What was read last, and when.
    cached: Mutex<Option<(SecretString, Instant)>>,
}

impl TokenFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, cached: Mutex::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file where that was long ago; where it cannot be read, the last token is used on.
    pub fn header(&self) -> std::io::Result<HeaderValue> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.as_ref().is_none_or(|(_, read)| read.elapsed() >= REREAD) {
            match (std::fs::read_to_string(&self.path), &mut *cached) {
                (Ok(text), _) => *cached = Some((SecretString::from(text.trim().to_owned()), Instant::now())),
                (Err(error), None) => return Err(error),
                (Err(error), Some((_, read))) => {
                    tracing::warn!(path = %self.path.display(), %error, "failed to read the token of the Kubernetes API");
                    *read = Instant::now();
                }
            }
        }
        let token = cached.as_ref().map(|(token, _)| token.expose_secret()).unwrap_or_default();
        let header = HeaderValue::try_from(format!("Bearer {token}"));
        let mut header = header.map_err(|_| std::io::Error::other("the token holds characters that none can hold"))?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn is_refused(&self) {
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[derive(Clone)]
pub struct TransportLayer {
    pub token: Option<Arc<TokenFile>>,
}

impl<S> Layer<S> for TransportLayer {
    type Service = Transport<S>;

    fn layer(&self, inner: S) -> Transport<S> {
        Transport { inner, token: self.token.clone() }
    }
}

pub struct Transport<S> {
    inner: S,
    token: Option<Arc<TokenFile>>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<S, B> Service<Request<Body>> for Transport<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let token = self.token.clone();
        match token.as_ref().map(|it| it.header()) {
            Some(Ok(header)) => {
                request.headers_mut().insert(AUTHORIZATION, header);
            }
            Some(Err(error)) => return Box::pin(async move { Err(error.into()) }),
            None => {}
        }
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await?;
            if let (StatusCode::UNAUTHORIZED, Some(token)) = (answer.status(), token) {
                token.is_refused();
            }
            Ok(with_pause(answer))
        }
        .boxed()
    }
}

/// The API server's guard against overload answers in plain text, with the pause it asks for in a header alone. The client
/// passes on what a `Status` says, so it is given one.
fn with_pause<B>(answer: Response<B>) -> Response<Either<B, Full<Bytes>>> {
    let is_overload = matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let text = |name| answer.headers().get(name).and_then(|it| it.to_str().ok());
    let is_status = text(CONTENT_TYPE).is_some_and(|it| it.contains("json"));
    let seconds = text(RETRY_AFTER).and_then(|it| it.parse::<u32>().ok());
    match seconds {
        Some(seconds) if is_overload && !is_status => {
            let (parts, _) = answer.into_parts();
            let status = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": parts.status.as_u16(),
                "reason": "TooManyRequests", "message": "the Kubernetes API server is overloaded",
                "details": {"retryAfterSeconds": seconds.min(LONGEST_RETRY_AFTER)},
            });
            Response::from_parts(parts, Either::Right(Full::from(status.to_string())))
        }
        _ => answer.map(Either::Left),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn a_token_that_was_refused_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        assert!(file.header().is_err());
        std::fs::write(file.path(), "first\n").unwrap();
        assert_eq!(file.header().unwrap(), "Bearer first");
        std::fs::write(file.path(), "second\n").unwrap();
        assert_eq!(file.header().unwrap(), "Bearer first", "not read for every request");
        file.is_refused();
        let header = file.header().unwrap();
        assert_eq!(header, "Bearer second");
        assert!(header.is_sensitive());
    }

    #[tokio::test]
    async fn the_pause_of_a_header_alone_is_told_in_a_status() {
        let refused = |content_type: &str| {
            let answer =
                Response::builder().status(429).header("Retry-After", "7").header("Content-Type", content_type);
            with_pause(answer.body(Full::<Bytes>::from("slow down")).unwrap())
        };
        let body = refused("text/plain").into_body().collect().await.unwrap().to_bytes();
        let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&status["code"], &status["details"]["retryAfterSeconds"]), (&429.into(), &7.into()));
        let untouched = refused("application/json").into_body().collect().await.unwrap().to_bytes();
        assert_eq!(untouched, "slow down");
    }
}
