//! Clients over TLS: one that keeps its connections (hyper), and one whose single connection can be looked at.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::certificates::Pair;

/// Nothing that the service is asked takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn client_config(
    authority: &str,
    own: Option<&Pair>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(own.certificate.as_bytes()).map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap()).unwrap()
        }
    }
}

/// A client that trusts an authority, with both versions.
pub fn trusting(authority: &str) -> ClientConfig {
    client_config(authority, None, rustls::ALL_VERSIONS)
}

/// As a library's client: it keeps connections and opens new ones as it needs them.
#[derive(Clone)]
pub struct Keeping(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Keeping {
    pub fn new(config: ClientConfig) -> Self {
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Status and body, or why there is none.
    pub async fn get(&self, address: SocketAddr, path: &str, authorization: &str) -> Result<(u16, String), String> {
        let request = http::Request::get(format!("https://{address}{path}")).header("Authorization", authorization);
        let request = request.body(Empty::new()).unwrap();
        let answered = tokio::time::timeout(PATIENCE, async {
            let answer = self.0.request(request).await.map_err(|error| format!("{error:?}"))?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            Ok((status, String::from_utf8(body.to_vec()).unwrap()))
        });
        answered.await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }
}

/// One connection.
pub struct Connection {
    stream: BufReader<TlsStream<TcpStream>>,
}

impl Connection {
    pub async fn open(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let opened = tokio::time::timeout(PATIENCE, async {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            TlsConnector::from(config.clone()).connect(name, stream).await
        });
        let stream = opened.await.expect("a handshake in time")?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The certificate that the server showed.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.stream.get_ref().get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    pub fn version(&self) -> rustls::ProtocolVersion {
        self.stream.get_ref().get_ref().1.protocol_version().unwrap()
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.get_ref().get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Asks and leaves the connection open.
    pub async fn get(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answered = tokio::time::timeout(PATIENCE, async {
            self.stream.write_all(request.as_bytes()).await?;
            self.stream.flush().await?;
            let (mut status, mut length) = (0, 0);
            loop {
                let mut line = String::new();
                if self.stream.read_line(&mut line).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(rest) = line.strip_prefix("http/1.1 ") {
                    status = rest[..3].parse().unwrap();
                } else if let Some(rest) = line.strip_prefix("content-length: ") {
                    length = rest.parse().unwrap();
                } else if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await?;
            Ok((status, String::from_utf8(body).unwrap()))
        });
        answered.await.expect("an answer in time")
    }
}
