//! A request as the resources see it: nothing of it was looked at yet, its body not even read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt};
use http::{HeaderMap, Method};
use warp::Filter;

use super::error::ApiError;

/// Who is at the other end of the connection; the server puts it beside each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

type Body = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>;

pub struct Call {
    pub method: Method,
    pub headers: HeaderMap,
    pub address: IpAddr,
    body: Body,
}

impl Call {
    /// Reads the body, but never more than `limit` bytes of it.
    pub async fn read_body(&mut self, limit: usize) -> Result<Vec<u8>, ApiError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.body.next().await {
            let chunk = chunk.map_err(|_| ApiError::BodyBrokeOff)?;
            if body.len() + chunk.len() > limit {
                return Err(ApiError::BodyTooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// A header's text: UTF-8, else Latin-1 as old clients write it. `None` when it is not there.
    pub fn header_text(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => text.to_owned(),
            Err(_) => value.as_bytes().iter().map(|&byte| char::from(byte)).collect(),
        })
    }
}

/// Takes the request apart. Never rejects.
pub fn call() -> impl Filter<Extract = (Call,), Error = warp::Rejection> + Clone {
    warp::method().and(warp::header::headers_cloned()).and(warp::ext::optional::<Peer>()).and(warp::body::stream()).map(
        |method, headers, peer: Option<Peer>, body: _| Call {
            method,
            headers,
            address: peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| address.ip()),
            body: boxed(body),
        },
    )
}

fn boxed<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>> + Send + Sync + 'static) -> Body {
    Box::pin(body.map(|chunk| chunk.map(|mut chunk| chunk.copy_to_bytes(chunk.remaining()))))
}
