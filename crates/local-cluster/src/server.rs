//! The listener: HTTP/1.1 connections, with or without TLS, that can be cut at any time.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::api::error::ApiError;
use crate::api::request::{ApiRequest, Query};
use crate::api::response::{self, Answer};
use crate::api::{Api, router};

const MAX_BODY: usize = 3 * 1024 * 1024;
/// What is read of a body that is too large, so that its sender gets to hear so.
const MAX_DRAINED: usize = 64 * 1024 * 1024;

/// Further ones wait to be accepted, so that others of this process's descriptors stay free.
const MAX_CONNECTIONS: usize = 4096;
/// For a request's head, and for the time between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// What keeps a connection from being accepted, such as a lack of descriptors, does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a connection ends before its client closes it.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped by a fault")]
struct Dropped;

/// Serves until `stop` is true; `down` closes the listener and all connections for as long as it lasts. Nobody else
/// gets the port meanwhile: it is `reserved`.
pub async fn serve(
    api: Arc<Api>,
    (reserved, listener): (TcpSocket, TcpListener),
    tls: Option<TlsAcceptor>,
    mut down: watch::Receiver<bool>,
    mut silent: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let Ok(address) = reserved.local_addr() else { return };
    let mut listener = Some(listener);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        if *stop.borrow() {
            return;
        }
        if *down.borrow_and_update() {
            // A closed listener refuses; an open one that nobody accepts from would let clients wait.
            listener = None;
            tokio::select! {
                _ = down.changed() => {}
                _ = stop.changed() => return,
            }
            continue;
        }
        if *silent.borrow_and_update() {
            // The kernel takes connections; nobody accepts them.
            tokio::select! {
                _ = silent.changed() => {}
                _ = stop.changed() => return,
            }
            continue;
        }
        let open = match &listener {
            Some(open) => open,
            None => match listen(address) {
                Ok(bound) => listener.insert(bound),
                Err(error) => {
                    tracing::error!(%address, %error, "failed to listen again");
                    return;
                }
            },
        };
        tokio::select! {
            // Nobody is served any more once it is down.
            biased;
            _ = stop.changed() => {}
            _ = down.changed() => {}
            _ = silent.changed() => {}
            (place, accepted) = accept(&places, open) => match accepted {
                Ok((stream, _)) => {
                    let served = connection(api.clone(), stream, tls.clone(), down.clone(), silent.clone(), stop.clone());
                    tokio::spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// Waits for a place first; it is never closed, so there always is one in the end.
async fn accept(
    places: &Arc<Semaphore>,
    listener: &TcpListener,
) -> (Option<OwnedSemaphorePermit>, std::io::Result<(TcpStream, SocketAddr)>) {
    let place = places.clone().acquire_owned().await.ok();
    (place, listener.accept().await)
}

/// A port of our own, and who listens on it. The first socket never listens: connections are refused while the listener
/// is closed, and the port cannot be given to anybody else.
pub fn bind(address: SocketAddr) -> std::io::Result<(TcpSocket, TcpListener)> {
    let reserved = bound(address)?;
    let listener = listen(reserved.local_addr()?)?;
    Ok((reserved, listener))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    bound(address)?.listen(1024)
}

/// With SO_REUSEADDR, so that the port can be had beside its reservation, and again while old connections fade.
fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn connection(
    api: Arc<Api>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    mut down: watch::Receiver<bool>,
    mut silent: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let served = async {
        match tls {
            Some(acceptor) => {
                let handshake = tokio::time::timeout(Duration::from_secs(10), acceptor.accept(stream)).await;
                if let Ok(Ok(stream)) = handshake {
                    serve_stream(api, stream).await;
                }
            }
            None => serve_stream(api, stream).await,
        }
    };
    let mut served = pin!(served);
    tokio::select! {
        // A request that comes afterwards is not answered.
        biased;
        _ = down.wait_for(|it| *it) => return,
        _ = stop.wait_for(|it| *it) => return,
        _ = silent.wait_for(|it| *it) => {}
        () = served.as_mut() => return,
    }
    // Open, and dead: nothing is read and nothing written any more.
    tokio::select! {
        _ = down.wait_for(|it| *it) => {}
        _ = stop.wait_for(|it| *it) => {}
    }
}

async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(api: Arc<Api>, stream: S) {
    let service = service_fn(move |request| {
        let api = api.clone();
        async move { handle(&api, request).await.ok_or(Dropped) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(256 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "connection ended");
    }
}

async fn handle(api: &Arc<Api>, request: Request<Incoming>) -> Option<Answer> {
    let (parts, body) = request.into_parts();
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(error) => return Some(response::refusal(&error)),
    };
    let request = ApiRequest {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body,
    };
    router::answer(api, request).await
}

async fn read_body(mut body: Incoming) -> Result<Bytes, ApiError> {
    let mut read = BytesMut::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::bad_request(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            length += data.len();
            if length > MAX_DRAINED {
                break;
            }
            if length <= MAX_BODY {
                read.extend_from_slice(&data);
            }
        }
    }
    if length > MAX_BODY {
        return Err(ApiError::too_large());
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_until_another_has_ended() {
        let (_reserved, listener) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let places = Arc::new(Semaphore::new(1));
        let address = listener.local_addr().unwrap();
        let _clients = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let (first, accepted) = accept(&places, &listener).await;
        accepted.unwrap();
        let mut second = Box::pin(accept(&places, &listener));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        let (place, accepted) = second.await;
        accepted.unwrap();
        assert!(place.is_some());
    }

    #[tokio::test]
    async fn a_port_stays_ours_while_nobody_listens_on_it() {
        let (reserved, listener) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = reserved.local_addr().unwrap();
        drop(listener);
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let plain = TcpSocket::new_v4().unwrap();
        assert!(plain.bind(address).is_err());
        let _listener = listen(address).unwrap();
        TcpStream::connect(address).await.unwrap();
    }
}
