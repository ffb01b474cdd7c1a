//! One request to a hub: an address that may be connected to, TLS that is checked, a deadline, and no more than was asked for:
//! no proxy of the environment, no redirect that would carry a token elsewhere, no text of the URL in an error.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::address::Reach;
use crate::config::CertificatePath;
use crate::tls::trust::{self, Trust, TrustError};

/// Certificate authorities are read again after this: files are replaced.
const REREAD: Duration = Duration::from_secs(60);
/// Nobody looks at the body of the answer to a POST; reading it lets the hub finish its work.
const LONGEST_BODY: usize = 64 * 1024;

/// Why a request had no answer. No text holds a URL, a token or a password.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("the URL cannot be used: it must begin with http:// or https:// and name a host")]
    Url,
    #[error("{host} is {address}, which no hub may have; hubs.<credential>.api_url allows what is not link-local")]
    Forbidden { host: String, address: IpAddr },
    #[error("{host} has no address")]
    Resolve { host: String, source: std::io::Error },
    #[error("failed to connect to {host}")]
    Connect { host: String, source: std::io::Error },
    #[error("TLS with {host} failed")]
    Handshake { host: String, source: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TrustError),
    #[error("reading the certificate authorities broke off")]
    Reading(#[source] tokio::task::JoinError),
    #[error("the request to {host} broke off")]
    BrokeOff { host: String, source: hyper::Error },
    #[error("what {host} answered could not be read")]
    Body { host: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{host} did not answer within {seconds} s")]
    TimedOut { host: String, seconds: u64 },
    #[error("failed to make the request")]
    Request(#[from] http::Error),
}

/// What to send, and where.
pub struct Post<'a> {
    pub url: &'a Uri,
    /// Beside what every request has.
    pub headers: HeaderMap,
    /// JSON.
    pub body: String,
    pub certificate: &'a CertificatePath,
    pub reach: Reach,
    pub timeout: Duration,
}

/// What to read, and from where.
pub struct Get<'a> {
    pub url: &'a Uri,
    pub headers: HeaderMap,
    pub certificate: &'a CertificatePath,
    pub reach: Reach,
    pub timeout: Duration,
    /// In bytes. A longer body is an error.
    pub longest_body: usize,
}

/// One request of either kind.
struct Asked<'a> {
    method: Method,
    url: &'a Uri,
    headers: HeaderMap,
    body: String,
    certificate: &'a CertificatePath,
    reach: Reach,
    longest_body: usize,
}

type Body = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What was made of certificate authorities.
#[derive(Clone)]
struct TlsConfig {
    read: Instant,
    config: Arc<rustls::ClientConfig>,
}

/// Clones share what was read of certificate authorities.
#[derive(Clone, Default)]
pub struct HubClient {
    /// By the file of the certificate authorities; `None` for those of the system.
    tls: Arc<Mutex<HashMap<Option<PathBuf>, TlsConfig>>>,
}

impl HubClient {
    pub async fn post(&self, post: Post<'_>) -> Result<StatusCode, HubError> {
        let Post { url, mut headers, body, certificate, reach, timeout } = post;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let longest_body = LONGEST_BODY;
        let asked = Asked { method: Method::POST, url, headers, body, certificate, reach, longest_body };
        self.send_in_time(asked, timeout).await.map(|(status, _)| status)
    }

    /// The status and the body of the answer.
    pub async fn get(&self, get: Get<'_>) -> Result<(StatusCode, Bytes), HubError> {
        let Get { url, headers, certificate, reach, timeout, longest_body } = get;
        let body = String::new();
        let asked = Asked { method: Method::GET, url, headers, body, certificate, reach, longest_body };
        let (status, body) = self.send_in_time(asked, timeout).await?;
        let host = url.host().unwrap_or_default().to_owned();
        Ok((status, body.map_err(|source| HubError::Body { host, source })?))
    }

    async fn send_in_time(&self, asked: Asked<'_>, limit: Duration) -> Result<(StatusCode, Body), HubError> {
        let host = asked.url.host().filter(|it| !it.is_empty()).ok_or(HubError::Url)?.to_owned();
        let answer = tokio::time::timeout(limit, self.send(asked, &host)).await;
        answer.unwrap_or(Err(HubError::TimedOut { host, seconds: limit.as_secs() }))
    }

    async fn send(&self, asked: Asked<'_>, host: &str) -> Result<(StatusCode, Body), HubError> {
        let is_tls = match asked.url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(HubError::Url),
        };
        let port = asked.url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = connect(host, port, asked.reach).await?;
        let (request, longest) = (request(&asked)?, asked.longest_body);
        if !is_tls {
            return exchange(stream, request, host, longest).await;
        }
        let config = self.tls_config(asked.certificate).await?;
        let name = ServerName::try_from(unbracketed(host).to_owned()).map_err(|_| HubError::Url)?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        let stream = connected.map_err(|source| HubError::Handshake { host: host.to_owned(), source })?;
        exchange(stream, request, host, longest).await
    }

    async fn tls_config(&self, certificate: &CertificatePath) -> Result<Arc<rustls::ClientConfig>, HubError> {
        let key = match certificate {
            CertificatePath::System => None,
            CertificatePath::File(path) => Some(path.clone()),
            CertificatePath::Unverified => return Ok(Arc::new(trust::client(Trust::Anyone)?)),
        };
        let known = self.tls.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known.filter(|it| it.read.elapsed() < REREAD) {
            return Ok(known.config);
        }
        let file = key.clone();
        let read =
            tokio::task::spawn_blocking(move || trust::client(file.as_deref().map_or(Trust::System, Trust::Authority)));
        let config = Arc::new(read.await.map_err(HubError::Reading)??);
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, TlsConfig { read: Instant::now(), config: config.clone() });
        Ok(config)
    }
}

/// The address that was looked at is the one that is connected to.
async fn connect(host: &str, port: u16, reach: Reach) -> Result<TcpStream, HubError> {
    let failed = |source| HubError::Resolve { host: host.to_owned(), source };
    let found: Vec<SocketAddr> = lookup_host((unbracketed(host), port)).await.map_err(failed)?.collect();
    let mut last = failed(std::io::ErrorKind::NotFound.into());
    for address in found {
        if !reach.allows(address.ip()) {
            last = HubError::Forbidden { host: host.to_owned(), address: address.ip() };
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(source) => last = HubError::Connect { host: host.to_owned(), source },
        }
    }
    Err(last)
}

/// An IPv6 address stands in brackets in a URL.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host)
}

fn request(asked: &Asked<'_>) -> Result<Request<Full<Bytes>>, HubError> {
    let (host, port) = (asked.url.host().unwrap_or_default(), asked.url.port_u16());
    let host = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let path = asked.url.path_and_query().map_or("/", |it| it.as_str());
    let mut request = Request::builder().method(asked.method.clone()).uri(path).body(Full::from(asked.body.clone()))?;
    let headers = request.headers_mut();
    headers.extend(asked.headers.clone());
    headers.insert(HOST, HeaderValue::try_from(host).map_err(http::Error::from)?);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("k8smgr/", env!("CARGO_PKG_VERSION"))));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    host: &str,
    longest: usize,
) -> Result<(StatusCode, Body), HubError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broke_off = |source| HubError::BrokeOff { host: host.to_owned(), source };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke_off)?;
    let work = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), longest).collect().await;
        Ok((status, body.map(http_body_util::Collected::to_bytes)))
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        answer = &mut work => answer.map_err(broke_off),
        // The connection may end first; what was answered on it is there all the same.
        _ = connection => work.await.map_err(broke_off),
    }
}

/// For the log: what failed, and why.
pub fn with_causes(error: &HubError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
