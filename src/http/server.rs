//! The listener: bounded headers, bounded waiting, a peer address beside every request, an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service;
use tracing::Instrument;
use warp::filters::BoxedFilter;

use super::call::Peer;
use super::counting::Counted;
use super::{ApiError, Reply, outpost};
use crate::config::SharedConfig;
use crate::tls::ServerTls;

/// How long open requests may go on once no new ones are taken. Work was waited for before.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a client may take to send its headers.
const HEADER_TIME: Duration = Duration::from_secs(15);
/// The longest `start_timeout` of a hub of Outpost's protocol.
const LONGEST_START: Duration = Duration::from_secs(3600);
/// Between attempts to accept when the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// No name is longer.
const LONGEST_LOGGED_NAME: usize = 256;

#[derive(Clone)]
pub struct Limits {
    pub max_header_bytes: usize,
    /// Says how long a request may take; a reload changes it.
    pub config: SharedConfig,
    /// OUTPOST_BASE_PATH.
    pub outpost_base_path: Arc<str>,
}

impl Limits {
    fn request_timeout(&self, method: &http::Method, path: &str) -> Duration {
        let timeout = Duration::from_secs(self.config.current().http.request_timeout_seconds);
        // It waits for the server, as long as the hub says and no longer.
        if outpost::is_start(method, path, &self.outpost_base_path) { timeout + LONGEST_START } else { timeout }
    }
}

/// A bound listener.
pub struct Server {
    listener: TcpListener,
    routes: BoxedFilter<(Reply,)>,
    limits: Limits,
    tls: Option<Arc<ServerTls>>,
}

impl Server {
    pub fn new(listener: TcpListener, routes: BoxedFilter<(Reply,)>, limits: Limits) -> Self {
        Self { listener, routes, limits, tls: None }
    }

    /// HTTPS, where there is what it needs.
    pub fn with_tls(self, tls: Option<Arc<ServerTls>>) -> Self {
        Self { tls, ..self }
    }

    /// Serves until `end` changes, then lets open requests finish.
    pub async fn run(self, mut end: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let (tls, routes, limits) = (self.tls.clone(), self.routes.clone(), self.limits.clone());
                        connections.spawn(serve(stream, peer, tls, routes, limits, end.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "failed to accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                _ = end.changed() => break,
            }
        }
        drop(self.listener);
        let finish = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, finish).await.is_err() {
            tracing::warn!("connections were cut: their requests did not end in time");
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    routes: BoxedFilter<(Reply,)>,
    limits: Limits,
    end: watch::Receiver<bool>,
) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_http(stream, peer, routes, limits, end).await,
        Some(tls) => {
            if let Some(stream) = tls.accept(stream, peer).await {
                serve_http(stream, peer, routes, limits, end).await;
            }
        }
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    routes: BoxedFilter<(Reply,)>,
    limits: Limits,
    mut end: watch::Receiver<bool>,
) {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(limits.max_header_bytes);
    let service = service_fn(move |request: Request<Incoming>| answer(request, peer, routes.clone(), limits.clone()));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = end.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn answer(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    routes: BoxedFilter<(Reply,)>,
    limits: Limits,
) -> Result<warp::reply::Response, std::convert::Infallible> {
    let path = request.uri().path();
    let counted = Counted::begin(request.method(), path.strip_prefix(&*limits.outpost_base_path).unwrap_or(path));
    let request_timeout = limits.request_timeout(request.method(), path);
    request.extensions_mut().insert(Peer(peer));
    let head_only = request.method() == http::Method::HEAD;
    let span = request_span(&request);
    let mut service = warp::service(routes);
    let answered = tokio::time::timeout(request_timeout, service.call(request).instrument(span)).await;
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => warp::Reply::into_response(Reply::error(&ApiError::TooSlow, None)),
    };
    counted.end(response.status());
    Ok(if head_only { without_body(response) } else { response })
}

/// Puts the request's `uuidcode` on every line that is logged for it. Of the gravest level, so that it is there
/// whatever the handlers take.
fn request_span(request: &Request<Incoming>) -> tracing::Span {
    let span = tracing::error_span!("request", uuidcode = tracing::field::Empty);
    if let Some(uuidcode) = request.headers().get("uuidcode") {
        let text = String::from_utf8_lossy(uuidcode.as_bytes());
        span.record("uuidcode", text.chars().take(LONGEST_LOGGED_NAME).collect::<String>());
    }
    span
}

fn without_body(response: warp::reply::Response) -> warp::reply::Response {
    let (parts, _) = response.into_parts();
    warp::Reply::into_response(Response::from_parts(parts, ""))
}
